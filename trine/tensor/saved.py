"""Tensors that are kept for backward, and the hooks through which they pass (`saved_tensors_hooks`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.core.graph import Node
from trine.errors import GradientError, message
from trine.tensor import recorder
from trine.tensor.fragment import modified_in_place, pack_detached
from trine.tensor.recorder import local

Hook = Callable[[Any], Any]


class SavedTensor:
    """A tensor as a custom function keeps it.

    Raises (when it is made):
        GradientError: inside `disable_saved_tensors_hooks`, if there are hooks.
    """

    __slots__ = ("tensor", "version", "packed", "unpack")

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor
        self.unpack: Hook | None = None
        self.version = 0 if tensor is None else tensor._version
        hooks = local.saved_hooks
        if hooks and tensor is not None:
            pack, self.unpack = hooks[-1]
            enabled = recorder.set_grad_enabled(False)
            try:
                self.packed = pack_detached(pack, tensor)
            finally:
                recorder.set_grad_enabled(enabled)
            self.tensor = None

    def replace(self, tensor: Any) -> None:
        """Keep another tensor in its place."""
        self.tensor, self.version, self.unpack = tensor, tensor._version, None

    def value(self) -> Any:
        """Return the tensor.

        Raises:
            InPlaceError: it was changed in place since.
        """
        if self.unpack is not None:
            return self.unpack(self.packed)
        tensor = self.tensor
        if tensor is not None and tensor._version != self.version:
            raise modified_in_place(Node("saved tensor", (), (), tensor._meta.shape, tensor._meta.dtype))
        return tensor


class saved_tensors_hooks:
    """Context manager: what backward keeps of the operations inside passes through `pack_hook`, and comes back through `unpack_hook`.

    What is kept is decided when a program is compiled: values that a backward pass can compute again at no cost are not among it, so the
    hooks may be called less often than in PyTorch. The block is a program of its own: entering and leaving it run what is recorded.

    Args:
        pack_hook: from a tensor to anything (a file name, a tensor in another dtype).
        unpack_hook: from that to a tensor of the same shape and dtype.

    >>> import trine
    >>> x = trine.ones(3, requires_grad=True)
    >>> kept = []
    >>> with trine.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
    ...     y = x.exp().sum()
    >>> y.backward()
    >>> len(kept)
    1
    """

    def __init__(self, pack_hook: Hook, unpack_hook: Hook) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        if local.hooks_refused is not None:
            raise GradientError(message(local.hooks_refused, received="saved_tensors_hooks inside disable_saved_tensors_hooks"))
        recorder.flush()
        local.saved_hooks.append((self.pack_hook, self.unpack_hook))

    def __exit__(self, *_: object) -> None:
        recorder.flush()
        local.saved_hooks.pop()


class save_on_cpu(saved_tensors_hooks):
    """Context manager that keeps what backward needs on the CPU, where it is anyway: a copy of each value.

    Args:
        pin_memory, device_type: accepted for compatibility.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cpu") -> None:
        super().__init__(lambda tensor: tensor.detach().clone(), lambda tensor: tensor)


class disable_saved_tensors_hooks:
    """Context manager inside which `saved_tensors_hooks` is an error with the text `error_message`."""

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message

    def __enter__(self) -> None:
        self._before, local.hooks_refused = local.hooks_refused, self.error_message

    def __exit__(self, *_: object) -> None:
        local.hooks_refused = self._before
