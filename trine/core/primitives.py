"""The closed table of primitives: every graph is made of these rows. docs/architecture.md, section 3, says what each one computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from trine import dtypes
from trine.core import attention_rules, dtype_rules, library_rules, shape_rules, window_rules
from trine.core.dtype_rules import Fixed, Same
from trine.core.library_rules import Library

Reference = Callable[..., npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Primitive:
    """A row of the table.

    Attributes:
        name: what `Node.op` holds, and the name of the builder in `trine.core.build`.
        family: group, as in docs/architecture.md.
        num_operands: number of operands; None for any.
        attributes: names of the static attributes, in the order of `Node.attrs`.
        shape_rule, dtype_rule: functions of (name, operands, attributes).
        is_differentiable: whether gradients may flow through it (they may be zero everywhere, as for floor).
    """

    name: str
    family: str
    num_operands: int | None
    attributes: tuple[str, ...]
    shape_rule: shape_rules.Rule
    dtype_rule: dtype_rules.Rule
    is_differentiable: bool = True

    @property
    def reference(self) -> Reference:
        """The NumPy implementation, a function of (node, *operand arrays)."""
        from trine.core.reference import REFERENCE  # the reference is loaded only when something is run with it

        return REFERENCE[self.name]


PRIMITIVES: dict[str, Primitive] = {}


def _rows(
    names: str,
    family: str,
    num_operands: int | None,
    attributes: str,
    shape_rule: shape_rules.Rule,
    dtype_rule: dtype_rules.Rule,
    is_differentiable: bool = True,
) -> None:
    """Add a row for each of `names`."""
    for name in names.split():
        PRIMITIVES[name] = Primitive(name, family, num_operands, tuple(attributes.split()), shape_rule, dtype_rule, is_differentiable)


S, W, D, L = shape_rules, window_rules, dtype_rules, library_rules
REAL, NUMBER, FLOAT, MATH, BITS, ANY = "iuf", "iufc", "f", "fc", "biu", "biufc"
CONV, WINDOW = "stride padding dilation groups", "window stride padding dilation"

_rows("input", "source", 0, "position", S.unknown, D.unknown)
_rows("scalar", "source", 0, "position", S.scalar, D.unknown)
_rows("const", "source", 0, "value", S.scalar, D.unknown)
_rows("iota", "source", 0, "shape axis", S.first_attribute, Fixed(dtypes.int64))
_rows("random_bits", "source", 2, "shape", S.first_attribute, D.random_bits)

_rows("neg", "unary", 1, "", S.same, Same(NUMBER))
_rows("abs", "unary", 1, "", S.same, Same(NUMBER, real=True))
_rows("sign floor ceil trunc round", "unary", 1, "", S.same, Same(REAL))
_rows("sqrt rsqrt exp exp2 expm1 log log2 log10 log1p reciprocal sigmoid", "unary", 1, "", S.same, Same(MATH))
_rows("sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh", "unary", 1, "", S.same, Same(MATH))
_rows("erf erfc erfinv lgamma digamma", "unary", 1, "", S.same, Same(FLOAT))
_rows("logical_not", "unary", 1, "", S.same, Same("b"))
_rows("bitwise_not", "unary", 1, "", S.same, Same("iu"))
_rows("isnan isinf isfinite", "unary", 1, "", S.same, Same(MATH, dtypes.bool_))
_rows("real imag", "unary", 1, "", S.same, Same("c", real=True))
_rows("conj", "unary", 1, "", S.same, Same("c"))

_rows("cast", "typed unary", 1, "dtype", S.same, D.target)
_rows("bitcast", "typed unary", 1, "dtype", S.same, D.same_size_target, is_differentiable=False)
_rows("stop_gradient", "typed unary", 1, "", S.same, Same(ANY), is_differentiable=False)
_rows("check_index", "typed unary", 1, "size wraps", S.same, D.index)

_rows("add sub mul pow", "binary", 2, "", S.broadcasting, Same(NUMBER))
_rows("div", "binary", 2, "", S.broadcasting, Same(MATH))
_rows("floor_div remainder fmod", "binary", 2, "", S.broadcasting, Same(REAL))
_rows("maximum minimum", "binary", 2, "", S.broadcasting, Same("biuf"))
_rows("atan2 copysign nextafter", "binary", 2, "", S.broadcasting, Same(FLOAT))
_rows("bitwise_and bitwise_or bitwise_xor", "binary", 2, "", S.broadcasting, Same(BITS))
_rows("shift_left shift_right", "binary", 2, "", S.broadcasting, Same("iu"))
_rows("eq ne", "binary", 2, "", S.broadcasting, Same(ANY, dtypes.bool_))
_rows("lt le gt ge", "binary", 2, "", S.broadcasting, Same("biuf", dtypes.bool_))
_rows("library", "library", None, "function", S.broadcasting, D.library)
_rows("where", "select", 3, "", S.broadcasting, D.where)

_rows("sum prod", "reduce", 1, "axes", S.reduced, Same(NUMBER))
_rows("max min", "reduce", 1, "axes", S.reduced_not_empty, Same("biuf"))
_rows("argmax argmin", "reduce", 1, "axis", S.reduced_not_empty, Same("biuf", dtypes.int64))
_rows("cumsum cumprod", "scan", 1, "axis reverse", S.same, Same(NUMBER))
_rows("cummax cummin", "scan", 1, "axis reverse", S.same, Same("biuf"))

_rows("reshape", "movement", 1, "shape", S.first_attribute, Same(ANY))
_rows("permute", "movement", 1, "axes", S.permuted, Same(ANY))
_rows("expand", "movement", 1, "shape", S.expanded, Same(ANY))
_rows("pad", "movement", 1, "low high value", S.padded, Same(ANY))
_rows("slice", "movement", 1, "start stop step", S.sliced, Same(ANY))
_rows("flip", "movement", 1, "axes", S.same, Same(ANY))
_rows("concat", "concat", None, "axis", S.concatenated, Same(ANY))
_rows("update", "update", 2, "start step", S.updated, Same(ANY))

_rows("take", "index", 2, "axis", S.taken, D.indexed)
_rows("take_along", "index", 2, "axis", S.taken_along, D.indexed)
_rows("put", "index", 3, "axis mode", S.put, D.put)
_rows("put_along", "index", 3, "axis mode", S.put_along, D.put)
_rows("argsort", "sort", 1, "axis descending", S.same, Same("biuf", dtypes.int64))

_rows("dot", "dot", 2, "", S.dot, Same(NUMBER))
_rows("attention", "attention", None, "scale causal heads", attention_rules.attention, attention_rules.dtype)
_rows("attention_grad", "attention", None, "scale causal heads", attention_rules.attention, attention_rules.dtype)
_rows("conv", "conv", 2, CONV, W.conv, Same(NUMBER))
_rows("conv_input_grad", "conv", 2, "input_shape " + CONV, W.conv_input_grad, Same(NUMBER))
_rows("conv_weight_grad", "conv", 2, "weight_shape " + CONV, W.conv_weight_grad, Same(NUMBER))
_rows("window_max", "window", 1, WINDOW, W.window, Same(REAL))
_rows("window_sum", "window", 1, WINDOW, W.window, Same(NUMBER))
_rows("window_argmax", "window", 1, WINDOW, W.window, Same(REAL, dtypes.int64))
_rows("window_max_grad", "window", 2, WINDOW, W.window_max_grad, Same(REAL))
_rows("window_sum_grad", "window", 1, "input_shape " + WINDOW, W.window_sum_grad, Same(NUMBER))

_rows("cholesky inv", "linalg", 1, "check", L.square, Library())
_rows("matrix_exp cofactor", "linalg", 1, "", L.square, Library())
_rows("det", "linalg", 1, "", L.number_of_square, Library())
_rows("eigvalsh", "linalg", 1, "lower", L.values_of_square, Library("real"), is_differentiable=False)
_rows("eigvals", "linalg", 1, "", L.values_of_square, Library("complex"), is_differentiable=False)
_rows("svdvals", "linalg", 1, "", L.singular_values, Library("real"), is_differentiable=False)
_rows("solve", "linalg", 2, "check", L.solution, Library())
_rows("triangular_solve", "linalg", 2, "lower unit", L.solution, Library())
_rows("cholesky_solve", "linalg", 2, "", L.solution, Library())
_rows("ldl_solve", "linalg", 3, "hermitian", L.solution, Library(), is_differentiable=False)
_rows("lstsq", "linalg", 2, "rcond", L.least_squares, Library())
_rows("pinv", "linalg", 3, "hermitian", L.pseudo_inverse, Library())
_rows("eigh", "linalg", 1, "lower", L.packed, Library())
_rows("eig", "linalg", 1, "", L.packed, Library("complex"))
_rows("svd qr", "linalg", 1, "full", L.packed, Library())
_rows("lu", "linalg", 1, "pivot", L.packed, Library())
_rows("slogdet", "linalg", 1, "", L.packed, Library())
_rows("pivot_order", "linalg", 1, "rows", L.row_order, L.integer_in, is_differentiable=False)
_rows("geqrf", "linalg", 1, "", L.packed, Library(), is_differentiable=False)
_rows("ldl", "linalg", 1, "hermitian", L.packed, Library(), is_differentiable=False)

_rows("fft", "fourier", 1, "axes inverse", S.same, Same("c"))
_rows("rfft", "fourier", 1, "axis", L.half_spectrum, Library("complex", "f"))
_rows("irfft", "fourier", 1, "axis length", L.full_signal, L.complex_in)
