"""Converting all parameters and buffers of a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from trine import dtypes
from trine.dtypes import DType
from trine.errors import DTypeError, message
from trine.nn.members import Members
from trine.ops.creation import empty
from trine.tensor import Tensor
from trine.tensor.device import Device, check_device
from trine.tensor.grad_mode import no_grad

C = TypeVar("C", bound="Conversion")


class Conversion(Members):
    """The part of `Module` that converts its members: dtype and device."""

    def _apply(self: C, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> C:
        """Replace every parameter's and buffer's value by `fn(value)`; the parameters stay the same objects."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        with no_grad():
            for p in self._parameters.values():
                if p is None:
                    continue
                before = p.detach()
                value = fn(before)
                if value is not before:
                    p.data = value
                if p._grad is not None:
                    p._grad = fn(p._grad)
            for name, b in self._buffers.items():
                if b is not None:
                    self._buffers[name] = fn(b)
        return self

    def to(self: C, *args: Any, **kwargs: Any) -> C:
        """Convert floating-point parameters and buffers in place: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(tensor)``.

        Args:
            device, dtype: what to convert to; non_blocking, memory_format: accepted.

        Raises:
            TypeError: the dtype is neither floating point nor complex. ValueError: there is no such device.
        """
        device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        if "tensor" in kwargs:
            dtype = kwargs.pop("tensor").dtype
        unknown = set(kwargs) - {"non_blocking", "memory_format"}
        if unknown:
            raise DTypeError(message("Module.to: unknown arguments", received=sorted(unknown), expected="device, dtype, non_blocking"))
        for arg in args:
            if isinstance(arg, DType):
                dtype = arg
            elif isinstance(arg, Tensor):
                dtype = arg.dtype
            elif isinstance(arg, str | Device):
                device = arg
            elif arg is not None and not isinstance(arg, bool):
                raise DTypeError(message("Module.to", received=repr(arg), expected="a device, a dtype or a tensor"))
        if device is not None:
            check_device(device)
        if dtype is None:
            return self
        if not isinstance(dtype, DType) or not (dtype.is_floating_point or dtype.is_complex):
            raise DTypeError(message("Module.to", received=repr(dtype), expected="a floating-point or complex dtype"))
        return self._converted(dtype)

    def _converted(self: C, dtype: DType, only: Callable[[DType], bool] = lambda old: old.is_differentiable) -> C:
        return self._apply(lambda t: t.to(dtype) if only(t.dtype) else t)

    def type(self: C, dst_type: Any) -> C:
        """Convert all parameters and buffers to a dtype (or the name of a tensor type, such as ``"torch.FloatTensor"``)."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self: C) -> C:
        """Convert floating-point parameters and buffers to float32."""
        return self._converted(dtypes.float32, lambda old: old.is_floating_point)

    def double(self: C) -> C:
        """Convert floating-point parameters and buffers to float64."""
        return self._converted(dtypes.float64, lambda old: old.is_floating_point)

    def half(self: C) -> C:
        """Convert floating-point parameters and buffers to float16."""
        return self._converted(dtypes.float16, lambda old: old.is_floating_point)

    def bfloat16(self: C) -> C:
        """Convert floating-point parameters and buffers to bfloat16."""
        return self._converted(dtypes.bfloat16, lambda old: old.is_floating_point)

    def to_empty(self: C, *, device: Any, recurse: bool = True) -> C:
        """Give all parameters and buffers new memory without values, on a device."""
        return self._apply(lambda t: empty(*t.shape, dtype=t.dtype, device=device), recurse)

    def cpu(self: C) -> C:
        """Return the module: everything is on the CPU."""
        return self

    def cuda(self: C, device: Any = None) -> C:
        """Move to a GPU; raises, as there is none."""
        return self.to("cuda" if device is None else device if isinstance(device, str | Device) else f"cuda:{device}")

    def xpu(self: C, device: Any = None) -> C:
        """Move to an XPU; raises, as there is none."""
        return self.to("xpu")

    def mtia(self: C, device: Any = None) -> C:
        """Move to an MTIA accelerator; raises, as there is none."""
        return self.to("mtia")

    def ipu(self: C, device: Any = None) -> C:
        """Move to an IPU; raises, as there is none."""
        return self.to("ipu")

    def share_memory(self: C) -> C:
        """Move parameters and buffers to memory that processes forked from this one share; see `Tensor.share_memory_`."""
        for tensor in (*self.parameters(), *self.buffers()):
            tensor.share_memory_()
        return self
