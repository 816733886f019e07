"""Plans of direct convolutions: the integers that the driver and the packing kernel need, cached by shape."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

from trine.compiler.lower.conv_geometry import MIN_UNITS, AxisGeometry, Phase, Tiling, even_part, tiling
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.conv import FIELDS, JOB_FIELDS, K_BLOCK_FIELDS, OPERANDS, conv_kernel
from trine.compiler.templates.conv_micro import VECTORS, conv_micro, max_rows, panel_width
from trine.compiler.templates.conv_pack import PACK_FIELDS
from trine.dtypes import DType

# Rows of a panel of weights that one pass over a block's tiles uses.
_K_BLOCK = 640


@dataclass(frozen=True, slots=True)
class ConvShape:
    """A convolution over a channels-last input: what a plan depends on.

    Attributes:
        images: N.
        groups: groups of channels; in the depthwise form 1, with all channels as inputs and as outputs.
        inputs, outputs: channels per group.
        axes: geometry of d, h and w.
        output_extents: extents of the output, d, h, w.
        taps: extents of the weight, d, h, w.
        transposed: weights are ``(inputs, outputs, taps)`` instead of ``(outputs, inputs, taps)`` within a group: an input gradient.
        depthwise: one input and one output channel per group.
    """

    images: int
    groups: int
    inputs: int
    outputs: int
    axes: tuple[AxisGeometry, AxisGeometry, AxisGeometry]
    output_extents: tuple[int, int, int]
    taps: tuple[int, int, int]
    transposed: bool
    depthwise: bool


@dataclass(frozen=True, slots=True)
class ConvPlan:
    """Parameters of the driver and of the packing of its weights."""

    kernel: Kernel
    params: tuple[int | Kernel, ...]
    units: int
    scratch: int
    cost: int
    packed_shape: tuple[int, int, int]
    pack_params: tuple[int, ...]


def row_major(extents: tuple[int, ...], item: int) -> tuple[int, ...]:
    """Return the strides of a row-major array with elements of `item` bytes."""
    strides = [item]
    for extent in reversed(extents[1:]):
        strides.append(strides[-1] * extent)
    return tuple(reversed(strides))


@functools.lru_cache(maxsize=1024)
def plan_conv(target: Target, dtype: DType, shape: ConvShape, epilogue_entries: int = 0) -> ConvPlan:
    """Plan a convolution; see `trine.compiler.templates.conv` for what the driver does, and for the entries of an epilogue."""
    item, width = dtype.itemsize, panel_width(target, dtype)
    pixel, y_pixel = shape.groups * shape.inputs * item, shape.groups * shape.outputs * item
    axes = shape.axes
    in_strides = _four(row_major((shape.images, *(a.extent for a in axes)), pixel))
    y_strides = row_major((shape.images, *shape.output_extents), y_pixel)
    jobs = list(itertools.product(*(a.phases for a in axes)))
    counts: tuple[int, ...] = (shape.images, *(a.count for a in axes))
    steps = (axes[0].step, axes[1].step, axes[2].step)
    reach = (axes[0].reach, axes[1].reach, axes[2].reach)
    copy = not all(a.is_inside for a in axes)
    x_strides: tuple[int, ...] = (in_strides[0], *(s * step for s, step in zip(in_strides[1:], steps, strict=True)))
    job_counts = [tuple(phase.count for phase in job) for job in jobs]
    tap_strides = in_strides
    if not copy and len(jobs) == 1 and not epilogue_entries:
        counts, x_strides, y_strides = _merge_axes(counts, x_strides, y_strides)
        job_counts, reach, steps = [counts[1:]], (1, 1, 1), (1, 1, 1)
    tiles = tiling(_four(counts), steps, reach, pixel, max_rows(target))
    scratch = 0
    a_strides = x_strides
    if copy:
        extents = tuple((b - 1) * s + r for b, s, r in zip(tiles.block[1:], steps, reach, strict=True))
        tap_strides = _four(row_major((tiles.block[0], *extents), pixel))
        a_strides = (tap_strides[0], *(s * step for s, step in zip(tap_strides[1:], steps, strict=True)))
        scratch = tap_strides[0] * tiles.block[0]
    group_panels = -(-shape.outputs // width)
    panels = shape.groups * group_panels
    chunks = min(panels, -(-MIN_UNITS // tiles.num_blocks))
    chunk_panels = -(-panels // chunks)
    chunks = -(-panels // chunk_panels)
    tap_count = shape.taps[0] * shape.taps[1] * shape.taps[2]
    depth = tap_count * (1 if shape.depthwise else shape.inputs)
    layout = _JobLayout(target, dtype, shape, tiles, tap_strides, copy)
    for job, count in zip(jobs, job_counts, strict=True):
        layout.add(job, count, y_strides)
    fields = dict(
        zip(
            FIELDS,
            (
                *tiles.blocks[1:], *tiles.block, *counts,
                *(a.low for a in axes), *(a.step for a in axes), *(a.reach for a in axes), *(a.extent for a in axes),
                *in_strides[:3], pixel, *tap_strides[:3],
                chunks, chunk_panels, panels, group_panels, *x_strides, *a_strides,
                shape.inputs * item, width * item if shape.depthwise else 0, shape.outputs * item, width * item,
                shape.outputs, depth * width * item, width, tiles.q, tiles.p, len(jobs),
            ),
            strict=False,
        )
    )  # fmt: skip
    first = 2 * OPERANDS + epilogue_entries + len(FIELDS)
    params = (*fields.values(), first, *layout.params(first))
    pixels = shape.images * shape.output_extents[0] * shape.output_extents[1] * shape.output_extents[2]
    cost = 2 * pixels * shape.groups * shape.outputs * depth // max(1, len(jobs))
    return ConvPlan(
        conv_kernel(copy, tiles.q_axis, epilogue_entries), params, tiles.num_blocks * chunks, scratch, cost,
        (panels, depth, width), _pack_params(shape, item, width, group_panels, depth, tap_count, layout.tap_rows),
    )  # fmt: skip


def _four(values: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, c, d = values
    return a, b, c, d


def _merge_axes(
    counts: tuple[int, ...], x_strides: tuple[int, ...], y_strides: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Join output axes that are one walk in input and output (a 1x1 convolution is then one long row), innermost last."""
    merged: list[tuple[int, int, int]] = []
    for count, x, y in reversed(list(zip(counts, x_strides, y_strides, strict=True))):
        if count == 1:
            continue
        if merged and merged[-1][0] * merged[-1][1] == x and merged[-1][0] * merged[-1][2] == y:
            merged[-1] = (merged[-1][0] * count, merged[-1][1], merged[-1][2])
        else:
            merged.append((count, x, y))
    merged += [(1, 0, 0)] * (4 - len(merged))
    merged.reverse()
    return tuple(m[0] for m in merged), tuple(m[1] for m in merged), tuple(m[2] for m in merged)


# Byte offset from the pixel, number of elements, row of the tap in the padded input.
Run = tuple[int, int, int]


class _JobLayout:
    """Jobs, their k blocks and runs, gathered and then laid out after the driver's fields."""

    def __init__(
        self, target: Target, dtype: DType, shape: ConvShape, tiles: Tiling, tap_strides: tuple[int, int, int, int], copy: bool
    ) -> None:
        self.dtype, self.shape, self.tiles, self.copy = dtype, shape, tiles, copy
        self.tap_strides = tap_strides
        self.width = panel_width(target, dtype)
        self.jobs: list[list[int | Kernel]] = []
        self.blocks: list[list[list[Run]]] = []
        self.starts: list[int] = []
        self.tap_rows: dict[int, int] = {}
        self.rows = 0

    def add(self, phases: tuple[Phase, ...], counts: tuple[int, ...], y_strides: tuple[int, ...]) -> None:
        """Add the job of one phase per axis. `y_strides` are those of the output's elements; a phase may skip some."""
        origin = sum(p.first * s for p, s in zip(phases, y_strides[1:], strict=True))
        strides = (y_strides[0], *(s * p.stride for p, s in zip(phases, y_strides[1:], strict=True)))
        self.starts.append(self.rows)
        self.blocks.append(_cut(self._runs(phases), self.dtype.itemsize))
        self.jobs.append([*counts, origin, *strides, *self._kernels(counts)])

    def _runs(self, phases: tuple[Phase, ...]) -> list[Run]:
        shape, item = self.shape, self.dtype.itemsize
        length = 1 if shape.depthwise else shape.inputs
        runs: list[Run] = []
        for (td, od), (th, oh), (tw, ow) in itertools.product(*(p.taps for p in phases)):
            self.tap_rows[(td * shape.taps[1] + th) * shape.taps[2] + tw] = self.rows
            self.rows += length
            offset = od * self.tap_strides[1] + oh * self.tap_strides[2] + ow * self.tap_strides[3]
            row = oh if self.copy else 0
            # Taps of a row that read adjacent memory are one run.
            if runs and not shape.depthwise and runs[-1][2] == row and runs[-1][0] + runs[-1][1] * item == offset:
                runs[-1] = (runs[-1][0], runs[-1][1] + length, row)
            else:
                runs.append((offset, length, row))
        return runs

    def _kernels(self, counts: tuple[int, ...]) -> list[Kernel]:
        shape, tiles = self.shape, self.tiles
        along = shape.images if tiles.q_axis == "n" else counts[1]
        qs, ps = (tiles.q, along % tiles.q or tiles.q), (tiles.p, counts[2] % tiles.p or tiles.p)
        tail = shape.outputs % self.width
        tail_vectors = VECTORS if tail > self.width // VECTORS else 1
        kinds = [(VECTORS, False), (tail_vectors, True) if tail else (VECTORS, False)]
        if shape.outputs < self.width:
            kinds[0] = kinds[1]
        return [conv_micro(self.dtype, q, p, vectors, masked, shape.depthwise) for vectors, masked in kinds for q in qs for p in ps]

    def params(self, first: int) -> list[int | Kernel]:
        """Return the jobs, then the k blocks, then the runs; `first` is the number of the first parameter."""
        item = self.dtype.itemsize
        block_at = first + len(self.jobs) * len(JOB_FIELDS)
        run_at = block_at + sum(map(len, self.blocks)) * len(K_BLOCK_FIELDS)
        jobs: list[int | Kernel] = []
        entries: list[int] = []
        runs: list[int] = []
        for job, start, blocks in zip(self.jobs, self.starts, self.blocks, strict=True):
            jobs += [*job, len(blocks), block_at + len(entries)]
            row = start
            for block in blocks:
                entries += [run_at + len(runs), len(block), row * self.width * item]
                row += sum(run[1] for run in block)
                for run in block:
                    runs += run
        return [*jobs, *entries, *runs]


def _cut(runs: list[Run], item: int) -> list[list[Run]]:
    """Cut runs in blocks of about even length, at most _K_BLOCK.

    No runs at all are one block: it clears its outputs.
    """
    total = sum(run[1] for run in runs)
    if total <= _K_BLOCK:
        return [runs]
    size = even_part(total, _K_BLOCK)
    blocks: list[list[Run]] = [[]]
    room = size
    for start, length, row in runs:
        offset, left = start, length
        while left:
            if not room:
                blocks.append([])
                room = size
            part = min(left, room)
            blocks[-1].append((offset, part, row))
            offset, left, room = offset + part * item, left - part, room - part
    return blocks


def _pack_params(
    shape: ConvShape, item: int, width: int, group_panels: int, depth: int, taps: int, tap_rows: dict[int, int]
) -> tuple[int, ...]:
    """Return the parameters of `pack_kernel`."""
    # A tap that no output meets goes behind the others, unread.
    spare = itertools.count(len(tap_rows) * (1 if shape.depthwise else shape.inputs), 1 if shape.depthwise else shape.inputs)
    table = tuple(tap_rows[t] if t in tap_rows else next(spare) for t in range(taps))
    group_bytes = shape.inputs * shape.outputs * taps * item
    if shape.depthwise:
        source = (shape.outputs, taps * item, 1, 0, taps)
    elif shape.transposed:
        source = (shape.outputs, taps * item, shape.inputs, shape.outputs * taps * item, taps)
    else:
        source = (shape.outputs, shape.inputs * taps * item, 1, 0, shape.inputs * taps)
    values = (group_panels, group_bytes, *source, taps, depth * width * item)
    return (*values, 4 + len(PACK_FIELDS), *table)
