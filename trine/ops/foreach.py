"""Functions of lists of tensors, elementwise over the lists: the private `torch._foreach_*`. All are one program anyway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trine.errors import ArgumentError, message
from trine.tensor import Tensor

_UNARY = """abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round rsqrt sigmoid
sign sin sinh sqrt tan tanh trunc""".split()
_BINARY = "add sub mul div pow clamp_min clamp_max maximum minimum".split()
_TERNARY = "addcdiv addcmul lerp".split()


def _column(values: Any, count: int, name: str) -> list[Any]:
    """Return one operand for each tensor: elements of a list, or the number or tensor itself for all."""
    if not isinstance(values, (list, tuple)):
        return [values] * count
    if len(values) != count:
        received, expected = f"{len(values)} elements", f"{count}"
        raise ArgumentError(message(f"_foreach_{name}: lists of different lengths", received=received, expected=expected))
    return list(values)


def _method(tensor: Any, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(tensor, name)
    return found


def _make(name: str) -> tuple[Callable[..., list[Tensor]], Callable[..., None]]:
    """Return ``_foreach_name`` and ``_foreach_name_``."""

    def function(self: Sequence[Tensor], *others: Any, **options: Any) -> list[Tensor]:
        columns = [_column(o, len(self), name) for o in others]
        return [_method(t, name)(*row, **options) for t, *row in zip(self, *columns, strict=True)]

    def in_place(self: Sequence[Any], *others: Any, **options: Any) -> None:
        for tensor, result in zip(self, function(self, *others, **options), strict=True):
            tensor.copy_(result)

    function.__name__, in_place.__name__ = f"_foreach_{name}", f"_foreach_{name}_"
    function.__doc__ = f"""Return `{name}` of each tensor of a list; other operands are lists as long, or one for all."""
    in_place.__doc__ = f"""Write `{name}` of each tensor of a list into it; other operands are lists as long, or one for all."""
    return function, in_place


def _foreach_zero_(self: Sequence[Any]) -> None:
    """Set every tensor of a list to zero."""
    for tensor in self:
        tensor.zero_()


def _foreach_copy_(self: Sequence[Any], src: Sequence[Tensor], non_blocking: bool = False) -> None:
    """Write the tensors of one list into those of another."""
    for tensor, source in zip(self, _column(src, len(self), "copy_"), strict=True):
        tensor.copy_(source)


def _foreach_norm(self: Sequence[Any], ord: float = 2, dtype: Any = None) -> list[Tensor]:
    """Return the norm of each tensor of a list."""
    return [t.norm(ord, dtype=dtype) if dtype is not None else t.norm(ord) for t in self]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "_foreach_zero_": _foreach_zero_,
    "_foreach_copy_": _foreach_copy_,
    "_foreach_norm": _foreach_norm,
}
for _name in (*_UNARY, *_BINARY, *_TERNARY):
    FUNCTIONS[f"_foreach_{_name}"], FUNCTIONS[f"_foreach_{_name}_"] = _make(_name)


def __getattr__(name: str) -> Any:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    raise AttributeError(f"module 'trine.ops.foreach' has no attribute '{name}'")
