"""Weight gradients of 3x3 convolutions by Winograd's minimal filtering; see `trine.compiler.lower.winograd`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from trine import dtypes
from trine.compiler.lower.conv_geometry import MIN_UNITS, ConvAttributes
from trine.compiler.lower.conv_layout import Temporaries
from trine.compiler.lower.winograd import TileGrid, image_params, round_up, skewed, tile_grid
from trine.compiler.program import Command, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.conv_micro import VECTORS
from trine.compiler.templates.conv_pack import unpack_kernel
from trine.compiler.templates.winograd import tile_rows
from trine.compiler.templates.winograd_transform import PLANES
from trine.compiler.templates.winograd_weight import winograd_gradient_kernel, winograd_sum_kernel
from trine.core.graph import Node

# Most bytes of the sums of all chunks, and of the transformed gradient of the output of a block.
_SUM_BYTES = 4 << 20
_GRADIENT_BYTES = 1 << 20
_MIN_TILES, _MAX_TILES = 48, 96
# Each strip of input channels transforms the whole gradient of the output: with fewer channels than this it does not pay.
_STRIP_CHANNELS = 48
_SUM_CHANNELS = 16
_TAPS = 9


def lower_winograd_weight(
    target: Target, x: Value, gy: Value, gw: Value, shapes: tuple[tuple[int, ...], tuple[int, ...]], attrs: ConvAttributes,
    temporaries: Temporaries, threads: int, nodes: tuple[Node, ...],
) -> list[Command]:  # fmt: skip
    """Return the commands of ``gw = conv_weight_grad(x, gy)``.

    Args:
        target: what to compile for.
        x, gy: values with the memory of channels-last arrays; `shapes` are their shapes (N, C, H, W).
        gw: (O, C, 3, 3), row-major.
        shapes: see `x`.
        attrs: of the convolution.
        temporaries: makes a row-major temporary.
        threads: number of worker threads; results do not depend on it.
        nodes: what the commands compute.
    """
    dtype = gw.dtype
    plan = _plan(target, *shapes, (attrs.padding[0][0], attrs.padding[1][0]), threads)
    sums, taps = temporaries(plan.sum_shape, dtype), temporaries(plan.tap_shape, dtype)
    return [
        Command(
            winograd_gradient_kernel(dtype), [Operand(x), Operand(gy), Operand(sums, access="w")], list(plan.params), plan.units,
            cost=plan.cost, scratch=plan.scratch, name="conv_weight_grad", nodes=nodes,
        ),
        Command(
            winograd_sum_kernel(dtype), [Operand(sums), Operand(taps, access="w")], list(plan.sum_params), plan.sum_units,
            cost=sums.nbytes + taps.nbytes, name="conv_weight_grad.sum", nodes=nodes,
        ),
        Command(
            unpack_kernel(dtype), [Operand(taps), Operand(gw, access="w")], list(plan.unpack_params), plan.tap_shape[0] * VECTORS,
            cost=taps.nbytes + gw.nbytes, name="conv_weight_grad.sum", nodes=nodes,
        ),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Plan:
    params: tuple[int, ...]
    units: int
    scratch: int
    cost: int
    sum_shape: tuple[int, ...]
    sum_params: tuple[int, ...]
    sum_units: int
    tap_shape: tuple[int, int, int, int]
    unpack_params: tuple[int, ...]


def _strip_channels(target: Target, inputs: int, chunks: int, threads: int) -> int:
    """Return the input channels of a strip: a multiple of the rows of a register tile."""
    units = min(MIN_UNITS, 4 * threads)
    strips = max(1, min(-(-units // chunks), inputs // _STRIP_CHANNELS))
    return round_up(-(-inputs // strips), tile_rows(target))


@lru_cache(maxsize=512)
def _plan(target: Target, x: tuple[int, ...], gy: tuple[int, ...], low: tuple[int, int], threads: int) -> _Plan:
    item, lanes, rows = dtypes.float32.itemsize, target.lanes(dtypes.float32), tile_rows(target)
    width = VECTORS * lanes
    (images, inputs, height, x_width), (_, outputs, out_h, out_w) = x, gy
    panels = -(-outputs // width)
    tiles = max(_MIN_TILES, min(_MAX_TILES, _GRADIENT_BYTES // (PLANES * panels * width * item)))
    grid: TileGrid = tile_grid(target, images, out_h, out_w, tiles)
    sum_rows = round_up(inputs, rows)
    sum_plane = sum_rows * width * item
    sum_chunk = panels * PLANES * sum_plane
    chunks = max(1, min(grid.blocks, MIN_UNITS, _SUM_BYTES // sum_chunk))
    chunk_blocks = -(-grid.blocks // chunks)
    chunks = -(-grid.blocks // chunk_blocks)
    strip = min(sum_rows, _strip_channels(target, inputs, chunks, threads))
    strips = -(-inputs // strip)
    most = grid.block_rows * grid.block_columns
    v_row = skewed(round_up(strip, lanes) * item)
    v_plane, w_row = skewed(most * v_row), width * item
    w_plane = skewed(most * w_row * panels)
    zeros = round_up(max(v_row, panels * w_row), 64)
    w_at = zeros + PLANES * v_plane
    params = (
        *image_params((inputs, height, x_width), (outputs, out_h, out_w), low, item),
        grid.all_rows, grid.block_rows, grid.columns, grid.block_columns, grid.column_blocks,
        grid.blocks, chunk_blocks, strips, strip, inputs, outputs, panels,
        v_row, v_plane, w_row, w_plane, most * w_row, zeros, w_at, zeros,
        sum_chunk, PLANES * sum_plane, sum_plane,
    )  # fmt: skip
    blocks = -(-inputs // _SUM_CHANNELS)
    tap_bytes = inputs * width * item
    sum_params = (chunks, sum_chunk, PLANES * sum_plane, sum_plane, inputs, blocks, _SUM_CHANNELS, _TAPS * tap_bytes, tap_bytes)
    columns = inputs * _TAPS
    unpack = (panels, 1, 0, _TAPS * tap_bytes, outputs, columns * item, 0, columns, _TAPS, inputs)
    return _Plan(
        params, chunks * strips, w_at + PLANES * w_plane, 2 * PLANES * grid.all_rows * grid.columns * inputs * outputs,
        (chunks, panels, PLANES, sum_rows, width), sum_params, panels * blocks, (panels, _TAPS, inputs, width), unpack,
    )  # fmt: skip
