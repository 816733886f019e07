"""Lowering of the weight gradient of a convolution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from trine.compiler.lower import winograd
from trine.compiler.lower.conv import check_supported
from trine.compiler.lower.conv_geometry import MIN_UNITS, ConvAttributes, even_part, forward_axis, spatial_shape, tiling
from trine.compiler.lower.conv_half import lower_in_float32
from trine.compiler.lower.conv_layout import Temporaries, to_channels_last
from trine.compiler.lower.conv_plan import row_major
from trine.compiler.lower.conv_pointwise import lower_pointwise_weight, serves_weight
from trine.compiler.lower.winograd_weight import lower_winograd_weight
from trine.compiler.program import Command, Kernel, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.conv_micro import VECTORS, max_rows, panel_width, weight_micro
from trine.compiler.templates.conv_pack import unpack_kernel
from trine.compiler.templates.conv_weight import FIELDS, OPERANDS, TILE_FIELDS, WeightForm, weight_kernel
from trine.core.graph import Node
from trine.dtypes import DType

# Most bytes of all partial sums: they are written once and read once more.
_PARTIAL_BYTES = 4 << 20
# A tile's rows have a pointer each.
_MAX_ROW_POINTERS = 7


def lower_conv_weight_grad(
    target: Target, x: Value, gy: Value, gw: Value, attrs: ConvAttributes, temporaries: Temporaries, threads: int = 1,
    nodes: tuple[Node, ...] = (),
) -> list[Command]:  # fmt: skip
    """Return the commands of ``gw = conv_weight_grad(x, gy)``.

    Args:
        target: what to compile for.
        x, gy: (N, C, *spatial) and (N, O, *outputs), channels-last or row-major in memory; row-major ones cost a transpose.
        gw: (O, C / groups, *kernel), row-major.
        attrs, temporaries, threads, nodes: as for `lower_conv`.

    Raises:
        UnsupportedError: a dtype that is not floating point, or an empty operand.
    """
    if serves_weight(gw, attrs, x, gy):
        return lower_pointwise_weight(target, x, gy, gw, temporaries, threads, nodes)
    if gw.dtype.is_half:

        def lower(inputs: Sequence[Value], output: Value) -> list[Command]:
            return lower_conv_weight_grad(target, inputs[0], inputs[1], output, attrs, temporaries, threads, nodes)

        return lower_in_float32(target, lower, (x, gy), gw, temporaries, threads, nodes)
    check_supported("conv_weight_grad", x, gy, gw)
    if 0 in gw.shape:
        return []
    dtype = gw.dtype
    commands: list[Command] = []
    x_last = to_channels_last(target, x, temporaries, commands, nodes)
    gy_last = to_channels_last(target, gy, temporaries, commands, nodes)
    if winograd.serves(gw, attrs, x, gy):
        shapes = (x.shape, gy.shape)
        return commands + lower_winograd_weight(target, x_last, gy_last, gw, shapes, attrs, temporaries, threads, nodes)
    plan = _plan(target, dtype, x.shape, gy.shape, gw.shape, attrs)
    partial = temporaries(plan.partial_shape, dtype)
    commands.append(
        Command(
            plan.kernel, [Operand(x_last), Operand(gy_last), Operand(partial, access="w")], list(plan.params), plan.units,
            cost=plan.cost, scratch=plan.scratch, name="conv_weight_grad", nodes=nodes,
        )
    )  # fmt: skip
    commands.append(
        Command(
            unpack_kernel(dtype), [Operand(partial), Operand(gw, access="w")], list(plan.unpack_params), plan.unpack_units,
            cost=partial.nbytes + gw.nbytes, name="conv_weight_grad.sum", nodes=nodes,
        )
    )  # fmt: skip
    return commands


@dataclass(frozen=True, slots=True)
class _WeightPlan:
    kernel: Kernel
    params: tuple[int | Kernel, ...]
    units: int
    scratch: int
    cost: int
    partial_shape: tuple[int, ...]
    unpack_params: tuple[int, ...]
    unpack_units: int


@dataclass(frozen=True, slots=True)
class _Slices:
    """How the input channels of a group are cut, and how a slice lies in scratch memory."""

    dense: bool
    depthwise: bool
    channels: int
    size: int
    pixel: int

    @property
    def count(self) -> int:
        return -(-self.channels // self.size)


def _slices(target: Target, dtype: DType, channels: int, groups: int, depthwise: bool) -> _Slices:
    item, lanes = dtype.itemsize, target.lanes(dtype)
    if depthwise:
        width = panel_width(target, dtype)
        return _Slices(False, True, groups, width, width * item)
    most = min(max_rows(target), lanes)
    if groups == 1 and channels < most:
        return _Slices(True, False, channels, channels, channels * item)
    return _Slices(False, False, channels, even_part(channels, most), lanes * item)


@lru_cache(maxsize=512)
def _plan(target: Target, dtype: DType, x: tuple[int, ...], gy: tuple[int, ...], gw: tuple[int, ...], attrs: ConvAttributes) -> _WeightPlan:
    item, width, spatial = dtype.itemsize, panel_width(target, dtype), attrs.spatial()
    taps, outputs = spatial_shape(gw), spatial_shape(gy)
    low = (pair[0] for pair in spatial.padding)
    axes = [forward_axis(*values) for values in zip(spatial_shape(x), outputs, taps, spatial.stride, low, spatial.dilation, strict=True)]
    channels, group_outputs = gw[1], gw[0] // attrs.groups
    depthwise = attrs.groups > 1 and channels == 1 and group_outputs == 1
    slices = _slices(target, dtype, channels, attrs.groups, depthwise)
    groups = 1 if depthwise else attrs.groups
    if depthwise:
        group_outputs = attrs.groups
    panels = -(-group_outputs // width)
    packed_pixel = width * item * (1 if depthwise else panels)
    steps, reach = tuple(a.step for a in axes), tuple(a.reach for a in axes)
    tiles = tiling((gy[0], *outputs), (steps[0], steps[1], steps[2]), (reach[0], reach[1], reach[2]), packed_pixel + slices.pixel, 1)
    tap_count = taps[0] * taps[1] * taps[2]
    rows = tap_count * (1 if depthwise else channels)
    partial_panel = rows * width * item
    chunks = max(1, min(tiles.num_blocks, MIN_UNITS, _PARTIAL_BYTES // (groups * panels * partial_panel)))
    chunk_blocks = -(-tiles.num_blocks // chunks)
    chunks = -(-tiles.num_blocks // chunk_blocks)
    strips = min(slices.count, -(-MIN_UNITS // (chunks * groups)))
    strip_slices = -(-slices.count // strips)
    strips = -(-slices.count // strip_slices)
    x_pixel, y_pixel = x[1] * item, gy[1] * item
    in_strides = row_major((gy[0], *(a.extent for a in axes)), x_pixel)
    extents = tuple((b - 1) * s + r for b, s, r in zip(tiles.block[1:], steps, reach, strict=True))
    # Reading x where it lies pays where its elements are not used again for other taps.
    direct_x = all(a.is_inside for a in axes) and not depthwise and (slices.dense or tap_count == 1)
    direct_gradient = not depthwise and y_pixel == width * item and tiles.blocks[3] == 1
    form = WeightForm(slices.dense, depthwise, direct_x, direct_gradient)
    copy_strides = in_strides if direct_x else row_major((tiles.block[0], *extents), slices.pixel)
    tile_table, a_q, a_p, d_q = _tiles(target, dtype, slices, taps, spatial.dilation, copy_strides, width * item)
    b_scratch = 0 if direct_gradient else tiles.block[0] * tiles.block[1] * tiles.block[2] * tiles.block[3] * packed_pixel
    values = (
        *tiles.blocks[1:], *tiles.block, gy[0], *outputs,
        *(a.low for a in axes), *steps, *reach, *(a.extent for a in axes), *in_strides[:3], x_pixel, *copy_strides[:3],
        chunks, chunk_blocks, tiles.num_blocks, strips, strip_slices, slices.count, slices.size, slices.channels,
        channels * item, group_outputs * item, group_outputs, panels, *row_major((gy[0], *outputs), y_pixel),
        copy_strides[0], *(s * step for s, step in zip(copy_strides[1:], steps, strict=True)), a_q, a_p, d_q,
        b_scratch, panels * partial_panel, partial_panel, slices.size * width * item,
        len(tile_table) // len(TILE_FIELDS), 2 * OPERANDS + len(FIELDS),
    )  # fmt: skip
    unpack = (
        panels, chunks, panels * partial_panel, partial_panel, group_outputs, rows * item, group_outputs * rows * item,
        rows, tap_count, 1 if depthwise else channels,
    )  # fmt: skip
    pixels = gy[0] * outputs[0] * outputs[1] * outputs[2]
    return _WeightPlan(
        weight_kernel(dtype, form), (*values, *tile_table), groups * chunks * strips,
        b_scratch + (0 if direct_x else copy_strides[0] * tiles.block[0]), 2 * pixels * rows * group_outputs * groups,
        (groups, chunks, panels, rows, width), unpack, groups * panels * VECTORS,
    )  # fmt: skip


def _tiles(
    target: Target, dtype: DType, slices: _Slices, taps: tuple[int, ...], dilation: tuple[int, ...], strides: tuple[int, ...], row: int
) -> tuple[list[int | Kernel], int, int, int]:
    """Return the table of tiles, and the strides aq, ap and dq that they share; `row` is the size of a row of partial sums."""
    item, most = dtype.itemsize, max_rows(target)
    offsets = [[t * d * s for t in range(n)] for n, d, s in zip(taps, dilation, strides[1:], strict=True)]
    if slices.depthwise:
        p, a_p, length, q_taps = even_part(taps[2], most), dilation[2] * strides[3], taps[2], taps[1]
        a_q, d_q, unit = dilation[1] * strides[2], taps[2] * row, a_p
    elif not slices.dense:
        table: list[int | Kernel] = []
        last = slices.channels % slices.size or slices.size
        kernels = [weight_micro(dtype, 1, size, False) for size in (slices.size, last)]
        positions = itertools.product(*(range(n) for n in taps))
        for number, (parts, (_, h, w)) in enumerate(zip(itertools.product(*offsets), positions, strict=True)):
            table += [sum(parts), number * slices.channels * row, h * dilation[1], w * dilation[2], *kernels]
        return table, 0, 0, 0
    elif dilation[2] == 1 or taps[2] == 1:
        # The taps of a row read adjacent channels: one run.
        length = taps[2] * slices.channels
        p, a_p, unit, q_taps = even_part(length, most), 0, item, taps[1]
        a_q, d_q = dilation[1] * strides[2], length * row
    else:
        length, q_taps = slices.channels, taps[2]
        p, a_p, unit = length, 0, item
        a_q, d_q = dilation[2] * strides[3], length * row
    q = even_part(q_taps, max(1, min(most // p, _MAX_ROW_POINTERS)))
    outer = taps[0] * taps[1] * taps[2] * slices.channels // (q_taps * length) if not slices.depthwise else taps[0]
    return _tile_table(dtype, slices.depthwise, (q, p, q_taps, length), (a_q, d_q, unit, row), _outer(offsets, outer)), a_q, a_p, d_q


def _outer(offsets: list[list[int]], outer: int) -> list[int]:
    """Return the offsets of the taps outside a tile: planes, or planes and rows."""
    if outer == len(offsets[0]):
        return offsets[0]
    return [d + h for d in offsets[0] for h in offsets[1]]


def _tile_table(
    dtype: DType, depthwise: bool, sizes: tuple[int, int, int, int], strides: tuple[int, int, int, int], outer: list[int]
) -> list[int | Kernel]:
    """Return the tiles that cover rows [0, q_taps) by elements [0, length) for each outer offset."""
    q, p, q_taps, length = sizes
    a_q, d_q, unit, row = strides
    table: list[int | Kernel] = []
    for number, base in enumerate(outer):
        for i in range(0, q_taps, q):
            for j in range(0, length, p):
                kernel = weight_micro(dtype, min(q, q_taps - i), min(p, length - j), depthwise)
                a_offset = base + i * a_q + j * unit
                table += [a_offset, number * q_taps * d_q + i * d_q + j * row, 0, 0, kernel, kernel]
    return table
