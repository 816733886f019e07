"""Activation functions. Each is one record; a flag `inplace` writes the result into the input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import check_choice
from trine.ops.elementwise import UnaryBuilder, UnaryFunction, unary
from trine.ops.promotion import as_dtype, as_float, number
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record


def apply(builder: Callable[..., Node], input: Tensor, inplace: bool, *attrs: Any) -> Tensor:
    """Record an activation; with `inplace` write its result into the input."""
    result: Tensor = record(builder, (input,), *attrs)
    return input.copy_(result) if inplace else result


def relu_nodes(x: Node) -> Node:
    """Return max(x, 0) with gradient 0 at 0; NaN stays NaN."""
    zero = number(0, x)
    return b.where(b.le(x, zero), zero, x)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``max(input, 0)``; the gradient at 0 is 0.

    Example:
        >>> import trine
        >>> trine.relu(trine.tensor([-1., 2.]))
        tensor([0., 2.])
    """
    return apply(relu_nodes, input, inplace)


def _limit(x: Node, low: float, high: float) -> Node:
    # The gradient is 0 at the limits; those of integers are cut off.
    if not x.dtype.is_floating_point:
        low, high = int(low), int(high)
    low_node, high_node = number(low, x), number(high, x)
    return b.where(b.le(x, low_node), low_node, b.where(b.ge(x, high_node), high_node, x))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Limit elements to [min_val, max_val].

    Example:
        >>> import trine
        >>> trine.nn.functional.hardtanh(trine.tensor([-2., 0.5, 2.]))
        tensor([-1.0000,  0.5000,  1.0000])
    """
    return apply(_limit, input, inplace, float(min_val), float(max_val))


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``min(max(input, 0), 6)``.

    Example:
        >>> import trine
        >>> trine.nn.functional.relu6(trine.tensor([-2., 3., 8.]))
        tensor([0., 3., 6.])
    """
    return apply(_limit, input, inplace, 0.0, 6.0)


def _leaky_relu(x: Node, slope: float) -> Node:
    return b.where(b.gt(x, number(0, x)), x, b.mul(x, number(slope, x)))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return the input where positive, ``negative_slope * input`` elsewhere.

    Example:
        >>> import trine
        >>> trine.nn.functional.leaky_relu(trine.tensor([-1., 2.]), 0.1)
        tensor([-0.1000,  2.0000])
    """
    return apply(_leaky_relu, input, inplace, float(negative_slope))


def _prelu(x: Node, weight: Node) -> Node:
    if weight.shape not in ((), (1,)):
        channels = x.shape[1] if len(x.shape) > 1 else None
        if len(weight.shape) != 1 or weight.shape[0] != channels:
            raise ShapeError(
                message(
                    "prelu: the weight does not fit", received=f"{weight.shape} for {x.shape}", expected="1 element, or one per channel"
                )
            )
        weight = b.reshape(weight, (weight.shape[0], *(1,) * (len(x.shape) - 2)))
    elif weight.shape == (1,) and not x.shape:
        weight = b.reshape(weight, ())
    return b.where(b.gt(x, number(0, x)), x, b.mul(x, weight))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return the input where positive, ``weight * input`` elsewhere; the weight has one element, or one per channel (axis 1).

    Example:
        >>> import trine
        >>> trine.nn.functional.prelu(trine.tensor([-1., 2.]), trine.tensor([0.25]))
        tensor([-0.2500,  2.0000])
    """
    result: Tensor = record(_prelu, (input, weight))
    return result


def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """Return a leaky relu whose slope is random in [lower, upper] in training, and their mean otherwise.

    Example:
        >>> import trine
        >>> trine.nn.functional.rrelu(trine.tensor([-24., 2.]), 0.25, 0.5)
        tensor([-9.,  2.])
    """
    from trine.ops.random import uniform_like

    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = uniform_like(input, lower, upper)
    result: Tensor = record(_with_slope, (input, slope))
    return input.copy_(result) if inplace else result


def _with_slope(x: Node, slope: Node) -> Node:
    return b.where(b.gt(x, number(0, x)), x, b.mul(x, slope))


def _elu(x: Node, alpha: float, scale: float) -> Node:
    zero = number(0, x)
    is_positive = b.gt(x, zero)
    # The exponent of the branch that is not taken is 0, so that it cannot overflow.
    negative = b.mul(b.expm1(b.where(is_positive, zero, x)), number(alpha * scale, x))
    return b.where(is_positive, x if scale == 1.0 else b.mul(x, number(scale, x)), negative)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return the input where positive, ``alpha * (exp(input) - 1)`` elsewhere.

    Example:
        >>> import trine
        >>> trine.nn.functional.elu(trine.tensor([-1., 2.]))
        tensor([-0.6321,  2.0000])
    """
    return apply(_elu, input, inplace, float(alpha), 1.0)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return the scaled elu that keeps mean 0 and variance 1 (Klambauer et al., 2017).

    Example:
        >>> import trine
        >>> trine.nn.functional.selu(trine.tensor([-1., 2.]))
        tensor([-1.1113,  2.1014])
    """
    return apply(_elu, input, inplace, 1.6732632423543772, 1.0507009873554805)


def _celu(x: Node, alpha: float) -> Node:
    zero = number(0, x)
    is_positive = b.gt(x, zero)
    scaled = b.mul(b.where(is_positive, zero, x), number(1 / alpha, x))
    return b.where(is_positive, x, b.mul(b.expm1(scaled), number(alpha, x)))


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return the input where positive, ``alpha * (exp(input / alpha) - 1)`` elsewhere.

    Example:
        >>> import trine
        >>> trine.nn.functional.celu(trine.tensor([-1., 2.]), alpha=2.0)
        tensor([-0.7869,  2.0000])
    """
    if alpha == 0:
        raise ArgumentError(message("celu: alpha is 0", received=alpha, expected="another number"))
    return apply(_celu, input, inplace, float(alpha))


def gelu_nodes(x: Node, approximate: str) -> Node:
    """Return x times the normal distribution function, exactly or by tanh."""
    half, one = number(0.5, x), number(1, x)
    if approximate == "tanh":
        cube = b.mul(b.mul(x, x), x)
        inner = b.mul(number(math.sqrt(2 / math.pi), x), b.add(x, b.mul(number(0.044715, x), cube)))
        return b.mul(b.mul(half, x), b.add(one, b.tanh(inner)))
    return b.mul(b.mul(half, x), b.add(one, b.erf(b.mul(x, number(math.sqrt(0.5), x)))))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Return ``input * Phi(input)``, Phi the normal distribution function; "tanh" approximates it.

    Example:
        >>> import trine
        >>> trine.nn.functional.gelu(trine.tensor([-1., 2.]))
        tensor([-0.1587,  1.9545])
    """
    check_choice("gelu", "approximate", approximate, ("none", "tanh"))
    result: Tensor = record(gelu_nodes, (input,), approximate)
    return result


def silu_nodes(x: Node) -> Node:
    """Return x * sigmoid(x)."""
    return b.mul(x, b.sigmoid(x))


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input * sigmoid(input)``, also called swish.

    Example:
        >>> import trine
        >>> trine.nn.functional.silu(trine.tensor([-1., 2.]))
        tensor([-0.2689,  1.7616])
    """
    return apply(silu_nodes, input, inplace)


def softplus_nodes(x: Node, beta: float, threshold: float) -> Node:
    """Return log(1 + exp(beta x)) / beta without overflow."""
    scaled = x if beta == 1.0 else b.mul(x, number(beta, x))
    is_linear = b.gt(scaled, number(threshold, x))
    soft = b.log1p(b.exp(b.where(is_linear, number(0, x), scaled)))
    return b.where(is_linear, x, soft if beta == 1.0 else b.mul(soft, number(1 / beta, x)))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return ``log(1 + exp(beta * input)) / beta``, and the input itself where ``beta * input`` exceeds the threshold.

    Example:
        >>> import trine
        >>> trine.nn.functional.softplus(trine.tensor([0., 30.]))
        tensor([ 0.6931, 30.0000])
    """
    result: Tensor = record(softplus_nodes, (input,), float(beta), float(threshold))
    return result


def log_sigmoid_nodes(x: Node) -> Node:
    """Return log(sigmoid(x)) without overflow; min(x, 0) - log(1 + exp(-|x|)), written so that the gradient at 0 is exact too."""
    zero = number(0, x)
    is_negative = b.lt(x, zero)
    tail = b.log1p(b.exp(b.where(is_negative, x, b.neg(x))))
    return b.sub(b.where(is_negative, x, zero), tail)


def _mish(x: Node) -> Node:
    return b.mul(x, b.tanh(softplus_nodes(x, 1.0, 20.0)))


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input * tanh(softplus(input))``.

    Example:
        >>> import trine
        >>> trine.nn.functional.mish(trine.tensor([-1., 2.]))
        tensor([-0.3034,  1.9440])
    """
    return apply(_mish, input, inplace)


def _hardsigmoid(x: Node) -> Node:
    scaled = b.add(b.mul(x, number(1 / 6, x)), number(0.5, x))
    return _limit(scaled, 0.0, 1.0)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input / 6 + 1/2`` limited to [0, 1].

    Example:
        >>> import trine
        >>> trine.nn.functional.hardsigmoid(trine.tensor([-4., 0., 1.5]))
        tensor([0.0000, 0.5000, 0.7500])
    """
    return apply(_hardsigmoid, input, inplace)


def _hardswish(x: Node) -> Node:
    return b.mul(x, _hardsigmoid(x))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``input * hardsigmoid(input)``.

    Example:
        >>> import trine
        >>> trine.nn.functional.hardswish(trine.tensor([-4., 0., 4.]))
        tensor([-0., 0., 4.])
    """
    return apply(_hardswish, input, inplace)


def _softshrink(x: Node, lambd: float) -> Node:
    limit = number(lambd, x)
    zero = number(0, x)
    return b.where(b.gt(x, limit), b.sub(x, limit), b.where(b.lt(x, b.neg(limit)), b.add(x, limit), b.mul(x, zero)))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Move elements towards 0 by `lambd`; smaller ones become 0.

    Example:
        >>> import trine
        >>> trine.nn.functional.softshrink(trine.tensor([-1., 0.25, 1.]))
        tensor([-0.5000,  0.0000,  0.5000])
    """
    result: Tensor = record(_softshrink, (input,), float(lambd))
    return result


def _hardshrink(x: Node, lambd: float) -> Node:
    return b.where(b.le(b.abs(x), number(lambd, x)), number(0, x), x)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return elements whose magnitude exceeds `lambd`, and 0 for the others.

    Example:
        >>> import trine
        >>> trine.nn.functional.hardshrink(trine.tensor([-1., 0.25, 1.]))
        tensor([-1.,  0.,  1.])
    """
    result: Tensor = record(_hardshrink, (input,), float(lambd))
    return result


def _threshold(x: Node, threshold: float, value: float) -> Node:
    return b.where(b.le(x, number(threshold, x)), number(value, x), x)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Return elements above a threshold, and `value` for the others.

    Example:
        >>> import trine
        >>> trine.nn.functional.threshold(trine.tensor([-1., 2.]), 0.5, 9.0)
        tensor([9., 2.])
    """
    return apply(_threshold, input, inplace, float(threshold), float(value))


def _in_place(function: Callable[..., Tensor], example: str, result: str) -> Callable[..., Tensor]:
    """Return the form ``name_`` of an activation, which writes into its input."""
    name = f"{function.__name__}_"

    def in_place(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, inplace=True, **kwargs)

    in_place.__name__ = in_place.__qualname__ = name
    in_place.__module__ = __name__
    in_place.__doc__ = f"""Write `{function.__name__}` into the input, and return it.

    Example:
        >>> import trine
        >>> trine.nn.functional.{name}({example})
        {result}
    """
    return in_place


relu_ = _in_place(relu, "trine.tensor([-1., 2.])", "tensor([0., 2.])")
elu_ = _in_place(elu, "trine.tensor([-1., 2.]), alpha=0.0", "tensor([-0., 2.])")
selu_ = _in_place(selu, "trine.tensor([0.])", "tensor([0.])")
celu_ = _in_place(celu, "trine.tensor([0., 2.])", "tensor([0., 2.])")
leaky_relu_ = _in_place(leaky_relu, "trine.tensor([-1., 2.]), 0.5", "tensor([-0.5000,  2.0000])")
hardtanh_ = _in_place(hardtanh, "trine.tensor([-2., 2.])", "tensor([-1.,  1.])")
rrelu_ = _in_place(rrelu, "trine.tensor([-24., 2.]), 0.25, 0.5", "tensor([-9.,  2.])")
threshold_ = _in_place(threshold, "trine.tensor([-1., 2.]), 0.5, 9.0", "tensor([9., 2.])")


def _functional(name: str, builder: UnaryBuilder, text: str, example: str, result: str) -> UnaryFunction:
    function = unary(name, builder, text, example, result)
    function.__doc__ = (function.__doc__ or "").replace(f"trine.{name}(", f"trine.nn.functional.{name}(")
    function.__module__ = __name__
    return function


def _softsign(x: Node) -> Node:
    x = as_float(x)
    return b.div(x, b.add(number(1, x), b.abs(x)))


def _tanhshrink(x: Node) -> Node:
    x = as_float(x)
    return b.sub(x, b.tanh(x))


softsign = _functional("softsign", _softsign, "Return ``input / (1 + abs(input))``.", "[-1., 3.]", "[-0.5000,  0.7500]")
tanhshrink = _functional("tanhshrink", _tanhshrink, "Return ``input - tanh(input)``.", "[0., 1.]", "[0.0000, 0.2384]")
logsigmoid = _functional(
    "logsigmoid", log_sigmoid_nodes, "Return ``log(sigmoid(input))`` without overflow.", "[0., 100.]", "[-6.9315e-01, -3.7835e-44]"
)


def _glu(x: Node, dim: int) -> Node:
    from trine.ops.movement import slice_axis

    axis = canonical_axis(dim, len(x.shape), "glu")
    extent = x.shape[axis]
    if extent % 2:
        raise ShapeError(message("glu: the axis is odd", received=f"{extent} elements on axis {axis}", expected="an even number"))
    return b.mul(slice_axis(x, axis, 0, extent // 2), b.sigmoid(slice_axis(x, axis, extent // 2, extent)))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return the first half of an axis times the sigmoid of the second half.

    Example:
        >>> import trine
        >>> trine.nn.functional.glu(trine.tensor([2., 0.]))
        tensor([1.])
    """
    result: Tensor = record(_glu, (input,), dim)
    return result


# --- softmax --------------------------------------------------------------------------------------------------------------------------


def softmax_nodes(x: Node, axis: int) -> Node:
    """Return exp(x - max) / sum along an axis; the maximum is only a shift, so no gradient flows through it."""
    if 0 in x.shape:
        return x
    exponential = b.exp(b.sub(x, b.stop_gradient(b.max(x, (axis,)))))
    return b.div(exponential, b.sum(exponential, (axis,)))


def log_softmax_nodes(x: Node, axis: int) -> Node:
    """Return x - max - log(sum(exp(x - max))) along an axis."""
    if 0 in x.shape:
        return x
    shifted = b.sub(x, b.stop_gradient(b.max(x, (axis,))))
    return b.sub(shifted, b.log(b.sum(b.exp(shifted), (axis,))))


def _along(nodes: Callable[[Node, int], Node], op: str) -> Callable[[Node, int, DType | None], Node]:
    def builder(x: Node, dim: int, dtype: DType | None) -> Node:
        x = as_float(x) if dtype is None else as_dtype(x, dtype)
        if not x.shape:
            canonical_axis(dim, 1, op)
            return b.reshape(nodes(b.reshape(x, (1,)), 0), ())
        return nodes(x, canonical_axis(dim, len(x.shape), op))

    return builder


_softmax = _along(softmax_nodes, "softmax")
_log_softmax = _along(log_softmax_nodes, "log_softmax")


def _default_dim(dim: int | None, rank: int) -> int:
    """Return the axis that PyTorch takes where none is given."""
    return dim if dim is not None else (0 if rank in (0, 1, 3) else 1)


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """Return ``exp(input) / sum(exp(input))`` along an axis, without overflow.

    Example:
        >>> import trine
        >>> trine.softmax(trine.tensor([0., 0.]), dim=0)
        tensor([0.5000, 0.5000])
    """
    result: Tensor = record(_softmax, (input,), _default_dim(dim, input.dim()), dtype)
    return result


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """Return the logarithm of `softmax`, accurate for small probabilities.

    Example:
        >>> import trine
        >>> trine.log_softmax(trine.tensor([0., 0.]), dim=0)
        tensor([-0.6931, -0.6931])
    """
    result: Tensor = record(_log_softmax, (input,), _default_dim(dim, input.dim()), dtype)
    return result


def _softmin(x: Node, dim: int, dtype: DType | None) -> Node:
    return _softmax(b.neg(x), dim, dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """Return the softmax of the negated input.

    Example:
        >>> import trine
        >>> trine.nn.functional.softmin(trine.tensor([0., 0.]), dim=0)
        tensor([0.5000, 0.5000])
    """
    result: Tensor = record(_softmin, (input,), _default_dim(dim, input.dim()), dtype)
    return result


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """Return samples of the relaxed one-hot distribution (Jang et al., 2017); `hard` rounds them and keeps the soft gradient.

    Example:
        >>> import trine
        >>> trine.nn.functional.gumbel_softmax(trine.zeros(3, 5), hard=True).sum(dim=1)
        tensor([1., 1., 1.])
    """
    from trine.ops.random import exponential_like

    gumbels = -exponential_like(logits).log()
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    result: Tensor = record(_straight_through_one_hot, (soft,), dim)
    return result


def _straight_through_one_hot(soft: Node, dim: int) -> Node:
    axis = canonical_axis(dim, len(soft.shape), "gumbel_softmax")
    index = b.argmax(soft, axis)
    hot = as_dtype(b.eq(b.iota(soft.shape, axis), index), soft.dtype)
    return b.add(b.stop_gradient(b.sub(hot, soft)), soft)
