"""Geometry of convolutions: axes, phases of a stride, tiles and blocks. All of it depends on shapes only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SPATIAL = 3
# Most bytes of input that a block of outputs reads: with the panel of weights it stays in a core's own cache.
_BLOCK_BYTES = 384 * 1024
# Fewer outputs than this in a block do not pay for reading the weights.
_BLOCK_PIXELS = 256
# A parallel loop should have this many units where the shape allows.
MIN_UNITS = 16
_MAX_POINTERS = 7
_POINTER_SPAN = 3


@dataclass(frozen=True, slots=True)
class ConvAttributes:
    """Static attributes of a convolution: stride, padding (low, high) and dilation per spatial axis, and groups."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def spatial(self) -> ConvAttributes:
        """Return the attributes for three spatial axes; the axes in front have one position."""
        lead = SPATIAL - len(self.stride)
        ones = (1,) * lead
        return ConvAttributes(ones + self.stride, ((0, 0),) * lead + self.padding, ones + self.dilation, self.groups)


def spatial_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the last axes of an (N, C, *spatial) shape, as three."""
    d, h, w = (1,) * (SPATIAL + 2 - len(shape)) + shape[2:]
    return d, h, w


@dataclass(frozen=True, slots=True)
class Phase:
    """Outputs ``first, first + stride, …`` (`count` of them) along an axis.

    Output i reads the padded input at ``i * step + offset`` for each of `taps`, pairs (tap, offset) in ascending order of the offset.
    """

    count: int
    first: int
    stride: int
    taps: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class AxisGeometry:
    """An axis of a convolution over a padded input: its extent, zeros before it (`low`), step per output, reach of all taps, phases."""

    extent: int
    low: int
    step: int
    reach: int
    phases: tuple[Phase, ...]

    @property
    def count(self) -> int:
        """The most outputs of a phase."""
        return max(phase.count for phase in self.phases)

    @property
    def is_inside(self) -> bool:
        """True if no output reads padding."""
        return self.low == 0 and (self.count - 1) * self.step + self.reach <= self.extent


def forward_axis(extent: int, outputs: int, taps: int, stride: int, low: int, dilation: int) -> AxisGeometry:
    """Return the axis of a forward convolution."""
    phase = Phase(outputs, 0, 1, tuple((t, t * dilation) for t in range(taps)))
    return AxisGeometry(extent, low, stride, (taps - 1) * dilation + 1, (phase,))


def input_grad_axis(extent: int, outputs: int, taps: int, stride: int, low: int, dilation: int) -> AxisGeometry:
    """Return the axis of an input gradient: `extent` of the output's gradient, `outputs` of the input's.

    Position x of the input meets tap t in output ``(x + low - t * dilation) / stride`` where that is an integer. So the positions with one
    remainder by the stride form a convolution of step 1 with some of the taps, in reverse order.
    """
    phases = []
    for first in range(min(stride, outputs)):
        found = [(t, (first + low - t * dilation) // stride) for t in reversed(range(taps)) if (first + low - t * dilation) % stride == 0]
        count = -(-(outputs - first) // stride)
        phases.append(Phase(count, first, stride if count > 1 else 1, tuple(found)))
    offsets = [offset for phase in phases for _, offset in phase.taps] or [0]
    base = min(offsets)
    shifted = tuple(Phase(p.count, p.first, p.stride, tuple((t, o - base) for t, o in p.taps)) for p in phases)
    return AxisGeometry(extent, -base, 1, max(offsets) - base + 1, shifted)


@dataclass(frozen=True, slots=True)
class Tiling:
    """Register tiles (q by p outputs; q along `q_axis`, p along w) and blocks of outputs along n, d, h, w."""

    q: int
    p: int
    q_axis: str
    block: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        n, d, h, w = self.blocks
        return n * d * h * w


def tile_shape(counts: tuple[int, int, int, int], rows: int) -> tuple[int, int, str]:
    """Return q, p and the axis of q for outputs (n, d, h, w) and tiles of at most `rows` outputs."""
    n, _, h, w = counts
    p = even_part(w, rows)
    q = min(rows // p, _MAX_POINTERS // -(-p // _POINTER_SPAN))
    if q < 2:
        return 1, p, "h"
    along_h, along_n = even_part(h, q), even_part(n, q)
    # One row of several images rather than rows of one image: it has no rest, and taps that meet padding only are passed over.
    return (along_n, p, "n") if along_n >= along_h else (along_h, p, "h")


def even_part(count: int, most: int) -> int:
    """Return the size of the parts when `count` is cut evenly in parts of at most `most`."""
    return -(-count // -(-count // most))


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def tiling(counts: tuple[int, int, int, int], steps: tuple[int, int, int], reach: tuple[int, int, int], pixel: int, rows: int) -> Tiling:
    """Choose tiles and blocks for outputs (n, d, h, w); `steps` and `reach` of d, h, w, `pixel` in bytes."""
    q, p, q_axis = tile_shape(counts, rows)
    n, *spatial = counts
    grain = [1, q if q_axis == "h" else 1, p]
    block = list(spatial)

    def input_bytes() -> int:
        return pixel * _product((b - 1) * s + r for b, s, r in zip(block, steps, reach, strict=True))

    def halve() -> bool:
        for axis in range(SPATIAL):
            half = _round_up(-(-block[axis] // 2), grain[axis])
            if half < block[axis]:
                block[axis] = half
                return True
        return False

    def parts() -> int:
        return n * _product(-(-c // b) for c, b in zip(spatial, block, strict=True))

    while input_bytes() > _BLOCK_BYTES and halve():
        pass
    while parts() < MIN_UNITS and _product(block) >= _BLOCK_PIXELS and halve():
        pass
    images = min(n, -(-_BLOCK_PIXELS // _product(block)), max(1, _BLOCK_BYTES // max(1, input_bytes())))
    if q_axis == "n":
        images = min(n, _round_up(images, q))
        if images < n:
            images = max(q, images // q * q)
    sizes = (images, block[0], block[1], block[2])
    blocks = tuple(-(-c // b) for c, b in zip(counts, sizes, strict=True))
    return Tiling(q, p, q_axis, sizes, (blocks[0], blocks[1], blocks[2], blocks[3]))


def _product(values: Iterable[int]) -> int:
    result = 1
    for value in values:
        result *= value
    return result
