"""Functions of two (3, 4) tensors with elements between 0.1 and 0.9 that together use every primitive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trine
from trine.core import build
from trine.core.graph import Node
from trine.nn import functional as F
from trine.tensor import record

UNARY = """neg abs sign floor ceil trunc round sqrt rsqrt exp exp2 expm1 log log2 log10 log1p reciprocal sigmoid sin cos tan asin acos
atan sinh cosh tanh asinh acosh atanh erf erfc erfinv lgamma digamma isnan isinf isfinite""".split()
BINARY = "add sub mul pow div floor_divide remainder fmod maximum minimum atan2 copysign nextafter eq ne lt le gt ge".split()


def unary_functions(x: Any, y: Any) -> Any:
    return [getattr(trine, name)(x + 1.5 if name == "acosh" else x) for name in UNARY]


def binary_functions(x: Any, y: Any) -> Any:
    return [getattr(trine, name)(x, y) for name in BINARY] + [x + y[0], x[0] * y]


def integer_functions(x: Any, y: Any) -> Any:
    a, c = (x * 10).long(), (y * 10).long()
    return [a & c, a | c, a ^ c, a << 1, a >> 1, ~a, (x > 0.5).logical_not(), a.view(trine.int64).cumsum(0)]


def reductions(x: Any, y: Any) -> Any:
    return [
        *[x.sum(0), y.prod(1), x.amax(1), x.amin(0), x.argmax(0), y.argmin(1), x.cumsum(1), x.cumprod(0)],
        *[x.cummax(0).values, x.cummin(1).values, y.argsort(1), y.sort(0, descending=True).values],
    ]


def movements(x: Any, y: Any) -> Any:
    padded = F.pad(x, (1, 2, 0, 1))
    part = x.clone()
    part[1:, ::2] = y[:2, :2]
    return [
        *[x.reshape(4, 3), x.t(), x[None].expand(2, 3, 4), padded, x[::2, 1:3], x.flip(1), trine.cat([x, y, trine.ones(1, 4)])],
        *[part, trine.where(x > y, x, 0.5), x.view(trine.int32).view(trine.float32), x.detach()],
    ]


def indices(x: Any, y: Any) -> Any:
    fixed = trine.tensor([[0, 2], [1, 1]])
    moving = (y * 3).long()
    return [
        *[x[fixed], x[moving], y.gather(0, moving[:2]), y[:, moving[0]], x.index_select(1, moving[1]), fixed.take(moving)],
        *[trine.zeros(3, 4).scatter_add(0, moving, x), trine.zeros(3, 4).index_add(0, moving[:, 0], y)],
        *[x.index_add(1, fixed[0], y[:, :2]), x.clone().index_fill(0, fixed[1], 2.0)],
        *[x.index_copy(1, trine.tensor([3, 1]), y[:, :2]), x.scatter_reduce(1, moving, y, "amax")],
        *[trine.zeros(5, 4).index_put((moving[:, 1],), y, accumulate=True), F.embedding(moving[0], x), F.one_hot(moving[2], 3)],
    ]


def products(x: Any, y: Any) -> Any:
    w = trine.arange(8.0).reshape(4, 2)
    return [x @ y.t(), x @ w, w.t() @ y.t(), x[0] @ y[1], trine.bmm(x[None], y.t()[None]), trine.einsum("ij,kj->ik", x, y)]


def convolutions(x: Any, y: Any) -> Any:
    image, kernel = x.reshape(1, 2, 6), y.reshape(3, 2, 2)
    other, fixed = trine.arange(12.0).reshape(1, 2, 6), trine.arange(12.0).reshape(3, 2, 2)
    results = []
    for groups in (1, 2):
        for a, w in ((image, fixed), (other, kernel), (image, kernel)):
            w = w if groups == 1 else w[:2, :1]
            results += [F.conv1d(a, w, padding=1, groups=groups), F.conv1d(a, w, stride=2, groups=groups)]
            loss = trine.func.grad(lambda a, w, groups=groups: (F.conv1d(a, w, groups=groups) ** 2).sum(), (0, 1))
            results += [*loss(a, w)]
    return results


def windows(x: Any, y: Any) -> Any:
    image = x.reshape(1, 2, 6)
    pooled, index = F.max_pool1d(image, 2, return_indices=True)
    gradient = trine.func.grad(lambda v: (F.max_pool1d(v, 2) ** 2).sum() + (F.avg_pool1d(v, 3) ** 2).sum())
    return [pooled, index, F.avg_pool1d(image, 2), gradient(image)]


def layers(x: Any, y: Any) -> Any:
    return [F.layer_norm(x, (4,)), F.softmax(x, -1), F.cross_entropy(x, (y[:, 0] * 4).long()), x.std(0), x.norm()]


def _attended(x: Node, y: Node) -> tuple[Node, ...]:
    plain = build.attention_parts(build.attention(x, y, y, None, 0.7, False, 0))
    heads = [build.reshape(v, (1, 3, 4)) for v in (x, y)]
    return *plain, *build.attention_parts(build.attention(heads[0], heads[1], heads[0], None, 0.7, True, 1))


def attention(x: Any, y: Any) -> Any:
    gradient = trine.func.grad(lambda x, y: sum((v * v).sum() for v in record(_attended, (x, y))), (0, 1))
    return [*record(_attended, (x, y)), *gradient(x, y)]


def decompositions(x: Any, y: Any) -> Any:
    """Of matrices that are well-conditioned and whose decompositions are unique up to what is compared."""
    linalg = trine.linalg
    a = x[:, :3] + 3 * trine.eye(3, dtype=x.dtype)
    c = y[:, :3].t() @ y[:, :3] + trine.eye(3, dtype=x.dtype) * trine.tensor([1.0, 2.0, 3.0], dtype=x.dtype)
    lower, fixed = linalg.cholesky(c), trine.arange(3.0, dtype=x.dtype)[:, None] + 1
    q, r = linalg.qr(a)
    u, s, vh = linalg.svd(y, full_matrices=False)
    p, low, up = linalg.lu(a)
    return [
        *[lower, linalg.inv(a), linalg.matrix_exp(a / 5), linalg.det(a), linalg.eigvalsh(c), linalg.svdvals(y), linalg.solve(a, y)],
        *[linalg.solve(a, fixed), linalg.solve_triangular(lower, y, upper=False), trine.cholesky_solve(fixed, lower), linalg.pinv(a)],
        *[linalg.eigh(c).eigenvalues, q @ r, r.abs(), (u * s[None]) @ vh, s, p @ low @ up, linalg.slogdet(a).logabsdet],
    ]


def spectra(x: Any, y: Any) -> Any:
    made = trine.fft.fft(trine.complex(x, y), dim=0)
    half = trine.fft.rfft(x, dim=1)
    return [made.real, made.imag, half.real, half.imag, trine.fft.irfft(half * 2, dim=1), trine.special.gammainc(trine.ones_like(x), y)]


CASES: list[Callable[..., Any]] = [unary_functions, binary_functions, integer_functions, reductions, movements, indices, products]
CASES += [convolutions, windows, layers, attention, decompositions, spectra]
