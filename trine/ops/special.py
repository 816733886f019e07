"""The functions of `trine.special` that have no other home: Bessel functions, the normal distribution, gamma functions, polynomials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, message
from trine.ops import bessel, gamma
from trine.ops import normal_distribution as normal
from trine.ops.arguments import write_out
from trine.ops.arithmetic import BinaryBuilder, BinaryFunction, binary
from trine.ops.chebyshev import in_double
from trine.ops.elementwise import UnaryFunction, unary
from trine.ops.promotion import as_dtype, as_float, number, promote_float
from trine.tensor import Tensor, record


def _unary(name: str, builder: Callable[[Node], Node], text: str, example: str, result: str) -> UnaryFunction:
    return unary(name, in_double(builder), text, example, result, __name__)


i0 = _unary("i0", bessel.i0, "Return the modified Bessel function of the first kind of order 0.", "[0.0, 1.0]", "[1.0000, 1.2661]")
i0e = _unary("i0e", bessel.i0e, "Return ``exp(-abs(input)) * i0(input)``.", "[0.0, 1.0]", "[1.0000, 0.4658]")
i1 = _unary("i1", bessel.i1, "Return the modified Bessel function of the first kind of order 1.", "[0.0, 1.0]", "[0.0000, 0.5652]")
i1e = _unary("i1e", bessel.i1e, "Return ``exp(-abs(input)) * i1(input)``.", "[0.0, 1.0]", "[0.0000, 0.2079]")
modified_bessel_i0 = _unary("modified_bessel_i0", bessel.i0, "Return `i0`.", "[0.0, 1.0]", "[1.0000, 1.2661]")
modified_bessel_i1 = _unary("modified_bessel_i1", bessel.i1, "Return `i1`.", "[0.0, 1.0]", "[0.0000, 0.5652]")
modified_bessel_k0 = _unary(
    "modified_bessel_k0", bessel.k0, "Return the modified Bessel function of the second kind of order 0.", "[0.0, 1.0]", "[   inf, 0.4210]"
)
modified_bessel_k1 = _unary(
    "modified_bessel_k1", bessel.k1, "Return the modified Bessel function of the second kind of order 1.", "[0.0, 1.0]", "[   inf, 0.6019]"
)
bessel_j0 = _unary("bessel_j0", bessel.j0, "Return the Bessel function of the first kind of order 0.", "[0.0, 1.0]", "[1.0000, 0.7652]")
bessel_j1 = _unary("bessel_j1", bessel.j1, "Return the Bessel function of the first kind of order 1.", "[0.0, 1.0]", "[0.0000, 0.4401]")
bessel_y0 = _unary("bessel_y0", bessel.y0, "Return the Bessel function of the second kind of order 0.", "[1.0, 2.0]", "[0.0883, 0.5104]")
bessel_y1 = _unary("bessel_y1", bessel.y1, "Return the Bessel function of the second kind of order 1.", "[1.0, 2.0]", "[-0.7812, -0.1070]")
airy_ai = _unary("airy_ai", bessel.airy_ai, "Return the Airy function Ai.", "[0.0, 1.0]", "[0.3550, 0.1353]")
erfcx = _unary("erfcx", normal.erfcx, "Return ``exp(input**2) * erfc(input)`` without overflow.", "[0.0, 1.0]", "[1.0000, 0.4276]")
ndtr = _unary("ndtr", normal.ndtr, "Return the standard normal distribution function.", "[0.0, 1.0]", "[0.5000, 0.8413]")
log_ndtr = _unary(
    "log_ndtr", normal.log_ndtr, "Return the logarithm of `ndtr`, exact far below 0 too.", "[0.0, -30.0]", "[  -0.6931, -454.3213]"
)
ndtri = _unary("ndtri", normal.ndtri, "Return the inverse of `ndtr`.", "[0.5, 0.975]", "[0.0000, 1.9600]")
entr = _unary("entr", normal.entr, "Return ``-input * log(input)``: 0 at 0 and -inf below.", "[0.0, 0.5, 1.0]", "[0.0000, 0.3466, -0.0000]")


def _scaled_unary(name: str, builder: Callable[[Node], Node], text: str, example: str, result: str) -> UnaryFunction:
    """Return a function whose argument may also be called `x`, as these are in PyTorch."""
    inner = in_double(builder)

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        return write_out(record(inner, (input,)), out)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = f"""{text}

    Example:
        >>> import trine
        >>> trine.special.{name}(trine.tensor({example}))
        tensor({result})
    """
    return function


scaled_modified_bessel_k0 = _scaled_unary(
    "scaled_modified_bessel_k0", bessel.k0e, "Return ``exp(input) * modified_bessel_k0(input)``.", "[1.0, 2.0]", "[1.1445, 0.8416]"
)
scaled_modified_bessel_k1 = _scaled_unary(
    "scaled_modified_bessel_k1", bessel.k1e, "Return ``exp(input) * modified_bessel_k1(input)``.", "[1.0, 2.0]", "[1.6362, 1.0335]"
)
spherical_bessel_j0 = _scaled_unary(
    "spherical_bessel_j0", bessel.spherical_j0, "Return ``sin(input) / input``, 1 at 0.", "[0.0, 1.0]", "[1.0000, 0.8415]"
)


# --- two operands -------------------------------------------------------------------------------------------------------------------


def _in_double(builder: BinaryBuilder) -> BinaryBuilder:
    """Return a builder of promoted operands that computes in float64 and rounds once."""

    def wide(x: Node, y: Node) -> Node:
        x, y = promote_float(x, y)
        return as_dtype(builder(as_dtype(x, dtypes.float64), as_dtype(y, dtypes.float64)), x.dtype)

    return wide


def _xlog1py(x: Node, y: Node) -> Node:
    x, y = promote_float(x, y)
    # Where 0 meets an infinite or undefined logarithm the product is 0; elsewhere its gradient is the logarithm, as in PyTorch.
    zero = number(0, x)
    odd = b.bitwise_or(b.le(y, number(-1, y)), b.isinf(y))
    flat = b.bitwise_and(b.eq(x, zero), odd)
    return b.where(flat, zero, b.mul(x, b.log1p(b.where(flat, zero, y))))


def _library(function: str) -> BinaryBuilder:
    def builder(x: Node, y: Node) -> Node:
        return b.library(function, *promote_float(x, y))

    return builder


def _shifted(function: str) -> BinaryBuilder:
    """Return the polynomial on [0, 1] instead of [-1, 1]."""

    def builder(x: Node, n: Node) -> Node:
        x, n = promote_float(x, n)
        return b.library(function, b.sub(b.mul(number(2, x), x), number(1, x)), n)

    return builder


def _binary(name: str, builder: BinaryBuilder, text: str, example: str, result: str) -> BinaryFunction:
    return binary(name, builder, text, example, result, __name__)


xlog1py = _binary(
    "xlog1py",
    _xlog1py,
    "Return ``input * log1p(other)``, and 0 where `input` is 0.",
    "trine.tensor([0., 1.]), trine.tensor([-1., 1.])",
    "[0.0000, 0.6931]",
)
zeta = _binary(
    "zeta",
    _in_double(gamma.zeta),
    "Return the Hurwitz zeta function ``sum((other + k) ** -input for k = 0, 1, ...)``.",
    "trine.tensor([2., 4.]), 1",
    "[1.6449, 1.0823]",
)
gammainc = _binary(
    "gammainc",
    _library("gammainc"),
    "Return the regularized lower incomplete gamma function P(input, other); its gradient is defined for `other`.",
    "trine.tensor([1., 2.]), trine.tensor([1., 1.])",
    "[0.6321, 0.2642]",
)
gammaincc = _binary(
    "gammaincc",
    _library("gammaincc"),
    "Return the regularized upper incomplete gamma function ``1 - gammainc(input, other)``.",
    "trine.tensor([1., 2.]), trine.tensor([1., 1.])",
    "[0.3679, 0.7358]",
)


def _polynomial(name: str, builder: BinaryBuilder, family: str, result: str) -> Callable[..., Tensor]:
    """Return the public function of an orthogonal polynomial."""

    def function(input: Tensor | float, n: Tensor | float, *, out: Tensor | None = None) -> Tensor:
        return write_out(record(builder, (input, n)), out)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = f"""Return the {family} polynomial of degree `n` at `input`; 0 where n < 0. It has no gradient, as in PyTorch.

    Args:
        input: tensor of any shape, or a number.
        n: degrees: tensor whose shape broadcasts with it, or a number.
        out: tensor to write the result into.

    Example:
        >>> import trine
        >>> trine.special.{name}(trine.tensor([0.25, 2.0]), 2)
        tensor({result})
    """
    return function


def _family(name: str, function: str, family: str, result: str, shifted: bool = False) -> Callable[..., Tensor]:
    return _polynomial(name, _shifted(function) if shifted else _library(function), family, result)


chebyshev_polynomial_t = _family("chebyshev_polynomial_t", "chebyshev_t", "Chebyshev T", "[-0.8750,  7.0000]")
chebyshev_polynomial_u = _family("chebyshev_polynomial_u", "chebyshev_u", "Chebyshev U", "[-0.7500, 15.0000]")
chebyshev_polynomial_v = _family("chebyshev_polynomial_v", "chebyshev_v", "Chebyshev V", "[-1.2500, 11.0000]")
chebyshev_polynomial_w = _family("chebyshev_polynomial_w", "chebyshev_w", "Chebyshev W", "[-0.2500, 19.0000]")
hermite_polynomial_h = _family("hermite_polynomial_h", "hermite_h", "physicists' Hermite", "[-1.7500, 14.0000]")
hermite_polynomial_he = _family("hermite_polynomial_he", "hermite_he", "probabilists' Hermite", "[-0.9375,  3.0000]")
laguerre_polynomial_l = _family("laguerre_polynomial_l", "laguerre_l", "Laguerre", "[ 0.5312, -1.0000]")
legendre_polynomial_p = _family("legendre_polynomial_p", "legendre_p", "Legendre", "[-0.4062,  5.5000]")
shifted_chebyshev_polynomial_t = _family("shifted_chebyshev_polynomial_t", "chebyshev_t", "shifted Chebyshev T", "[-0.5000, 17.0000]", True)
shifted_chebyshev_polynomial_u = _family("shifted_chebyshev_polynomial_u", "chebyshev_u", "shifted Chebyshev U", "[ 0., 35.]", True)
shifted_chebyshev_polynomial_v = _family("shifted_chebyshev_polynomial_v", "chebyshev_v", "shifted Chebyshev V", "[ 1., 29.]", True)
shifted_chebyshev_polynomial_w = _family("shifted_chebyshev_polynomial_w", "chebyshev_w", "shifted Chebyshev W", "[-1., 41.]", True)


# --- with an order ------------------------------------------------------------------------------------------------------------------


def _polygamma_nodes(x: Node, order: int) -> Node:
    x = as_float(x)
    if order == 0:
        return b.digamma(x)
    return as_dtype(gamma.polygamma(as_dtype(x, dtypes.float64), order), x.dtype)


def polygamma(n: Any, input: Any, *, out: Tensor | None = None) -> Tensor:
    """Return the n-th derivative of the digamma function.

    Args:
        n: the order, an integer of 0 or more. (The method is ``input.polygamma(n)``.)
        input: tensor of any shape.
        out: tensor to write the result into.

    Raises:
        ArgumentError: n is negative.

    Example:
        >>> import trine
        >>> trine.polygamma(1, trine.tensor([1.0, 0.5]))
        tensor([1.6449, 4.9348])
    """
    if n < 0:
        raise ArgumentError(message("polygamma: the order is negative", received=n, expected="an integer of 0 or more"))
    return write_out(record(_polygamma_nodes, (input,), int(n)), out)


def polygamma_method(input: Tensor, n: int) -> Tensor:
    """Return the n-th derivative of the digamma function: the method ``input.polygamma(n)``.

    Example:
        >>> import trine
        >>> trine.tensor([1.0, 0.5]).polygamma(1)
        tensor([1.6449, 4.9348])
    """
    return polygamma(n, input)


def _multigammaln_nodes(x: Node, dimension: int) -> Node:
    x = as_float(x)
    return as_dtype(gamma.multigammaln(as_dtype(x, dtypes.float64), dimension), x.dtype)


def multigammaln(input: Tensor, p: int, *, out: Tensor | None = None) -> Tensor:
    """Return the logarithm of the multivariate gamma function of dimension p, element by element.

    Raises:
        ArgumentError: p is less than 1.

    Example:
        >>> import trine
        >>> trine.special.multigammaln(trine.tensor([2.0, 3.0]), 2)
        tensor([0.4516, 1.5502])
    """
    if p < 1:
        raise ArgumentError(message("multigammaln: p is too small", received=p, expected="an integer of 1 or more"))
    return write_out(record(_multigammaln_nodes, (input,), int(p)), out)


mvlgamma, igamma, igammac = multigammaln, gammainc, gammaincc
