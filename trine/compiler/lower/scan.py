"""Lowering of the scans cumsum, cumprod, cummax and cummin. Values are row-major; arguments as in `trine.compiler.lower.index`."""

from __future__ import annotations

import math

from trine.compiler.lower.index import Temporaries, check_arithmetic
from trine.compiler.program import Command, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.scan import ROW_GROUP, scan_columns_kernel, scan_rows_kernel
from trine.core.graph import Node

_BLOCK_BYTES = 256  # columns of a unit: four cache lines


def lower_scan(
    target: Target,
    kind: str,
    x: Value,
    out: Value,
    axis: int,
    reverse: bool,
    temporaries: Temporaries,
    threads: int,
    nodes: tuple[Node, ...] = (),
) -> list[Command]:
    """Return the commands of ``out = kind(x, axis)``, from the end if `reverse`; `out` may lie at the address of `x`."""
    check_arithmetic(kind, x.dtype)
    outer, size, inner = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    if not outer * size * inner:
        return []
    operands = [Operand(x), Operand(out, access="w")]
    walk = [size - 1, -1] if reverse else [0, 1]
    cost = 2 * out.nbytes
    if inner == 1:
        units = -(-outer // ROW_GROUP)
        return [Command(scan_rows_kernel(kind, x.dtype), operands, [outer, size, *walk], units, 4 * cost, name=kind, nodes=nodes)]
    width = _BLOCK_BYTES // x.dtype.itemsize
    blocks = -(-inner // width)
    params: list[int] = [size, inner, width, blocks, *walk]
    return [Command(scan_columns_kernel(kind, x.dtype), operands, [*params], outer * blocks, cost, name=kind, nodes=nodes)]
