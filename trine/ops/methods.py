"""What tensors can do: the methods, operators, properties and in-place forms that are installed on `Tensor`, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.core import build as b
from trine.ops import (
    arithmetic,
    comparison,
    complex_numbers,
    contraction,
    conversion,
    creation,
    elementwise,
    exponents,
    histograms,
    indexing,
    integration,
    joining,
    movement,
    quantiles,
    random,
    random_fills,
    reduction,
    scan,
    selection,
    sorting,
    sources,
    special,
    variance,
    writing,
)
from trine.ops.activation import log_softmax, relu, softmax
from trine.ops.storage import STORAGE_METHODS
from trine.ops.structure_methods import STRUCTURE_INPLACE, STRUCTURE_METHODS
from trine.tensor import Tensor
from trine.tensor.operators import binary_operator, in_place_operator, reflected_operator, unary_operator

Function = Callable[..., Any]


def _named(module: Any, names: str) -> dict[str, Function]:
    """Return functions of a module by name."""
    return {name: getattr(module, name) for name in names.split()}


def _where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """Return this tensor's elements where `condition` is true, those of `other` elsewhere."""
    result: Tensor = indexing.where(condition, self, other)
    return result


_NEVER = (
    """is_cuda is_sparse is_sparse_csr is_quantized is_meta is_mps is_xpu is_xla is_mkldnn is_vulkan is_ipu is_maia is_mtia is_nested"""
)


def _is_never(self: Tensor) -> bool:
    """False: every tensor is dense, plain and on the CPU."""
    return False


def _is_always(self: Tensor) -> bool:
    """True: every tensor is on the CPU."""
    return True


METHODS: dict[str, Function] = {
    **_named(
        elementwise,
        """abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh bitwise_not ceil clone conj
        cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 fix floor frac isfinite isinf isnan isneginf isposinf lgamma log log10
        log1p log2 logical_not logit nan_to_num neg negative positive rad2deg reciprocal round rsqrt sgn sigmoid sign signbit sin sinc
        sinh sqrt square tan tanh trunc""",
    ),
    **_named(
        arithmetic,
        """add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor
        copysign div divide float_power floor_divide fmax fmin fmod heaviside hypot logaddexp logaddexp2 logical_and logical_or
        logical_xor maximum minimum mul multiply nextafter pow remainder sub subtract true_divide xlogy""",
    ),
    **_named(selection, "addcdiv addcmul clamp clamp_max clamp_min clip lerp masked_fill"),
    **_named(comparison, "allclose eq equal ge greater greater_equal gt isclose le less less_equal lt ne not_equal"),
    **_named(
        reduction,
        "all amax amin aminmax any argmax argmin count_nonzero dist logsumexp max mean min nanmean nansum norm prod sum",
    ),
    **_named(variance, "std var"),
    **_named(scan, "cummax cummin cumprod cumsum logcumsumexp"),
    **_named(integration, "diff"),
    **_named(complex_numbers, "conj_physical is_conj is_neg isreal resolve_conj resolve_neg"),
    **_named(exponents, "frexp gcd lcm ldexp"),
    **_named(quantiles, "median mode nanmedian nanquantile quantile"),
    **_named(histograms, "bincount histc histogram"),
    **_named(special, "i0 igamma igammac mvlgamma"),
    "polygamma": special.polygamma_method,
    "new_empty_strided": sources.new_empty_strided,
    **_named(
        movement,
        """broadcast_to chunk diagonal expand expand_as flatten matrix_transpose moveaxis movedim narrow permute ravel reshape reshape_as
        select split split_with_sizes squeeze swapaxes swapdims t tensor_split transpose unbind unflatten unsqueeze view view_as""",
    ),
    **_named(joining, "diag diag_embed flip fliplr flipud repeat repeat_interleave roll rot90 tile tril triu unfold"),
    **_named(contraction, "addmm baddbmm bmm dot ger matmul mm mv outer trace"),
    **_named(
        indexing,
        "argwhere gather index_put index_select masked_scatter masked_select nonzero nonzero_static take take_along_dim",
    ),
    **_named(sorting, "argsort kthvalue sort topk msort"),
    **_named(random, "bernoulli multinomial"),
    **_named(creation, "new_empty new_full new_ones new_zeros"),
    **_named(
        conversion,
        """bernoulli_ copy_ fill_ is_complex is_contiguous is_floating_point is_nonzero is_signed new_tensor random_ sum_to_size to type_as
        zero_""",
    ),
    **STRUCTURE_METHODS,
    **conversion.TO_METHODS,
    **dict.fromkeys(("cpu", "pin_memory"), conversion.itself),
    "contiguous": conversion.contiguous,
    "type": conversion.type_,
    **_named(writing, "apply_ map_"),
    **_named(conversion, "get_device is_inference is_same_size"),
    **STORAGE_METHODS,
    "arctan2": arithmetic.atan2,
    "ndimension": conversion.dim,
    "nelement": conversion.numel,
    "where": _where,
    "log_softmax": log_softmax,
    "relu": relu,
    "softmax": softmax,
    "__getitem__": indexing.getitem,
    "__setitem__": indexing.setitem,
}
"""Method name -> function whose first argument is the tensor."""

INPLACE: tuple[str, ...] = tuple(
    """abs absolute acos acosh add addcdiv addcmul addmm arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan atan2 atanh
    baddbmm bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min
    clip conj_physical copysign cos cosh cumprod cumsum deg2rad digamma div divide eq erf erfc erfinv exp exp2 expm1 fix float_power
    floor floor_divide fmod frac gcd ge greater greater_equal gt heaviside hypot i0 igamma igammac index_add index_copy index_fill
    index_put lcm ldexp le lerp less less_equal lgamma log log10 log1p log2 logical_and logical_not logical_or logical_xor logit lt
    masked_fill masked_scatter mul multiply mvlgamma nan_to_num ne neg negative nextafter not_equal polygamma pow rad2deg reciprocal
    relu remainder round rsqrt scatter scatter_add scatter_reduce sgn sigmoid sign sin sinc sinh sqrt square sub subtract tan tanh
    tril triu true_divide trunc xlogy""".split()
)
"""Functions whose in-place form ``name_`` exists."""

INPLACE_VALUES: dict[str, Function] = {
    "uniform_": random.uniform_like,
    "normal_": random.normal_like,
    "exponential_": random.exponential_like,
    "cauchy_": random_fills.cauchy_like,
    "geometric_": random_fills.geometric_like,
    "log_normal_": random_fills.log_normal_like,
}
"""In-place methods that write the value of a function with another name."""

BINARY_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": arithmetic.add_nodes,
    "sub": arithmetic.sub_nodes,
    "mul": arithmetic.mul_nodes,
    "truediv": arithmetic.div_nodes,
    "floordiv": arithmetic.floor_divide_nodes,
    "mod": arithmetic.remainder_nodes,
    "matmul": contraction.matmul_nodes,
    "and": arithmetic.bitwise_and_nodes,
    "or": arithmetic.bitwise_or_nodes,
    "xor": arithmetic.bitwise_xor_nodes,
    "lshift": arithmetic.shift_left_nodes,
    "rshift": arithmetic.shift_right_nodes,
}
"""Operator -> builder; each has a reflected form too."""

COMPARISONS: dict[str, Callable[..., Any]] = {
    "eq": comparison.eq_nodes,
    "ne": comparison.ne_nodes,
    "lt": comparison.lt_nodes,
    "le": comparison.le_nodes,
    "gt": comparison.gt_nodes,
    "ge": comparison.ge_nodes,
}

INPLACE_OPERATORS: dict[str, Function] = {
    "add": arithmetic.add,
    "sub": arithmetic.sub,
    "mul": arithmetic.mul,
    "truediv": arithmetic.div,
    "floordiv": arithmetic.floor_divide,
    "mod": arithmetic.remainder,
    "pow": arithmetic.pow,
    "and": arithmetic.bitwise_and,
    "or": arithmetic.bitwise_or,
    "xor": arithmetic.bitwise_xor,
    "lshift": arithmetic.bitwise_left_shift,
    "rshift": arithmetic.bitwise_right_shift,
}

UNARY_OPERATORS: dict[str, Callable[..., Any]] = {
    "neg": b.neg,
    "abs": elementwise.abs_nodes,
    "invert": b.bitwise_not,
}

PROPERTIES: dict[str, Function] = {
    "T": movement.numpy_T,
    "mT": movement.matrix_transpose,
    "H": movement.hermitian_transpose,
    "mH": movement.adjoint,
    "real": elementwise.real,
    "imag": elementwise.imag,
    **dict.fromkeys(_NEVER.split(), _is_never),
    "is_cpu": _is_always,
}
"""Attributes that are computed."""


def _power(self: Tensor, exponent: Any) -> Any:
    if isinstance(exponent, (Tensor, int, float, complex)) or getattr(exponent, "ndim", None) == 0:
        return arithmetic.pow(self, exponent)
    return NotImplemented


def _reversed(self: Tensor) -> Tensor:
    """Return the tensor with the first axis reversed: ``reversed(x)``."""
    return joining.flip(self, (0,)) if self.dim() else self


def _positive(self: Tensor) -> Tensor:
    return self


def install(cls: type[Tensor] = Tensor) -> None:
    """Put everything here on the tensor class."""
    for name, function in METHODS.items():
        setattr(cls, name, function)
    for name in (*INPLACE, *STRUCTURE_INPLACE):
        setattr(cls, f"{name}_", in_place_operator(METHODS[name]))
    for name, function in INPLACE_VALUES.items():
        setattr(cls, name, in_place_operator(function))
    for name, builder in BINARY_OPERATORS.items():
        setattr(cls, f"__{name}__", binary_operator(builder))
        setattr(cls, f"__r{name}__", reflected_operator(builder))
    for name, builder in COMPARISONS.items():
        setattr(cls, f"__{name}__", binary_operator(builder))
    for name, function in INPLACE_OPERATORS.items():
        setattr(cls, f"__i{name}__", in_place_operator(function))
    for name, builder in UNARY_OPERATORS.items():
        setattr(cls, f"__{name}__", unary_operator(builder))
    for name, function in PROPERTIES.items():
        setattr(cls, name, property(function))
    setattr(cls, "__rdiv__", reflected_operator(arithmetic.div_nodes))  # noqa: B010
    setattr(cls, "__pow__", _power)  # noqa: B010
    setattr(cls, "__rpow__", reflected_operator(arithmetic.pow_nodes))  # noqa: B010
    setattr(cls, "__pos__", _positive)  # noqa: B010
    setattr(cls, "__reversed__", _reversed)  # noqa: B010
    setattr(cls, "fill_diagonal_", in_place_operator(writing.with_diagonal))  # noqa: B010
