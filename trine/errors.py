"""Typed errors: each also derives from the builtin that users of NumPy and PyTorch catch for the same mistake."""

from __future__ import annotations

__all__ = [
    "AllocationError",
    "ArgumentError",
    "AxisError",
    "CacheWarning",
    "CheckpointError",
    "CompileError",
    "DTypeError",
    "DeviceError",
    "GradientError",
    "InPlaceError",
    "IndexOutOfRangeError",
    "LinAlgError",
    "ShapeError",
    "TrineError",
    "UnsupportedError",
    "message",
]


class TrineError(Exception):
    """Base class of every error that Trine raises on purpose."""


class ShapeError(TrineError, RuntimeError, ValueError):
    """Shapes do not fit together, or a shape is not one."""


class DTypeError(TrineError, TypeError, RuntimeError):
    """An operation does not exist for a dtype, or dtypes do not combine."""


class ArgumentError(TrineError, ValueError, TypeError, RuntimeError):
    """An argument has a wrong type or an impossible value."""


class DeviceError(ArgumentError, AssertionError):
    """A device that does not exist here."""


class AxisError(TrineError, IndexError, ValueError):
    """An axis is out of range, or stands twice where it may stand once."""


class IndexOutOfRangeError(TrineError, IndexError, RuntimeError):
    """An index lies outside the axis that it selects from."""


class InPlaceError(TrineError, RuntimeError):
    """A write would change a value that must not change (a leaf that requires grad, a value that backward needs)."""


class LinAlgError(TrineError, RuntimeError):
    """A matrix does not have what was asked for: it is singular, not positive definite, or an iteration did not converge."""


class GradientError(TrineError, RuntimeError):
    """A gradient was asked for that cannot be computed."""


class CheckpointError(TrineError, ValueError, RuntimeError):
    """A file is damaged, truncated, or does not fit the object that it is loaded into."""


class CompileError(TrineError, RuntimeError):
    """The compiler could not make a kernel or a plan."""


class AllocationError(TrineError, MemoryError, RuntimeError):
    """Memory could not be obtained."""


class UnsupportedError(TrineError, NotImplementedError):
    """The operation is known but not available here."""


class CacheWarning(UserWarning):
    """A file of the kernel cache could not be read or written; work goes on without it."""


def message(what: str, *, received: object = None, expected: object = None, fix: str | None = None, where: str | None = None) -> str:
    """Return the text of an error in the one form that all errors have.

    Args:
        what: the mistake in a few words, beginning with the name of the operation: ``"add: shapes do not broadcast"``.
        received: what came; strings are printed as they are.
        expected: what would have been right.
        fix: what the reader can do about it.
        where: the user's line, such as ``"train.py:31 in step"``.

    Example:
        >>> print(message("add: shapes do not broadcast", received="(2, 3) and (4,)", expected="equal sizes or 1", fix="reshape one"))
        add: shapes do not broadcast
          received: (2, 3) and (4,)
          expected: equal sizes or 1
          fix: reshape one
    """
    rows = (("received", received), ("expected", expected), ("fix", fix), ("at", where))
    return "\n".join([what, *(f"  {name}: {value}" for name, value in rows if value is not None)])
