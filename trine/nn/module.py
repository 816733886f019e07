"""The base class of layers and models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from trine.errors import ArgumentError, DTypeError, message
from trine.nn.calling import Calling
from trine.nn.conversion import Conversion
from trine.nn.members import Members
from trine.nn.state import States
from trine.tensor.compiled import compile
from trine.tensor.grad_mode import no_grad

M = TypeVar("M", bound="Module")


class Module(Calling, Conversion, States):
    """Base class of all layers and models.

    Assign parameters, buffers (`register_buffer`) and other modules as attributes in ``__init__`` and define ``forward``.

    Attributes:
        training: True after `train()`, False after `eval()`.
        call_super_init: True in a class that also has other bases, whose ``__init__`` is then called with the arguments.

    >>> import trine
    >>> from trine import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = nn.Linear(3, 2)
    ...     def forward(self, x):
    ...         return self.layer(x).relu()
    >>> Net()(trine.ones(5, 3)).shape
    trine.Size([5, 2])
    """

    call_super_init = False
    dump_patches = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if (args or kwargs) and not self.call_super_init:
            received = f"{len(args)} arguments, {sorted(kwargs)}"
            raise DTypeError(message(f"{type(self).__name__}: Module.__init__() takes no arguments", received=received))
        Calling.__init__(self)
        if self.call_super_init:
            super(Members, self).__init__(*args, **kwargs)

    # --- modes --------------------------------------------------------------------------------------------------------------------

    def train(self: M, mode: bool = True) -> M:
        """Set training mode (dropout drops, batch norm measures) for this module and all below it."""
        if not isinstance(mode, bool):
            raise ArgumentError(message("train: training mode is expected to be boolean", received=repr(mode), expected="a bool"))
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: M) -> M:
        """Set evaluation mode."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze (False) or unfreeze all parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters (or set them to zero in place)."""
        with no_grad():
            for p in self.parameters():
                if set_to_none:
                    p.grad = None
                elif p._grad is not None:
                    p._grad.detach_().zero_()

    def apply(self: M, fn: Callable[[Any], Any]) -> M:
        """Call `fn` on every module below and then on this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Capture and replay this module's calls from now on (`trine.compile`, in place)."""
        object.__setattr__(self, "forward", compile(self.forward, *args, **kwargs))

    def _compiled(self, compiler: Callable[[Any], Any]) -> Module:
        from trine.nn.compiled import OptimizedModule

        return OptimizedModule(self, compiler)

    # --- text ---------------------------------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """Return what stands in the parentheses of the module's repr."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        head = extra.split("\n") if extra else []
        lines = [f"({name}): " + indented(repr(child)) for name, child in self._modules.items()]
        if not lines and len(head) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(head + lines) + "\n)"


def indented(text: str) -> str:
    """Return a text with all lines but the first two columns to the right."""
    return text.replace("\n", "\n  ")
