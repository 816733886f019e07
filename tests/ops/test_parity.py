"""Tensor functions against PyTorch: values, dtypes, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.parity import check, positive, randn, torch
from trine import ops

IDS = np.array([[2, 0, 1], [1, 1, 0]])
MASK = np.array([[True, False, True], [False, True, True]])
INTS = np.array([[3, -1, 2], [0, 5, -4]])

UNARY = """abs neg sign floor ceil trunc frac square exp exp2 expm1 sin cos tan sinh cosh tanh asinh atan erf erfc sigmoid sinc deg2rad
rad2deg logical_not isnan isinf isfinite isposinf isneginf signbit round angle nan_to_num relu""".split()
POSITIVE = "sqrt rsqrt log log2 log10 log1p reciprocal lgamma digamma".split()


@pytest.mark.parametrize("name", UNARY + POSITIVE)
def test_unary(name: str) -> None:
    check(getattr(ops, name), getattr(torch, name), positive(3, 4) if name in POSITIVE else randn(3, 4), rtol=1e-4)
    if name not in ("frac", "sinc", "relu"):
        check(getattr(ops, name), getattr(torch, name), np.array([[1, 3, 2]]), rtol=1e-4)


@pytest.mark.parametrize("name", ["asin", "acos", "atanh", "erfinv"])
def test_unary_on_the_unit_interval(name: str) -> None:
    check(getattr(ops, name), getattr(torch, name), np.linspace(-0.9, 0.9, 7, dtype=np.float32), rtol=1e-4)


def test_unary_special_values() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0], np.float32)
    for name in ("sign", "abs", "nan_to_num", "relu", "signbit", "round", "sigmoid", "isposinf", "isneginf", "angle", "tanh", "exp"):
        check(getattr(ops, name), getattr(torch, name), values, grad=False)


def test_round_decimals_and_logit() -> None:
    check(ops.round, torch.round, randn(5) * 100, decimals=1, grad=False)
    check(ops.round, torch.round, randn(5) * 100, decimals=-1, grad=False)
    check(ops.logit, torch.logit, np.array([0.1, 0.5, 0.999], np.float32), eps=0.01)


BINARY = """add sub mul div true_divide floor_divide remainder fmod maximum minimum fmax fmin atan2 copysign hypot logaddexp logaddexp2
xlogy heaviside eq ne lt le gt ge logical_and logical_or logical_xor""".split()


@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str) -> None:
    grad = name not in ("floor_divide", "heaviside")
    check(getattr(ops, name), getattr(torch, name), positive(2, 3), positive(3), grad=grad, rtol=1e-4)


DTYPES = [np.bool_, np.uint8, np.int32, np.int64, np.float32, np.float64]


@pytest.mark.parametrize("first", DTYPES)
@pytest.mark.parametrize("second", [*DTYPES, 2, 2.5, True])
def test_promotion(first: Any, second: Any) -> None:
    x = np.array([1, 0, 3]).astype(first)
    y = second if isinstance(second, (bool, int, float)) else np.array([2, 1, 1]).astype(second)
    for name in ("add", "mul", "div", "eq", "maximum", "floor_divide"):
        if name == "maximum" and not isinstance(y, np.ndarray):
            continue
        if name == "floor_divide" and first is np.bool_:
            continue
        check(getattr(ops, name), getattr(torch, name), x, y, grad=False)
    if isinstance(y, np.ndarray):
        check(ops.add, torch.add, x, np.array(y[0]), grad=False)


def test_binary_options() -> None:
    check(ops.add, torch.add, randn(3), randn(3), alpha=2.5)
    check(ops.sub, torch.sub, randn(3), randn(3), alpha=2)
    check(ops.rsub, torch.rsub, randn(3), 2.0)
    for mode in ("floor", "trunc"):
        check(ops.div, torch.div, randn(5) * 9, positive(5), rounding_mode=mode)
        check(ops.div, torch.div, INTS, np.array([2, 3, -2]), rounding_mode=mode)
    check(ops.bitwise_and, torch.bitwise_and, INTS, 3)
    check(ops.bitwise_left_shift, torch.bitwise_left_shift, np.abs(INTS), 2)
    check(ops.bitwise_right_shift, torch.bitwise_right_shift, INTS, 1)


@pytest.mark.parametrize("exponent", [2, 3, -1, 0, 1, 0.5, -0.5, 2.0, 2.7, -2])
def test_pow(exponent: float) -> None:
    check(ops.pow, torch.pow, positive(4), exponent)
    check(ops.pow, torch.pow, 2.5, randn(3))


def test_pow_tensors_and_integers() -> None:
    check(ops.pow, torch.pow, positive(4), randn(4))
    check(ops.pow, torch.pow, INTS, 2)
    check(ops.pow, torch.pow, INTS, 2.0)
    with pytest.raises((RuntimeError, ValueError)):
        ops.pow(ops.arange(3), -1)


def test_clamp() -> None:
    x = np.array([-2.0, -1.0, 0.5, 1.0, 3.0], np.float32)
    check(ops.clamp, torch.clamp, x, -1, 1)
    check(ops.clamp, torch.clamp, x, min=0.0)
    check(ops.clamp, torch.clamp, x, max=1.0)
    check(ops.clamp, torch.clamp, x, 1.0, -1.0)
    check(ops.clamp, torch.clamp, INTS, 0, 3)
    check(ops.clamp, torch.clamp, INTS, min=0.5)
    check(ops.clamp, torch.clamp, randn(3), randn(3) - 1, randn(3) + 1)


def test_selection_and_three_operands() -> None:
    check(ops.where, torch.where, MASK, randn(2, 3), randn(3))
    check(ops.where, torch.where, MASK, 1.0, randn(2, 3))
    check(ops.masked_fill, torch.masked_fill, randn(2, 3), MASK, 0.5)
    check(ops.lerp, torch.lerp, randn(3), randn(3), 0.3)
    check(ops.lerp, torch.lerp, randn(3), randn(3), positive(3))
    check(ops.addcmul, torch.addcmul, randn(3), randn(3), randn(3), value=0.5)
    check(ops.addcdiv, torch.addcdiv, randn(3), randn(3), positive(3), value=0.5)
    check(ops.isclose, torch.isclose, np.array([1.0, np.nan, np.inf]), np.array([1.0 + 1e-9, np.nan, np.inf]), equal_nan=True)
    check(ops.float_power, torch.float_power, INTS, 2)


REDUCTIONS = ["sum", "mean", "amax", "amin", "nansum", "std", "var", "logsumexp"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dim", [0, -1, (0, 2)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_reductions(name: str, dim: Any, keepdim: bool) -> None:
    check(getattr(ops, name), getattr(torch, name), randn(2, 3, 4), dim=dim, keepdim=keepdim)


def test_more_reductions() -> None:
    x = randn(2, 3, 4)
    for name in (
        "sum",
        "mean",
        "prod",
        "std",
        "var",
        "max",
        "min",
        "median",
        "all",
        "any",
        "argmax",
        "argmin",
        "count_nonzero",
        "norm",
        "amax",
    ):
        check(getattr(ops, name), getattr(torch, name), x)
        check(getattr(ops, name), getattr(torch, name), np.array(3.5, np.float32), grad=False) if name not in ("std", "var") else None
    for name in (
        "max",
        "min",
        "median",
        "cummax",
        "cummin",
        "argmax",
        "all",
        "any",
        "cumsum",
        "cumprod",
        "prod",
        "argsort",
        "logcumsumexp",
    ):
        check(getattr(ops, name), getattr(torch, name), x, dim=1)
    for name in ("sum", "prod", "cumsum"):
        for dtype in (np.bool_, np.uint8, np.int32):
            arguments = {"dim": 0}
            check(getattr(ops, name), getattr(torch, name), INTS.astype(dtype), **arguments)
    check(ops.var, torch.var, x, 1, unbiased=False)
    check(ops.std, torch.std, x, dim=1, correction=2)
    check(ops.var_mean, torch.var_mean, x, dim=1)
    check(ops.aminmax, torch.aminmax, x, dim=1)
    check(ops.nanmean, torch.nanmean, np.array([1.0, np.nan, 3.0]))
    for p in (1, 2, 3, 0, float("inf"), 1.5):
        check(ops.norm, torch.norm, x, p=p, dim=1, grad=p != 0)
    check(ops.norm, torch.norm, np.zeros(3, np.float32))
    check(ops.sum, torch.sum, x, dtype=None)
    check(ops.diff, torch.diff, x, n=2)
    check(ops.trapezoid, torch.trapezoid, x, dx=0.5)


def test_empty_reductions() -> None:
    empty = np.zeros((0, 3), np.float32)
    for name in ("sum", "prod", "all", "any", "mean"):
        check(getattr(ops, name), getattr(torch, name), empty, dim=0)
    with pytest.raises((RuntimeError, IndexError, ValueError)):
        ops.amax(ops.zeros(0, 3), 0)


VIEWS: list[tuple[str, tuple[Any, ...]]] = [
    ("reshape", ((4, -1),)),
    ("permute", ((2, 0, 1),)),
    ("transpose", (0, 2)),
    ("movedim", (0, 2)),
    ("movedim", ((0, 1), (2, 0))),
    ("broadcast_to", ((5, 2, 3, 4),)),
    ("unsqueeze", (-1,)),
    ("flatten", (1,)),
    ("unflatten", (2, (2, -1))),
    ("narrow", (2, 1, 2)),
    ("select", (1, -1)),
    ("unbind", (1,)),
    ("split", (2, 2)),
    ("split", ([1, 3], 2)),
    ("chunk", (3, 2)),
    ("tensor_split", (3, 2)),
    ("tensor_split", ((1, 3), 2)),
    ("diagonal", (1, 0, 2)),
    ("diagonal", (-1, 2, 1)),
    ("diagonal", (0,)),
    ("flip", ((0, 2),)),
    ("roll", (1,)),
    ("roll", ((1, -2), (0, 2))),
    ("rot90", (1, (1, 2))),
    ("rot90", (3,)),
    ("tile", ((2, 1, 1, 2),)),
    ("repeat_interleave", (2,)),
    ("repeat_interleave", (2, 1)),
    ("tril", (1,)),
    ("triu", (-1,)),
    ("diag_embed", (1,)),
    ("diag_embed", (-2,)),
    ("ravel", ()),
]


@pytest.mark.parametrize("name,arguments", VIEWS)
def test_movement(name: str, arguments: tuple[Any, ...]) -> None:
    check(getattr(ops, name), getattr(torch, name), randn(2, 3, 4), *arguments)


def test_squeeze_and_small_views() -> None:
    for dim in (None, 0, 1, (0, 2)):
        arguments = () if dim is None else (dim,)
        check(ops.squeeze, torch.squeeze, randn(1, 3, 1, 2), *arguments)
    check(ops.t, torch.t, randn(2, 3))
    check(ops.flatten, torch.flatten, np.array(2, np.float32))
    check(ops.diag, torch.diag, randn(3), 1)
    check(ops.diag, torch.diag, randn(3, 4), -1)
    check(lambda x: x.unfold(1, 2, 2), lambda x: x.unfold(1, 2, 2), randn(2, 5))
    check(lambda x: x.expand(3, -1, 4), lambda x: x.expand(3, -1, 4), randn(2, 1))
    check(lambda x: (x.T, x.mT), lambda x: (x.T, x.mT), randn(2, 3))
    check(lambda x: x.repeat(2, 1, 3), lambda x: x.repeat(2, 1, 3), randn(2, 3))


def test_joining() -> None:
    parts = [randn(2, 3), randn(2, 3)]
    for name in ("cat", "stack", "hstack", "vstack", "dstack", "column_stack"):
        check(getattr(ops, name), getattr(torch, name), parts)
    check(ops.cat, torch.cat, [randn(2, 1), randn(2, 4)], dim=1)
    check(ops.cat, torch.cat, [np.array([1, 2]), randn(2)])
    check(ops.cat, torch.cat, [np.zeros(0, np.float32), randn(2, 2)], grad=False)
    check(ops.stack, torch.stack, parts, dim=-1)
    check(lambda *v: ops.meshgrid(*v, indexing="ij"), lambda *v: torch.meshgrid(*v, indexing="ij"), randn(2), randn(3))
    check(lambda *v: ops.meshgrid(*v, indexing="xy"), lambda *v: torch.meshgrid(*v, indexing="xy"), randn(2), randn(3), randn(2))
    check(ops.cartesian_prod, torch.cartesian_prod, randn(2), randn(3))
    check(ops.repeat_interleave, torch.repeat_interleave, randn(2, 3), np.array([1, 0, 2]), dim=1)


def test_contractions() -> None:
    shapes = [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((4, 2, 3), (3, 5)),
        ((4, 2, 3), (4, 3, 2)),
        ((2, 1, 2, 3), (4, 3, 2)),
        ((3,), (2, 3, 2)),
    ]
    for first, second in shapes:
        check(ops.matmul, torch.matmul, randn(*first), randn(*second))
    check(ops.mm, torch.mm, randn(2, 3), randn(3, 4))
    check(ops.bmm, torch.bmm, randn(2, 2, 3), randn(2, 3, 4))
    check(ops.mv, torch.mv, randn(2, 3), randn(3))
    check(ops.dot, torch.dot, randn(3), randn(3))
    check(ops.outer, torch.outer, randn(3), randn(2))
    check(ops.addmm, torch.addmm, randn(4), randn(2, 3), randn(3, 4), beta=0.5, alpha=2)
    check(ops.baddbmm, torch.baddbmm, randn(2, 2, 4), randn(2, 2, 3), randn(2, 3, 4), beta=0.5)
    check(ops.tensordot, torch.tensordot, randn(2, 3, 4), randn(4, 3, 5), dims=([1, 2], [1, 0]))
    check(ops.tensordot, torch.tensordot, randn(2, 3), randn(3, 4), dims=1)
    check(ops.trace, torch.trace, randn(3, 4))
    check(ops.cdist, torch.cdist, randn(3, 2), randn(4, 2))


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("bij,bjk->bik", (2, 2, 3), (2, 3, 4)),
    ("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 5, 4)),
    ("ij->ji", (2, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("ij->", (2, 3)),
    ("i,j->ij", (2,), (3,)),
    ("...ij,...jk->...ik", (2, 2, 3), (2, 3, 4)),
    ("...ij,jk", (2, 2, 3), (3, 4)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("bnd,d->bn", (2, 3, 4), (4,)),
    ("ij,ij->i", (2, 3), (2, 3)),
    ("i,i->", (3,), (3,)),
    ("abc,cd->dab", (2, 3, 4), (4, 2)),
    ("ij,kj->ik", (2, 1), (3, 4)),
]


@pytest.mark.parametrize("case", EINSUMS)
def test_einsum(case: tuple[Any, ...]) -> None:
    equation, *shapes = case
    arrays = [randn(*shape) for shape in shapes]
    check(lambda *t: ops.einsum(equation, *t), lambda *t: torch.einsum(equation, *t), *arrays)


def test_sorting() -> None:
    x = randn(3, 5)
    check(ops.sort, torch.sort, x, dim=0, descending=True)
    check(ops.topk, torch.topk, x, 2)
    check(ops.topk, torch.topk, x, 2, dim=0, largest=False)
    check(ops.kthvalue, torch.kthvalue, x, 2)
    check(ops.median, torch.median, x, dim=1)
    for interpolation in ("linear", "lower", "higher", "nearest", "midpoint"):
        check(ops.quantile, torch.quantile, x, 0.3, interpolation=interpolation)
    check(ops.quantile, torch.quantile, x, np.array([0.1, 0.9], np.float32), dim=1, keepdim=True, grad=False)
    check(ops.searchsorted, torch.searchsorted, np.array([1.0, 3.0, 5.0]), np.array([[0.0, 3.0], [4.0, 9.0]]), grad=False)
    check(ops.searchsorted, torch.searchsorted, np.array([1.0, 3.0, 5.0]), np.array([3.0]), right=True, grad=False)
    check(ops.bucketize, torch.bucketize, np.array([0, 3, 9]), np.array([1, 3, 5]))
    check(ops.unique, torch.unique, INTS, return_inverse=True, return_counts=True)
    check(ops.unique_consecutive, torch.unique_consecutive, np.array([1, 1, 2, 1]), return_counts=True)
    check(ops.bincount, torch.bincount, np.array([0, 2, 2]), minlength=5)
    check(ops.histc, torch.histc, randn(20), bins=5, min=-2, max=2, grad=False)
    check(ops.isin, torch.isin, INTS, np.array([2, 5]))


def test_creation() -> None:
    for arguments in ((5,), (1, 7, 2), (0, 1, 0.25), (5, 0, -1), (1.0, 4.0)):
        check(lambda a=arguments: ops.arange(*a), lambda a=arguments: torch.arange(*a))
    check(lambda: ops.linspace(-1, 2, 7), lambda: torch.linspace(-1, 2, 7))
    check(lambda: ops.linspace(-1, 2, 1), lambda: torch.linspace(-1, 2, 1))
    check(lambda: ops.logspace(0, 2, 5), lambda: torch.logspace(0, 2, 5))
    check(lambda: ops.eye(3, 2), lambda: torch.eye(3, 2))
    check(lambda: ops.full((2, 2), 3), lambda: torch.full((2, 2), 3))
    check(lambda: ops.full((2,), 2.5), lambda: torch.full((2,), 2.5))
    check(lambda: ops.full((2,), True), lambda: torch.full((2,), True))
    check(lambda: ops.zeros(2, 3), lambda: torch.zeros(2, 3))
    check(lambda: ops.ones((2, 3)), lambda: torch.ones((2, 3)))
    check(ops.zeros_like, torch.zeros_like, INTS)
    check(ops.full_like, torch.full_like, randn(2), 7)
    check(lambda: ops.tril_indices(3, 3), lambda: torch.tril_indices(3, 3))
    check(lambda: ops.zeros(()), lambda: torch.zeros(()))
    check(lambda x: x.new_zeros(2, 2), lambda x: x.new_zeros(2, 2), INTS)
    check(ops.one_hot, torch.nn.functional.one_hot, IDS)
