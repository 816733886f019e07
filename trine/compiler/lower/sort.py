"""Lowering of argsort. Values are row-major; arguments as in `trine.compiler.lower.index`."""

from __future__ import annotations

import math

from trine.compiler.lower.index import Temporaries, check_arithmetic
from trine.compiler.program import Command, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.sort import argsort_kernel, argsort_scratch
from trine.core.graph import Node
from trine.errors import UnsupportedError, message

_COST_PER_BYTE = 16  # an element is moved once for each digit


def lower_argsort(
    target: Target,
    x: Value,
    out: Value,
    axis: int,
    descending: bool,
    temporaries: Temporaries,
    threads: int,
    nodes: tuple[Node, ...] = (),
) -> list[Command]:
    """Return the commands of a stable argsort (int64): NaN last when ascending, first when descending.

    Raises:
        UnsupportedError: the axis has 2**32 elements or more, or the numbers are complex.
    """
    check_arithmetic("argsort", x.dtype)
    size, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    if size >= 1 << 32:
        raise UnsupportedError(message("argsort: the axis is too long", received=size, expected="fewer than 2**32 elements"))
    units = math.prod(x.shape[:axis]) * inner
    if not units * size:
        return []
    operands = [Operand(x), Operand(out, access="w")]
    kernel, scratch = argsort_kernel(x.dtype, descending), argsort_scratch(x.dtype, size)
    return [Command(kernel, operands, [size, inner], units, _COST_PER_BYTE * out.nbytes, scratch, "argsort", nodes)]
