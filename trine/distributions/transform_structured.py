"""Transforms of vectors, matrices and pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trine.distributions import constraints
from trine.distributions.transform import Transform, _inside_unit, check_dims
from trine.distributions.utils import counting, lazy_property, sum_rightmost, tril_matrix_to_vec, vec_to_tril_matrix
from trine.errors import ArgumentError, ShapeError, message
from trine.ops import cat, eye, logsigmoid, pad, softmax, softplus, stack
from trine.ops.decomposition import cholesky
from trine.ops.dtype_info import finfo
from trine.tensor.size import Size


class ReshapeTransform(Transform):
    """Gives the last axes another shape."""

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        self.in_shape, self.out_shape = Size(in_shape), Size(out_shape)
        if self.in_shape.numel() != self.out_shape.numel():
            received = f"{tuple(in_shape)} and {tuple(out_shape)}"
            raise ShapeError(message("in_shape, out_shape have different numbers of elements", received=received))
        super().__init__(cache_size)

    @constraints.dependent_property
    def domain(self) -> Any:
        """Real arrays."""
        return constraints.independent(constraints.real, len(self.in_shape))

    @constraints.dependent_property
    def codomain(self) -> Any:
        """Real arrays."""
        return constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x: Any) -> Any:
        return x.reshape(_changed(x.shape, self.in_shape, self.out_shape))

    def _inverse(self, y: Any) -> Any:
        return y.reshape(_changed(y.shape, self.out_shape, self.in_shape))

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Return 0."""
        return x.new_zeros(tuple(x.shape[: x.dim() - len(self.in_shape)]))

    def forward_shape(self, shape: Any) -> Any:
        """Return the shape of the result."""
        return _changed(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        """Return the shape of a value."""
        return _changed(shape, self.out_shape, self.in_shape)


def _changed(shape: Any, before: Size, after: Size) -> Size:
    check_dims(shape, len(before))
    cut = len(shape) - len(before)
    if tuple(shape[cut:]) != tuple(before):
        raise ShapeError(message("Shape mismatch", received=tuple(shape[cut:]), expected=tuple(before)))
    return Size((*shape[:cut], *after))


class SoftmaxTransform(Transform):
    """y = softmax(x), along the last axis; the inverse is the logarithm (it is not bijective)."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SoftmaxTransform)

    __hash__ = Transform.__hash__

    def _call(self, x: Any) -> Any:
        return softmax(x, -1)

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def forward_shape(self, shape: Any) -> Any:
        """Return the shape itself."""
        check_dims(shape, 1)
        return shape

    inverse_shape = forward_shape


class StickBreakingTransform(Transform):
    """From vectors of K - 1 real numbers to distributions over K, by breaking a stick."""

    domain, codomain, bijective = constraints.real_vector, constraints.simplex, True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StickBreakingTransform)

    __hash__ = Transform.__hash__

    def _call(self, x: Any) -> Any:
        z = _inside_unit((x - _left(x).log()).sigmoid())
        return pad(z, [0, 1], value=1) * pad((1 - z).cumprod(-1), [1, 0], value=1)

    def _inverse(self, y: Any) -> Any:
        kept = y[..., :-1]
        rest = (1 - kept.cumsum(-1)).clamp(min=finfo(y.dtype).tiny)
        return kept.log() - rest.log() + _left(kept).log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Return the sum over the breaks."""
        x = x - _left(x).log()
        return (-x + logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        """Return the shape with one element more."""
        check_dims(shape, 1)
        return Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: Any) -> Any:
        """Return the shape with one element less."""
        check_dims(shape, 1)
        return Size((*shape[:-1], shape[-1] - 1))


def _left(x: Any) -> Any:
    """Return K - 1, K - 2, …, 1: the pieces that are left after each break, less one."""
    return x.shape[-1] - counting(x.shape[-1], x)


class CorrCholeskyTransform(Transform):
    """From vectors to Cholesky factors of correlation matrices, row by row."""

    domain, codomain, bijective = constraints.real_vector, constraints.corr_cholesky, True

    def _call(self, x: Any) -> Any:
        eps = finfo(x.dtype).eps
        r = vec_to_tril_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps), diag=-1)
        lengths = (1 - r * r).sqrt().cumprod(-1)
        return (r + eye(r.shape[-1], dtype=r.dtype)) * pad(lengths[..., :-1], [1, 0], value=1)

    def _inverse(self, y: Any) -> Any:
        rest = pad((1 - (y * y).cumsum(-1))[..., :-1], [1, 0], value=1)
        t = tril_matrix_to_vec(y, diag=-1) / tril_matrix_to_vec(rest, diag=-1).sqrt()
        return (t.log1p() - t.neg().log1p()) / 2

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        """Return the terms of the sticks and of tanh."""
        rest = tril_matrix_to_vec(1 - (y * y).cumsum(-1), diag=-2)
        return 0.5 * rest.log().sum(-1) - 2 * (x + softplus(-2 * x) - math.log(2.0)).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        """Return the shape of the matrices."""
        check_dims(shape, 1)
        count = shape[-1]
        n = round((0.25 + 2 * count) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != count:
            raise ShapeError(message("Input is not a flattened lower-diagonal number", received=count))
        return Size((*shape[:-1], n, n))

    def inverse_shape(self, shape: Any) -> Any:
        """Return the shape of the vectors."""
        check_dims(shape, 2)
        if shape[-2] != shape[-1]:
            raise ShapeError(message("Input is not square", received=tuple(shape)))
        return Size((*shape[:-2], shape[-1] * (shape[-1] - 1) // 2))


class LowerCholeskyTransform(Transform):
    """From matrices to lower triangular ones with a positive diagonal."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.lower_cholesky

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LowerCholeskyTransform)

    __hash__ = Transform.__hash__

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """From matrices to positive definite ones."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.positive_definite

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PositiveDefiniteTransform)

    __hash__ = Transform.__hash__

    def _call(self, x: Any) -> Any:
        x = LowerCholeskyTransform()(x)
        return x @ x.mT

    def _inverse(self, y: Any) -> Any:
        return LowerCholeskyTransform().inv(cholesky(y))


class _Pieces(Transform):
    """Base of transforms of pieces along an axis."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        if not all(isinstance(t, Transform) for t in tseq):
            raise ArgumentError(message(f"{type(self).__name__}: transforms", received=[type(t).__name__ for t in tseq]))
        super().__init__(cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq] if cache_size else list(tseq)
        self.dim = dim

    @property
    def bijective(self) -> bool:
        """True if all are."""
        return all(t.bijective for t in self.transforms)

    def _pieces(self, x: Any) -> list[Any]:
        raise NotImplementedError

    def _joined(self, pieces: list[Any]) -> Any:
        raise NotImplementedError

    def _call(self, x: Any) -> Any:
        return self._joined([t(piece) for t, piece in zip(self.transforms, self._pieces(x), strict=True)])

    def _inverse(self, y: Any) -> Any:
        return self._joined([t.inv(piece) for t, piece in zip(self.transforms, self._pieces(y), strict=True)])

    def _terms(self, x: Any, y: Any) -> list[Any]:
        pairs = zip(self.transforms, self._pieces(x), self._pieces(y), strict=True)
        return [t.log_abs_det_jacobian(a, b) for t, a, b in pairs]


class CatTransform(_Pieces):
    """Transforms of pieces of given lengths along an axis."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None, cache_size: int = 0) -> None:
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise ArgumentError(message("CatTransform: lengths", received=len(self.lengths), expected=len(self.transforms)))

    @lazy_property
    def event_dim(self) -> int:
        """The largest of the transforms'."""
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self) -> int:
        """The sum of the lengths."""
        return sum(self.lengths)

    @constraints.dependent_property
    def domain(self) -> Any:
        """The pieces'."""
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @constraints.dependent_property
    def codomain(self) -> Any:
        """The pieces'."""
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    def _pieces(self, x: Any) -> list[Any]:
        if x.shape[self.dim] != self.length:
            raise ShapeError(message("CatTransform: wrong size", received=x.shape[self.dim], expected=self.length))
        starts = [sum(self.lengths[:i]) for i in range(len(self.lengths))]
        return [x.narrow(self.dim, start, length) for start, length in zip(starts, self.lengths, strict=True)]

    def _joined(self, pieces: list[Any]) -> Any:
        return cat(pieces, self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Return the pieces' terms, joined (or added, where the axis is part of a value)."""
        terms = [sum_rightmost(t, self.event_dim - f.event_dim) for f, t in zip(self.transforms, self._terms(x, y), strict=True)]
        dim = self.dim - x.dim() if self.dim >= 0 else self.dim
        return cat(terms, dim + self.event_dim) if dim + self.event_dim < 0 else sum(terms)


class StackTransform(_Pieces):
    """Transforms of slices along an axis."""

    @constraints.dependent_property
    def domain(self) -> Any:
        """The slices'."""
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @constraints.dependent_property
    def codomain(self) -> Any:
        """The slices'."""
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    def _pieces(self, x: Any) -> list[Any]:
        if x.shape[self.dim] != len(self.transforms):
            raise ShapeError(message("StackTransform: wrong size", received=x.shape[self.dim], expected=len(self.transforms)))
        return [x.select(self.dim, i) for i in range(len(self.transforms))]

    def _joined(self, pieces: list[Any]) -> Any:
        return stack(pieces, self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Return the slices' terms."""
        return stack(self._terms(x, y), self.dim)


class CumulativeDistributionTransform(Transform):
    """y = cdf(x) of a distribution."""

    bijective, codomain, sign = True, constraints.unit_interval, 1

    def __init__(self, distribution: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:
        """The distribution's support."""
        return self.distribution.support

    def _call(self, x: Any) -> Any:
        return self.distribution.cdf(x)

    def _inverse(self, y: Any) -> Any:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Return the log density."""
        return self.distribution.log_prob(x)
