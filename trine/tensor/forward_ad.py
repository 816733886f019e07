"""`autograd.forward_ad`: forward mode with dual tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

from trine.errors import GradientError, ShapeError, message
from trine.tensor import recorder
from trine.tensor.levels import JvpLevel
from trine.tensor.recorder import held_back, local
from trine.tensor.tensor import Tensor

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class UnpackedDualTensor(NamedTuple):
    """The value of a dual tensor, and its tangent (None if it has none)."""

    primal: Tensor
    tangent: Tensor | None


class DualLevel(JvpLevel):
    """The level of `dual_level`: observed values are computed beside the recording, which ends with the level."""

    def __init__(self) -> None:
        super().__init__()
        self.held = held_back()


def enter_dual_level() -> int:
    """Begin a level in which tensors may have tangents; return its number.

    Raises:
        GradientError: there is one already.
    """
    if any(isinstance(level, DualLevel) for level in local.levels):
        raise GradientError(message("forward_ad: nested dual levels", received="a second level", expected="one", fix="use trine.func.jvp"))
    level = DualLevel()
    level.held.__enter__()
    local.levels.append(level)
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level: what was computed keeps its value and loses its tangent.

    Raises:
        GradientError: there is none.
    """
    current = _level("exit_dual_level")
    local.levels.remove(current)
    current.held.__exit__()
    if local.eager and not local.in_pass:
        recorder.flush()


def _level(op: str) -> DualLevel:
    for level in reversed(local.levels):
        if isinstance(level, DualLevel):
            return level
    fix = "with trine.autograd.forward_ad.dual_level(): …"
    raise GradientError(message(f"{op}: no dual level", received="a call outside of dual_level", fix=fix))


class dual_level:
    """Context manager in which `make_dual` and `unpack_dual` work.

    >>> import trine
    >>> from trine.autograd import forward_ad
    >>> with forward_ad.dual_level():
    ...     x = forward_ad.make_dual(trine.tensor([2.0]), trine.tensor([1.0]))
    ...     y = forward_ad.unpack_dual(x ** 3)
    >>> y.primal, y.tangent
    (tensor([8.]), tensor([12.]))
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *_: object) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """Return a tensor with the value of `tensor` that has a tangent.

    Raises:
        ShapeError: the tangent's shape or dtype is another. GradientError: outside of a level.
    """
    current = _level("make_dual")
    if tangent._meta.shape != tensor._meta.shape or tangent._meta.dtype is not tensor._meta.dtype:
        received = f"shape {tangent._meta.shape}, dtype {tangent._meta.dtype.name}"
        expected = f"shape {tensor._meta.shape}, dtype {tensor._meta.dtype.name}"
        raise ShapeError(message("make_dual: the tangent does not fit", received=received, expected=expected))
    return current.dual(tensor, tangent)


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """Return the value and the tangent of a tensor (no tangent outside of a level)."""
    levels: list[Any] = [candidate for candidate in local.levels if isinstance(candidate, DualLevel)]
    if not levels:
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(tensor, levels[-1].tangents([tensor])[0])
