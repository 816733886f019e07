"""Conjugation and the like, under all of PyTorch's names. Nothing here is lazy: a conjugate is a tensor like any other."""

from __future__ import annotations

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.ops.elementwise import UnaryFunction, unary
from trine.ops.promotion import number
from trine.tensor import Tensor


def _isreal(x: Node) -> Node:
    if x.dtype.is_complex:
        imaginary = b.imag(x)
        return b.eq(imaginary, number(0, imaginary))
    return b.full(True, x.shape, dtypes.bool_)


isreal: UnaryFunction = unary("isreal", _isreal, "Return True where the imaginary part is zero.", "[1.0, 2.0]", "[True, True]", __name__)
conj_physical: UnaryFunction = unary("conj_physical", b.conj, "Return the complex conjugate.", "[1.0, 2.0]", "[1., 2.]", __name__)


def resolve_conj(input: Tensor) -> Tensor:
    """Return the tensor itself: no tensor has a conjugation that is still to be done.

    Example:
        >>> import trine
        >>> trine.resolve_conj(trine.tensor([1, 2]))
        tensor([1, 2])
    """
    return input


def resolve_neg(input: Tensor) -> Tensor:
    """Return the tensor itself: no tensor has a negation that is still to be done.

    Example:
        >>> import trine
        >>> trine.resolve_neg(trine.tensor([1, 2]))
        tensor([1, 2])
    """
    return input


def is_conj(input: Tensor) -> bool:
    """Return False: conjugates are computed like anything else.

    Example:
        >>> import trine
        >>> trine.is_conj(trine.tensor([1j]).conj())
        False
    """
    return False


def is_neg(input: Tensor) -> bool:
    """Return False: negations are computed like anything else.

    Example:
        >>> import trine
        >>> trine.is_neg(trine.tensor([1]))
        False
    """
    return False
