"""NumPy reference of the sources and the elementwise primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trine import dtypes
from trine.core import random_bits as philox
from trine.core import special
from trine.core.graph import Node
from trine.core.reference_base import Array, Implementation, decode, encode, exact, quiet, rounded, widen
from trine.errors import IndexOutOfRangeError, message


def _const(node: Node) -> Array:
    return encode(np.array(node.attrs[0], np.float64 if node.dtype.is_floating_point else node.dtype.numpy), node.dtype)


def _iota(node: Node) -> Array:
    shape, axis = node.attrs
    column = [1] * len(shape)
    column[axis] = shape[axis]
    return np.broadcast_to(np.arange(shape[axis], dtype=np.int64).reshape(column), shape)


def _random_bits(node: Node, seed: Array, offset: Array) -> Array:
    return philox.random_bits(int(seed), int(offset), node.shape)


def _sigmoid(x: Array) -> Array:
    if np.iscomplexobj(x):
        return np.asarray(1 / (1 + np.exp(-x)))
    decay = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + decay), decay / (1 + decay))


def _special(function: Callable[[Array], Array]) -> Implementation:
    return rounded(lambda x: function(np.asarray(x)).reshape(np.shape(x)))


def _integer_pow(a: Array, b: Array) -> Array:
    """Integer power that wraps; a negative exponent truncates the fraction to 0, unless the base is 1 or -1."""
    positive = np.power(a, np.maximum(b, 0))
    if not np.issubdtype(np.asarray(b).dtype, np.signedinteger):
        return np.asarray(positive)
    unit = np.where(a == 1, 1, np.where(a == -1, np.where(b % 2 == 0, 1, -1), 0)).astype(a.dtype)
    return np.where(b < 0, unit, positive)


def _pow(node: Node, a: Array, b: Array) -> Array:
    if node.dtype.is_integer:
        return _integer_pow(a, b)
    return _float_pow(node, a, b)


_float_pow = rounded(np.power)


def _nextafter(node: Node, a: Array, b: Array) -> Array:
    if node.dtype is not dtypes.bfloat16:
        return np.asarray(np.nextafter(a, b))
    # On bfloat16 patterns: the magnitude is an integer that steps by one; a zero takes the sign of the target.
    x, y = decode(a, node.dtype), decode(b, node.dtype)
    grows = np.where(x == 0, True, (y > x) == (x > 0))
    stepped = np.where(x == 0, np.where(y < 0, 0x8001, 0x0001), np.where(grows, a.astype(np.int64) + 1, a.astype(np.int64) - 1))
    result = np.where(x == y, b, stepped.astype(np.uint16))
    return np.where(np.isnan(x) | np.isnan(y), np.uint16(0x7FC0), result).astype(np.uint16)


def _cast(node: Node, x: Array) -> Array:
    value = decode(x, node.inputs[0].dtype)
    target = node.dtype
    if target is dtypes.bool_:
        return np.asarray(value != 0)
    if np.iscomplexobj(value) and not target.is_complex:
        value = value.real
    return encode(value, target)


def _check_index(node: Node, index: Array) -> Array:
    size, wraps = node.attrs
    lowest = -size if wraps else 0
    outside = (index < lowest) | (index >= size)
    if outside.any():
        raise IndexOutOfRangeError(
            message(
                "index out of range",
                received=f"index {int(index[outside].flat[0])} on an axis of size {size}",
                expected=f"an index from {lowest} to {size - 1}" if size else "no index: the axis is empty",
                where=node.source,
            )
        )
    return np.where(index < 0, index + size, index).astype(index.dtype)


def _library(node: Node, *operands: Array) -> Array:
    from trine.core.library_functions import FUNCTIONS

    values = [widen(decode(a, i.dtype)) for a, i in zip(operands, node.inputs, strict=True)]
    return encode(np.asarray(FUNCTIONS[node.attrs[0]](*values)).reshape(node.shape), node.dtype)


def _where(node: Node, condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


EXACT: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.rint,
    "sqrt": np.sqrt,
    "logical_not": np.logical_not,
    "bitwise_not": np.invert,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "real": np.real,
    "imag": np.imag,
    "conj": np.conj,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "floor_div": np.floor_divide,
    "remainder": np.remainder,
    "fmod": np.fmod,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "copysign": np.copysign,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "shift_left": np.left_shift,
    "shift_right": np.right_shift,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}

ROUNDED: dict[str, Callable[..., Any]] = {
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "reciprocal": lambda x: 1 / x,
    "sigmoid": _sigmoid,
    "atan2": np.arctan2,
}

SPECIAL: dict[str, Callable[[Array], Array]] = {
    "erf": special.erf,
    "erfc": special.erfc,
    "erfinv": special.erfinv,
    "lgamma": special.lgamma,
    "digamma": special.digamma,
}

ELEMENTWISE: dict[str, Implementation] = {
    **{name: exact(function) for name, function in EXACT.items()},
    **{name: rounded(function) for name, function in ROUNDED.items()},
    **{name: _special(function) for name, function in SPECIAL.items()},
    "const": _const,
    "iota": _iota,
    "random_bits": _random_bits,
    "pow": quiet(_pow),
    "nextafter": quiet(_nextafter),
    "cast": quiet(_cast),
    "bitcast": lambda node, x: x.view(node.dtype.numpy),
    "stop_gradient": lambda node, x: x,
    "check_index": _check_index,
    "where": _where,
    "library": quiet(_library),
}
