"""The tensor: what a program holds. Its functions and operators are installed from `trine.ops`."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from trine import dtypes
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, GradientError, InPlaceError, TrineError, message
from trine.runtime.memory import Buffer
from trine.tensor import recorder
from trine.tensor.alias import AliasGroup, gradient_leaf, is_external, is_leaf, share_value, take_value
from trine.tensor.device import CPU, Device, check_device
from trine.tensor.handle import Handle
from trine.tensor.hooks import AfterAccumulation, HookHandle
from trine.tensor.layout import Layout, strided
from trine.tensor.recorder import local, record, record_view
from trine.tensor.size import Size
from trine.tensor.state import Meta
from trine.tensor.view_layout import layout_of

if TYPE_CHECKING:
    from trine.tensor.grad_fn import GradFn

ARRAY_API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")
_T = TypeVar("_T", bound="Tensor")


class Tensor(Handle):
    """A multi-dimensional array whose operations are recorded and run when a value is observed.

    >>> import trine
    >>> x = trine.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad.tolist()
    [2.0, 4.0, 6.0]
    """

    __slots__ = ()
    __array_priority__ = 1000

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __getitem__(self, index: Any) -> Tensor: ...

        # operators are installed from `trine.ops`; a name that is looked up on the class is not found by __getattr__
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...

    def __new__(cls, data: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        from trine.tensor.convert import defaults
        from trine.tensor.tensor_types import construct

        if isinstance(data, Tensor):
            return wrap_as(cls, data)
        return wrap_as(cls, construct("Tensor", () if data is None else (data, *args), defaults.dtype, kwargs.get("device")))

    # --- properties -------------------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """Sizes of the axes."""
        return Size(self._meta.shape)

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self._meta.dtype

    @property
    def device(self) -> Device:
        """Where the elements are."""
        return CPU

    @property
    def layout(self) -> Layout:
        """How the elements are held: always `trine.strided`."""
        return strided

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._meta.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self._meta.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self._meta.dtype.itemsize

    def numel(self) -> int:
        """Return the number of elements."""
        count = 1
        for size in self._meta.shape:
            count *= size
        return count

    def dim(self) -> int:
        """Return the number of axes."""
        return len(self._meta.shape)

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the size of one axis."""
        return self.shape if dim is None else self._meta.shape[dim]

    def element_size(self) -> int:
        """Return the bytes of an element."""
        return self._meta.dtype.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Return the strides in elements: those of a view in the memory of its base, row-major ones otherwise."""
        result = layout_of(self).strides
        return result if dim is None else result[dim]

    def storage_offset(self) -> int:
        """Return the position of the first element of a view in the memory of its base, 0 otherwise."""
        return layout_of(self).offset

    # --- gradients --------------------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """True if gradients are recorded for what is computed from this tensor."""
        return self._meta.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` in place and return the tensor.

        Raises:
            GradientError: if the dtype is not floating or complex, or False is asked of a tensor that was computed.
        """
        meta = self._meta
        if meta.requires_grad == requires_grad:
            return self
        if requires_grad and not (meta.dtype.is_floating_point or meta.dtype.is_complex):
            fix = "convert it first: x.float()"
            raise GradientError(
                message("requires_grad", received=f"a {meta.dtype.name} tensor", expected="a floating-point or complex dtype", fix=fix)
            )
        if not requires_grad and not is_leaf(self):
            raise GradientError(
                message("requires_grad=False can only be set on leaf tensors", received="a computed tensor", fix="use x.detach()")
            )
        if self._buffer is None and requires_grad:
            _make_leaf(self)
        elif self._buffer is None:
            take_value(self, record(_detach, (self,)))
        else:
            self._meta = Meta.of(meta.shape, meta.dtype, requires_grad)
            self._trace = None
        return self

    @property
    def is_leaf(self) -> bool:
        """True if gradients end here: a tensor made by the user, or one that needs no gradient."""
        return is_leaf(self)

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, or None."""
        return self._grad  # type: ignore[no-any-return]

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise DTypeError(message("grad", received=type(value).__name__, expected="a Tensor or None"))
            if value._meta.shape != self._meta.shape or value._meta.dtype is not self._meta.dtype:
                received = f"shape {value._meta.shape}, dtype {value._meta.dtype.name}"
                expected = f"shape {self._meta.shape}, dtype {self._meta.dtype.name}"
                raise GradientError(message("grad: the gradient does not fit the tensor", received=received, expected=expected))
        if local.capture is not None:
            local.capture.touch(self)
        self._grad = value

    @property
    def grad_fn(self) -> GradFn | None:
        """What computed this tensor, or None for a leaf."""
        from trine.tensor.grad_fn import grad_fn_of

        return grad_fn_of(self)

    @property
    def output_nr(self) -> int:
        """Number of this tensor among the results of its operation."""
        return 0

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Accumulate the gradient of this tensor into the `grad` of the leaves it was computed from.

        Args:
            gradient: the gradient of this tensor itself; may be left out for a tensor of one element.
            retain_graph: keep what a second backward needs (default: the value of create_graph).
            create_graph: record the gradients themselves, for higher derivatives.
            inputs: the leaves to accumulate into; default all.
        """
        from trine.tensor.autograd import backward

        backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
        """Call `hook(gradient)` when this tensor's gradient is known; what it returns (if not None) replaces the gradient."""
        if not self._meta.requires_grad:
            raise GradientError(message("register_hook", received="a tensor that does not require grad", expected="requires_grad=True"))
        if self._hooks is None:
            self._hooks = {}
        self._watch()
        return HookHandle(self._hooks, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> HookHandle:
        """Call `hook(tensor)` after each backward pass that added to this leaf's `grad`.

        Raises:
            GradientError: the tensor does not require grad, or was computed from others.
        """
        if not self._meta.requires_grad or not is_leaf(self):
            raise GradientError(
                message("register_post_accumulate_grad_hook", received="no leaf that requires grad", expected="a leaf that requires grad")
            )
        if self._hooks is None:
            self._hooks = {}
        return HookHandle(self._hooks, AfterAccumulation(hook))

    def retain_grad(self) -> None:
        """Keep the gradient of this computed tensor in `grad` too."""
        if not self._meta.requires_grad:
            raise GradientError(message("retain_grad", received="a tensor that does not require grad", expected="requires_grad=True"))
        if not is_leaf(self):
            self._retains_grad = True
            self._watch()

    @property
    def retains_grad(self) -> bool:
        """True after `retain_grad()` on a computed tensor."""
        return self._retains_grad

    def _watch(self) -> None:
        trace = local.trace
        if self._trace is trace and self._buffer is None and not is_leaf(self):
            trace.hooked[self._slot] = self

    def detach(self) -> Tensor:
        """Return a view without gradients: it shares memory with this tensor."""
        if self._meta.requires_grad or local.levels:
            return record_view(_detach, self)
        alias: Tensor = alias_of(self)
        return alias

    def detach_(self) -> Tensor:
        """Cut this tensor from the graph that computed it, in place."""
        if self._meta.requires_grad:
            if self._alias is not None and self._path:
                raise InPlaceError(message("detach_", received="a view", fix="use detach() instead"))
            if self._buffer is None:
                take_value(self, record(_detach, (self,)))
            else:
                self._meta = Meta.of(self._meta.shape, self._meta.dtype)
                self._fragment, self._trace = None, None
        return self

    @property
    def data(self) -> Tensor:
        """The value without gradients, sharing memory; writes through it do not count as changes of this tensor (`_version`)."""
        alias = self.detach()
        alias._counter = next(_counters)
        return alias

    @data.setter
    def data(self, value: Tensor) -> None:
        if self._meta.requires_grad and not value._meta.dtype.is_differentiable:
            expected = "a floating-point or complex dtype"
            raise GradientError(message("data: the tensor requires grad", received=f"a {value._meta.dtype.name} tensor", expected=expected))
        buffer = value._value()
        group = value._alias or AliasGroup(value)
        version, counter = self._version, self._counter
        group.add(self, value)
        self._version, self._counter = version, counter
        self._alias, self._path, self._alias_version = group, value._path, group.version
        self._buffer, self._trace, self._fragment = buffer, None, None
        self._meta = Meta.of(value._meta.shape, value._meta.dtype, self._meta.requires_grad)
        self._version += 1

    # --- observation ------------------------------------------------------------------------------------------------------------

    def _value(self) -> Buffer:
        """Return the memory of the up-to-date value, running what is recorded if it is pending."""
        group = self._alias
        if group is not None and self._alias_version != group.version:
            group.refresh(self)
        if self._buffer is None:
            if self._lost is not None:
                raise TrineError(self._lost)
            if self._trace is local.trace:
                if local.levels:
                    return local.levels[-1].value_of(self)  # type: ignore[no-any-return]
                observe(self)
            else:
                return recorder.materialize_elsewhere(self)
        if self._buffer is None:
            raise TrineError(message("this tensor has no value", received="a tensor whose recording ended without computing it"))
        return self._buffer

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """Return the elements as a NumPy array that shares the memory.

        Raises:
            GradientError: if the tensor requires grad and `force` is False.
            DTypeError: of bfloat16, which NumPy does not have.
        """
        if self._meta.dtype is dtypes.bfloat16:
            fix = "use x.float().numpy(), or x.view(trine.uint16).numpy() for the bits"
            raise DTypeError(message("numpy: NumPy has no such dtype", received="a bfloat16 tensor", fix=fix))
        if self._meta.requires_grad and not force:
            raise GradientError(
                message(
                    "numpy: can't be called on a tensor that requires grad", received="requires_grad=True", fix="use x.detach().numpy()"
                )
            )
        return self._array(shared=True)

    def _array(self, *, shared: bool = False) -> np.ndarray[Any, Any]:
        """Return the elements; `shared` says that the array goes to the user, so that writes must be seen in it from now on."""
        if shared and self._alias is not None and self._path:
            return self._shared_view()
        buffer = self._value()
        array = buffer.array(self._meta.dtype.numpy, self._meta.shape)
        if shared:
            buffer.external = True
        return array

    def _shared_view(self) -> np.ndarray[Any, Any]:
        """Return a NumPy view into the base's memory for a view made of plain movement steps."""
        from trine.tensor.convert import numpy_view

        return numpy_view(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and array.dtype != np.dtype(dtype):
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Return what a function of NumPy computed as a tensor: ``np.sin(x)`` is one."""
        from trine.tensor.convert import from_numpy

        return from_numpy(np.asarray(array))

    def item(self) -> Any:
        """Return the only element as a Python number.

        Raises:
            ArgumentError: if the tensor does not have exactly one element.
        """
        meta = self._meta
        if self.numel() != 1:
            fix = "use tolist(), or reduce it first"
            raise ArgumentError(message("item", received=f"a tensor of shape {meta.shape}", expected="exactly one element", fix=fix))
        return self._numbers().item()

    def _numbers(self) -> np.ndarray[Any, Any]:
        """Return the elements as numbers that NumPy can compare and compute with (those of bfloat16 as float32)."""
        array = self._array()
        return dtypes.from_bfloat16_bits(array) if self._meta.dtype is dtypes.bfloat16 else array

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers."""
        return self._numbers().tolist()

    def __bool__(self) -> bool:
        if self.numel() != 1:
            received = f"a tensor of shape {self._meta.shape}"
            raise ArgumentError(
                message("truth value of a tensor with more than one element is ambiguous", received=received, fix="use .any() or .all()")
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self._meta.dtype.code not in "iub":
            raise DTypeError(message("a tensor used as an index", received=self._meta.dtype.name, expected="an integer dtype"))
        return int(self.item())

    def __len__(self) -> int:
        if not self._meta.shape:
            raise ArgumentError(message("len() of a 0-d tensor", received="a tensor without axes"))
        return self._meta.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self._meta.shape:
            raise ArgumentError(message("iteration over a 0-d tensor", received="a tensor without axes"))
        return (self[i] for i in range(self._meta.shape[0]))

    def __contains__(self, value: Any) -> bool:
        if not isinstance(value, Tensor | int | float | complex | np.generic):
            raise DTypeError(message("in: not an element of a tensor", received=type(value).__name__, expected="a tensor or a number"))
        equal: Any = self == value
        return bool(equal.any())

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        from trine.tensor.printing import format_tensor

        return format_tensor(self)

    def __format__(self, spec: str) -> str:
        if not self._meta.shape:
            return format(self.item(), spec)
        if spec:
            received = f"{spec!r} and a tensor of shape {self._meta.shape}"
            raise DTypeError(message("format: a specification is for one number", received=received, fix="format its elements"))
        return repr(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not is_leaf(self):
            raise GradientError(
                message("deepcopy", received="a tensor computed from others", expected="a leaf tensor", fix="use detach().clone()")
            )
        copy = wrap_as(type(self), from_buffer(self._value().copy(), self._meta))
        copy.__dict__.update(self.__dict__)
        if self._grad is not None:
            copy._grad = self._grad.detach().clone()
        memo[id(self)] = copy
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        from trine.tensor.convert import rebuild

        parts = (type(self), self._array().copy(), self._meta.dtype, self._meta.requires_grad)
        return rebuild, parts, self.__dict__ or None

    def __copy__(self) -> Tensor:
        """Return another tensor that shares the memory: a leaf."""
        copy: Tensor = alias_of(self.detach(), type(self))
        copy.__dict__.update(self.__dict__)
        return copy.requires_grad_(self._meta.requires_grad)

    # --- interchange ------------------------------------------------------------------------------------------------------------

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        from trine.tensor.convert import to_dlpack

        if stream is not None:
            fix = "leave stream= away: the CPU has no streams"
            raise ArgumentError(message("__dlpack__: a stream on the CPU", received=stream, expected="None", fix=fix))
        return to_dlpack(self, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """Return `trine.array_api`, the namespace of the Python array API standard."""
        if api_version not in (None, *ARRAY_API_VERSIONS):
            expected = ", ".join(ARRAY_API_VERSIONS)
            raise ArgumentError(message("__array_namespace__: no such version", received=repr(api_version), expected=expected))
        return importlib.import_module("trine.array_api")

    def to_device(self, device: Device | str, /, *, stream: Any = None) -> Tensor:
        """Return the tensor on a device: itself on the CPU, the only one there is.

        Raises:
            ArgumentError: the device does not exist, or a stream is given.
        """
        check_device(device)
        if stream is not None:
            raise ArgumentError(message("to_device: a stream on the CPU", received=stream, expected="None"))
        return self

    def data_ptr(self) -> int:
        """Return the address of the first element: a view's lies in the memory of its base."""
        group = self._alias
        layout = layout_of(self) if group is not None and self._path else None
        if group is None or layout is None or not layout.is_view:
            return self._value().address
        return group.base._value().address + layout.offset * group.base._meta.dtype.itemsize


recorder.set_tensor_type(Tensor)
_counters = itertools.count(1)


def _detach(node: Node) -> Node:
    """End gradients, and tangents too."""
    return Node("stop_gradient", (node,), (), node.shape, node.dtype, False, node.source)


def _make_leaf(tensor: Tensor) -> None:
    """Make a pending tensor require grad: gradients end at it."""
    trace = local.trace
    trace.slot_of(tensor)
    value = record(gradient_leaf, (tensor,))
    take_value(tensor, value)
    if tensor._trace is not None:
        local.trace.leaf_tensors[tensor._slot] = tensor


def wrap_as(cls: type[_T], tensor: Tensor) -> _T:
    """Return a tensor of class `cls` with the value of `tensor`."""
    other = Handle.__new__(cls)
    other._trace, other._slot, other._meta = tensor._trace, tensor._slot, tensor._meta
    other._buffer, other._alias = tensor._buffer, None
    if other._buffer is None and other._trace is not None:
        other._trace.handles.append(other)
    return other


def alias_of(tensor: Tensor, cls: type[Tensor] | None = None) -> Any:
    """Return a new handle on the same memory: writes through one are seen in the other."""
    other = wrap_as(cls or Tensor, tensor)
    group = tensor._alias or AliasGroup(tensor)
    group.add(other, tensor)
    other._alias, other._path, other._alias_version = group, tensor._path, tensor._alias_version
    return other


def from_buffer(buffer: Buffer, meta: Meta) -> Tensor:
    """Return a concrete tensor with this memory."""
    tensor = Handle.__new__(Tensor)
    tensor._trace, tensor._slot, tensor._meta, tensor._buffer, tensor._alias = None, -1, meta, buffer, None
    return tensor


def observe(tensor: Tensor) -> None:
    """Run what is recorded, so that this tensor (a view too) has memory of its own."""
    if tensor._alias is not None and tensor._path:
        value = share_value(tensor)
        recorder.flush()
        tensor._buffer, tensor._fragment = value._buffer, value._fragment
        # memory that somebody outside may write is read again the next time
        tensor._alias_version = -1 if is_external(tensor._alias.base) else tensor._alias.version
        tensor._trace = None
    else:
        recorder.flush()
