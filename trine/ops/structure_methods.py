"""The tensor methods of linear algebra, indexing, joining and views, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.ops import (
    arranging,
    decomposition,
    matrix,
    movement,
    older_linalg,
    products,
    reshaping,
    scattering,
    searching,
    solving,
    spectrogram,
    viewing,
)

Function = Callable[..., Any]


def _named(module: Any, names: str) -> dict[str, Function]:
    """Return functions of a module by name."""
    return {name: getattr(module, name) for name in names.split()}


STRUCTURE_METHODS: dict[str, Function] = {
    **_named(arranging, "corrcoef cov diagflat"),
    **_named(decomposition, "cholesky geqrf lu_solve orgqr ormqr"),
    **_named(matrix, "cross det kron logdet matrix_exp matrix_power slogdet"),
    **_named(older_linalg, "cholesky_inverse cholesky_solve lu qr svd triangular_solve"),
    **_named(scattering, "index_add index_copy index_fill index_reduce put scatter scatter_add scatter_reduce"),
    **_named(
        viewing,
        """as_strided as_strided_scatter diagonal_scatter dsplit hsplit narrow_copy resize_ resize_as_ select_scatter slice_scatter
        unsafe_chunk unsafe_split
        unsafe_split_with_sizes vsplit""",
    ),
    **_named(products, "addbmm addmv addr inner renorm vdot"),
    **_named(searching, "unique unique_consecutive"),
    **_named(spectrogram, "istft stft"),
    **_named(reshaping, "as_strided_ fill_diagonal_ is_same_size squeeze_ t_ transpose_ unsqueeze_"),
    "adjoint": movement.adjoint,
    "swapaxes_": reshaping.transpose_,
    "swapdims_": reshaping.transpose_,
    **_named(solving, "inverse pinverse"),
}
"""Method name -> function whose first argument is the tensor."""

STRUCTURE_INPLACE: tuple[str, ...] = tuple("addbmm addmv addr index_reduce put renorm".split())
"""Functions among them whose in-place form ``name_`` exists."""
