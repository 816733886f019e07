"""Parameters and buffers of modules."""

from __future__ import annotations

from typing import Any

from trine.tensor import Tensor
from trine.tensor.tensor import alias_of


class Parameter(Tensor):
    """A tensor that a module learns: assigned as an attribute it is listed by `Module.parameters()`.

    Args:
        data: its initial value. requires_grad: False freezes it.

    >>> import trine
    >>> trine.nn.Parameter(trine.ones(2)).requires_grad
    True
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            from trine.tensor.convert import tensor

            data = tensor([])
        made: Parameter = alias_of(data.detach(), cls)
        return made.requires_grad_(requires_grad)  # type: ignore[return-value]

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        pass

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that belongs to a module's state and is not learnt."""

    __slots__ = ()

    def __new__(cls, data: Tensor, *, persistent: bool = True) -> Buffer:
        made: Buffer = alias_of(data.detach(), cls)
        made.__dict__["persistent"] = persistent
        return made

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        pass
