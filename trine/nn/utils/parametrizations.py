"""Ready parametrizations: weight normalisation, spectral normalisation, orthogonal matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.errors import ArgumentError, ShapeError, UnsupportedError, message
from trine.nn import functional as F
from trine.nn.module import Module
from trine.nn.utils import parametrize
from trine.nn.utils.norm_except_dim import norm_except_dim, weight_from_parts
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


# --- weight normalisation -------------------------------------------------------------------------------------------------------------


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_from_parts(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Learn a weight as magnitude (`original0`) and direction (`original1`), ``g v / |v|`` (Salimans and Kingma, 2016).

    Args:
        dim: the axis along which there is a magnitude for each place; None for one magnitude.

    >>> import trine
    >>> layer = trine.nn.utils.parametrizations.weight_norm(trine.nn.Linear(20, 40))
    >>> layer.parametrizations.weight.original0.shape
    trine.Size([40, 1])
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        """States of the older `trine.nn.utils.weight_norm` have two parameters of the module itself."""
        old = (f"{prefix}{name}_g", f"{prefix}{name}_v")
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


# --- spectral normalisation -----------------------------------------------------------------------------------------------------------


class _SpectralNorm(Module):
    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        rank = weight.dim()
        if not -rank <= dim < rank:
            raise IndexError(f"spectral_norm: dim {dim} is out of range for a tensor with {rank} axes")
        if n_power_iterations <= 0:
            received = f"n_power_iterations={n_power_iterations}"
            raise ArgumentError(message("spectral_norm", received=received, expected="1 or more"))
        self.dim, self.eps = dim % rank, eps
        if rank > 1:
            self.n_power_iterations = n_power_iterations
            with no_grad():
                matrix = self._matrix(weight)
                height, width = matrix.shape
                self.register_buffer("_u", F.normalize(weight.new_empty((height,)).normal_(), dim=0, eps=eps))
                self.register_buffer("_v", F.normalize(weight.new_empty((width,)).normal_(), dim=0, eps=eps))
                self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        if self.dim:
            weight = weight.permute(self.dim, *(k for k in range(weight.dim()) if k != self.dim))
        return weight.flatten(1)  # type: ignore[no-any-return]

    def _iterate(self, matrix: Tensor, count: int) -> None:
        with no_grad():
            for _ in range(count):
                self._u.copy_(F.normalize(matrix @ self._v, dim=0, eps=self.eps))
                self._v.copy_(F.normalize(matrix.T @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        sigma = u.dot(matrix @ v)
        return weight / sigma  # type: ignore[no-any-return]

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Any:
    """Divide a weight by its largest singular value, found by power iteration (Miyato et al., 2018).

    Args:
        n_power_iterations: steps at each use in training. dim: the axis of the outputs: 0, or 1 for transposed convolutions, unless given.

    >>> import trine
    >>> _ = trine.manual_seed(0)
    >>> layer = trine.nn.utils.parametrizations.spectral_norm(trine.nn.Linear(20, 40), n_power_iterations=20)
    >>> round(trine.linalg.matrix_norm(layer.weight, 2).item(), 1)
    1.0
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        received = f"'{name}' of {type(module).__name__}"
        raise ArgumentError(message("spectral_norm: no such parameter or buffer", received=received))
    if dim is None:
        dim = default_dim(module)
    parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
    return module


def default_dim(module: Module) -> int:
    """Return the axis of the outputs in the weight of a module."""
    from trine.nn.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d

    return 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0


# --- orthogonal matrices --------------------------------------------------------------------------------------------------------------


def _orthogonalized(x: Tensor) -> Tensor:
    """Return the orthogonal factor of a matrix, with the signs for which the triangular one has a positive diagonal."""
    from trine.ops.decomposition import qr

    q, r = qr(x)
    return q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)  # type: ignore[no-any-return]


def _is_orthogonal(q: Tensor) -> bool:
    from trine.ops.creation import eye

    n, k = q.shape[-2:]
    if n < k:
        return False
    unit = eye(k, dtype=q.dtype)
    eps = 10.0 * n * {"float64": 2.0**-52, "complex128": 2.0**-52}.get(q.dtype.name, 2.0**-23)
    return bool(((q.mT @ q) - unit).abs().max() <= eps)


def _exponential(skew: Tensor) -> Tensor:
    from trine.ops.matrix import matrix_exp

    return matrix_exp(skew)


def _cayley(skew: Tensor) -> Tensor:
    from trine.ops.creation import eye
    from trine.ops.solving import solve

    unit = eye(skew.shape[-1], dtype=skew.dtype)
    half = skew * 0.5
    return solve(unit - half, unit + half)


_MAPS: dict[str, Callable[[Tensor], Tensor]] = {"matrix_exp": _exponential, "cayley": _cayley}
"""Maps from skew-symmetric to orthogonal matrices."""


class _Orthogonal(Module):
    base: Any

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool = True) -> None:
        super().__init__()
        self.shape, self.orthogonal_map, self.use_trivialization = weight.shape, orthogonal_map, use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:
        from trine.ops.decomposition import householder_product
        from trine.ops.joining import cat

        transposed = X.shape[-2] < X.shape[-1]
        X = X.mT if transposed else X
        n, k = X.shape[-2:]
        if self.orthogonal_map in _MAPS:
            X = X.tril()
            if n != k:  # fill up to a square matrix, of which the first columns remain
                X = cat([X, X.new_zeros((n, n - k)).expand(*X.shape[:-2], n, n - k)], -1)
            Q = _MAPS[self.orthogonal_map](X - X.mT)[..., :k]
        else:
            A = X.tril(-1)
            tau = 2.0 / (1.0 + (A * A).sum(-2))
            # The signs of the diagonal choose among matrices that have the same reflections.
            Q = householder_product(A, tau) * X.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)
        if self.use_trivialization:
            Q = self.base @ Q
        return Q.mT if transposed else Q

    def right_inverse(self, Q: Any) -> Any:
        if Q.shape != self.shape:
            received, expected = tuple(Q.shape), tuple(self.shape)
            raise ShapeError(message("orthogonal: the matrix has another shape", received=received, expected=expected))
        transposed = Q.shape[-2] < Q.shape[-1]
        start = Q
        Q = Q.mT if transposed else Q
        if self.use_trivialization:
            return self._set_base(Q, start)
        if self.orthogonal_map in _MAPS:
            fix = "use_trivialization=True"
            raise UnsupportedError(message(f"orthogonal: the map {self.orthogonal_map!r} has no inverse without trivialization", fix=fix))
        from trine.ops.decomposition import geqrf

        A, tau = geqrf(Q)
        # A positive diagonal of the triangular factor; LAPACK leaves a reflection out where tau is 0.
        signs = A.diagonal(dim1=-2, dim2=-1).sign() * (1 - 2 * tau.eq(0).to(A.dtype))
        A = _with_diagonal(A, signs)
        return A.mT if transposed else A

    def _set_base(self, Q: Any, start: Any) -> Any:
        """Take an orthogonal matrix near to Q as the point that the map starts from, and return what leads there."""
        from trine.ops.joining import cat

        n, k = Q.shape[-2:]
        if n == k:
            Q = Q.clone() if _is_orthogonal(Q) else _orthogonalized(Q)
        else:
            Q = _orthogonalized(cat([Q, Q.new_empty((*Q.shape[:-2], n, n - k)).normal_()], -1))
        self.base = Q
        from trine.ops.creation import zeros_like

        zero = zeros_like(start)
        return _with_diagonal(zero, zero.diagonal(dim1=-2, dim2=-1) - 1)


def _with_diagonal(matrix: Any, diagonal: Any) -> Any:
    """Return a matrix with another diagonal."""
    from trine.ops.creation import eye

    rows, columns = matrix.shape[-2:]
    unit = eye(rows, columns, dtype=matrix.dtype)
    filled = diagonal.unsqueeze(-2) if columns <= rows else diagonal.unsqueeze(-1)
    return matrix * (1 - unit) + unit * filled


def orthogonal(module: Any, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True) -> Any:
    """Keep a matrix orthogonal: its rows, or its columns, whichever are fewer (Lezcano-Casado, 2019).

    Args:
        orthogonal_map: "matrix_exp" (of a skew-symmetric matrix; for square ones unless given), "cayley" or "householder".
        use_trivialization: start from the matrix that is there.

    >>> import trine
    >>> layer = trine.nn.utils.parametrizations.orthogonal(trine.nn.Linear(20, 40))
    >>> bool(trine.allclose(layer.weight.T @ layer.weight, trine.eye(20), atol=1e-4))
    True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        received = f"'{name}' of {type(module).__name__}"
        raise ArgumentError(message("orthogonal: no such parameter or buffer", received=received))
    if weight.dim() < 2:
        raise ArgumentError(message("orthogonal: not a matrix", received=f"shape {tuple(weight.shape)}", expected="two axes or more"))
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in (*_MAPS, "householder"):
        expected = ", ".join((*_MAPS, "householder"))
        raise ArgumentError(message("orthogonal: no such map", received=repr(orthogonal_map), expected=expected))
    parametrize.register_parametrization(module, name, _Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True)
    return module
