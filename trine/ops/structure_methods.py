"""The tensor methods of linear algebra, indexing, joining and views, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.ops import arranging, decomposition, matrix, older_linalg, scattering, solving

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
    **_named(solving, "inverse pinverse"),
}
"""Method name -> function whose first argument is the tensor."""

STRUCTURE_INPLACE: tuple[str, ...] = ("index_reduce", "put")
"""Functions among them whose in-place form ``name_`` exists."""
