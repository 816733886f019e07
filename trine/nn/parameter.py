"""Parameters and buffers of modules, and those whose shape is not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.errors import TrineError, message
from trine.tensor import Tensor
from trine.tensor.size import Size
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
            data = _nothing()
        made: Parameter = alias_of(data.detach(), cls)
        return made.requires_grad_(requires_grad)  # type: ignore[return-value]

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        pass

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that belongs to a module's state and is not learnt.

    Args:
        data: its value. persistent: False keeps it out of `state_dict`.

    >>> import trine
    >>> trine.nn.Buffer(trine.ones(2)).requires_grad
    False
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        made: Buffer = alias_of((_nothing() if data is None else data).detach(), cls)
        made.__dict__["persistent"] = persistent
        return made

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        pass


class _Uninitialized(Tensor):
    """What parameters and buffers without a shape share: `materialize` gives them one."""

    __slots__ = ()

    def materialize(self, shape: Sequence[int], device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary parameter (or buffer) of this shape, with values that are not set."""
        from trine.ops.creation import empty

        self.data = empty(tuple(shape), dtype=self.dtype if dtype is None else dtype, device=device)
        self.__class__ = _ORDINARY[type(self)]

    @property
    def shape(self) -> Size:
        """The shape: not known yet.

        Raises:
            TrineError: always; call the module first.
        """
        raise _Unknown(message(f"{type(self).__name__}: the shape is not known yet", fix="call the module with an example first"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _uninitialized, (type(self), self.requires_grad, self.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copy = memo[id(self)] = _uninitialized(type(self), self.requires_grad, self.dtype)
        return copy


class _Unknown(TrineError, RuntimeError):
    """The shape of an uninitialized parameter was asked for."""


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is found when its (lazy) module is called for the first time.

    Args:
        requires_grad: False freezes it. device, dtype: where and what it will be.

    >>> import trine
    >>> p = trine.nn.UninitializedParameter()
    >>> p.materialize((2, 3))
    >>> type(p).__name__, p.shape
    ('Parameter', trine.Size([2, 3]))
    """

    __slots__ = ()

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> UninitializedParameter:
        return _uninitialized(cls, requires_grad, dtype, device)  # type: ignore[no-any-return]

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        pass


class UninitializedBuffer(_Uninitialized, Buffer):
    """A buffer whose shape is found when its (lazy) module is called for the first time.

    >>> import trine
    >>> trine.nn.UninitializedBuffer()
    <UninitializedBuffer>
    """

    __slots__ = ()

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True) -> UninitializedBuffer:
        made: UninitializedBuffer = _uninitialized(cls, requires_grad, dtype, device)
        made.__dict__["persistent"] = persistent
        return made

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True) -> None:
        pass


_ORDINARY: dict[type, type] = {UninitializedParameter: Parameter, UninitializedBuffer: Tensor}


def _nothing() -> Tensor:
    from trine.tensor.convert import tensor

    return tensor([])


def _uninitialized(cls: type[Tensor], requires_grad: bool, dtype: Any = None, device: Any = None) -> Any:
    from trine.ops.creation import empty

    return alias_of(empty(0, dtype=dtype, device=device), cls).requires_grad_(requires_grad)


def is_lazy(value: object) -> bool:
    """Return True for a parameter or buffer whose shape is not known yet."""
    return isinstance(value, _Uninitialized)
