"""Linear algebra: `trine.linalg`, with the names of `torch.linalg`. LAPACK does the work; gradients of any order flow through it."""

from __future__ import annotations

from trine.errors import LinAlgError
from trine.namespace import Tensor  # noqa: F401  (the namespace before its parts)
from trine.ops.decomposition import (
    cholesky_ex,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    householder_product,
    ldl_factor,
    ldl_factor_ex,
    ldl_solve,
    lu,
    lu_factor,
    lu_factor_ex,
    qr,
    svd,
    svdvals,
)
from trine.ops.decomposition import linalg_cholesky as cholesky
from trine.ops.decomposition import linalg_lu_solve as lu_solve
from trine.ops.matrix import cond, diagonal, matrix_exp, matrix_norm, matrix_rank, multi_dot, norm, vecdot
from trine.ops.matrix import linalg_cross as cross
from trine.ops.matrix import linalg_det as det
from trine.ops.matrix import linalg_matmul as matmul
from trine.ops.matrix import linalg_matrix_power as matrix_power
from trine.ops.matrix import linalg_slogdet as slogdet
from trine.ops.matrix import linalg_vander as vander
from trine.ops.reduction import vector_norm
from trine.ops.solving import inv, inv_ex, lstsq, pinv, solve, solve_ex, solve_triangular, tensorinv, tensorsolve

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "ldl_factor",
    "ldl_factor_ex",
    "ldl_solve",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]
