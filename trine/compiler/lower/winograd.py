"""Convolutions with a 3x3 window by Winograd's minimal filtering F(2x2, 3x3): 16 products for 36, at transforms that only add.

Its results differ from those of the direct sum by rounding only, as much as those of another order of summation; but a value that is not
finite spreads over all outputs of the 2x2 tiles that read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from trine import dtypes
from trine.compiler.lower.conv_geometry import MIN_UNITS, ConvAttributes, even_part
from trine.compiler.lower.conv_layout import Temporaries
from trine.compiler.lower.conv_plan import ConvShape
from trine.compiler.program import Command, Kernel, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.conv_micro import VECTORS
from trine.compiler.templates.winograd import WEIGHT_FIELDS, tile_rows, winograd_kernel, winograd_weight_kernel
from trine.compiler.templates.winograd_transform import PLANES
from trine.core.graph import Node

# Most bytes of transformed input, and of products, that a block of tiles keeps in scratch memory.
_INPUT_BYTES = 768 << 10
_PRODUCT_BYTES = 256 << 10
# Tiles of a block: fewer do not pay for reading the weights, more do not help.
_MIN_TILES, _MAX_TILES = 48, 96
# With fewer channels the transforms cost more than they save.
_CHANNELS = 24
# The least number of tiles, and the share of their outputs that must be wanted.
_ALL_TILES = 48
_USE = 0.7


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Tiles of 2 by 2 outputs, cut in blocks.

    Attributes:
        rows, columns: tile rows of an image, tiles of a row. all_rows: tile rows of all images.
        block_rows, block_columns, row_blocks, column_blocks: sizes and numbers of blocks.
    """

    rows: int
    columns: int
    all_rows: int
    block_rows: int
    block_columns: int

    @property
    def row_blocks(self) -> int:
        return -(-self.all_rows // self.block_rows)

    @property
    def column_blocks(self) -> int:
        return -(-self.columns // self.block_columns)

    @property
    def blocks(self) -> int:
        return self.row_blocks * self.column_blocks


def serves(w: Value, attrs: ConvAttributes, x: Value, y: Value) -> bool:
    """Return whether this is the better way for a convolution from `x` to `y`, in either direction."""
    if w.dtype is not dtypes.float32 or x.dtype is not w.dtype or y.dtype is not w.dtype or len(w.shape) != 4 or attrs.groups != 1:
        return False
    if w.shape[2:] != (3, 3) or max(attrs.stride) != 1 or max(attrs.dilation) != 1 or min(w.shape[:2]) < _CHANNELS:
        return False
    images, _, height, width = y.shape
    rows, columns = -(-height // 2), -(-width // 2)
    return images * rows * columns >= _ALL_TILES and height * width >= _USE * 4 * rows * columns


def tile_grid(target: Target, images: int, height: int, width: int, tiles: int) -> TileGrid:
    """Cut the tiles of (images, height, width) outputs in blocks of about so many tiles."""
    rows, columns, grain = -(-height // 2), -(-width // 2), tile_rows(target)
    block_columns = even_part(columns, tiles)
    most = max(1, tiles // block_columns)
    # The last register tile of a block should not be empty for the most part.
    block_rows = min(range(most, most // 2, -1), key=lambda n: (-(-n * block_columns // grain) * grain / (n * block_columns), -n))
    return TileGrid(rows, columns, images * rows, min(images * rows, block_rows), block_columns)


def image_params(images: tuple[int, int, int], outputs: tuple[int, int, int], low: tuple[int, int], item: int) -> tuple[int, ...]:
    """Return IMAGE_FIELDS for channels-last arrays of (channels, height, width) images."""
    values = [-(-outputs[1] // 2), *low]
    for channels, height, width in (images, outputs):
        pixel = channels * item
        values += [height, width, height * width * pixel, width * pixel, pixel]
    return tuple(values)


def lower_winograd(
    target: Target, name: str, x: Value, w: Value, y: Value, shape: ConvShape, temporaries: Temporaries, nodes: tuple[Node, ...],
    epilogue: tuple[Sequence[Operand], Sequence[int | Kernel]] = ((), ()),
) -> list[Command]:  # fmt: skip
    """Return the commands of a convolution `shape` of channels-last `x` to channels-last `y`.

    Args:
        target: what to compile for.
        name: of the commands.
        x, y: values with the memory of channels-last arrays.
        w: (O, C, 3, 3), row-major; an input gradient goes from O to C channels with the window turned by 180 degrees.
        shape: what it computes.
        temporaries: makes a row-major temporary.
        nodes: what the commands compute.
        epilogue: operands and entries of an epilogue of the driver.
    """
    extra, entries = epilogue
    plan = _plan(target, shape)
    transformed = temporaries(plan.weight_shape, w.dtype)
    return [
        Command(
            winograd_weight_kernel(w.dtype), [Operand(w), Operand(transformed, access="w")], list(plan.weight_params), plan.weight_shape[0],
            cost=w.nbytes + transformed.nbytes, scratch=plan.weight_scratch, name=f"{name}.pack",
            is_preparation=True, nodes=nodes,
        ),
        Command(
            winograd_kernel(w.dtype, 2 * len(extra) + len(entries)),
            [Operand(x), Operand(transformed), Operand(y, access="w"), *extra], [*entries, *plan.params],
            plan.units, cost=plan.cost, scratch=plan.scratch, name=name, nodes=nodes,
        ),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Plan:
    params: tuple[int, ...]
    units: int
    scratch: int
    cost: int
    weight_shape: tuple[int, int, int, int]
    weight_params: tuple[int, ...]
    weight_scratch: int


def round_up(value: int, multiple: int) -> int:
    """Return the least multiple that is not below a value."""
    return -(-value // multiple) * multiple


def skewed(size: int) -> int:
    """Return the stride of parts of so many bytes that are walked side by side: not one that puts them in the same sets of the cache."""
    return size + 64 if size % 512 == 0 else size


@lru_cache(maxsize=1024)
def _plan(target: Target, shape: ConvShape) -> _Plan:
    item, lanes = dtypes.float32.itemsize, target.lanes(dtypes.float32)
    width, inputs, outputs = VECTORS * lanes, shape.inputs, shape.outputs
    (_, h, w), (_, out_h, out_w) = shape.axes, shape.output_extents
    v_row = skewed(round_up(inputs, lanes) * item)
    tiles = max(_MIN_TILES, min(_MAX_TILES, _INPUT_BYTES // (PLANES * v_row)))
    grid = tile_grid(target, shape.images, out_h, out_w, tiles)
    padded = round_up(grid.block_rows * grid.block_columns, tile_rows(target))
    panels = -(-outputs // width)
    splits = min(panels, -(-MIN_UNITS // grid.blocks))
    split_panels = -(-panels // splits)
    splits = -(-panels // split_panels)
    chunk_panels = even_part(split_panels, max(1, _PRODUCT_BYTES // (PLANES * padded * width * item)))
    v_plane, m_row = skewed(padded * v_row), chunk_panels * width * item
    m_plane = skewed(padded * m_row)
    v_at = round_up(v_row, 64)
    m_at = round_up(v_at + PLANES * v_plane, 64)
    spare_at = m_at + PLANES * m_plane
    plane_bytes = inputs * width * item
    params = (
        *image_params((inputs, h.extent, w.extent), (outputs, out_h, out_w), (h.low, w.low), item),
        grid.all_rows, grid.block_rows, grid.columns, grid.block_columns, grid.column_blocks,
        splits, split_panels, panels, chunk_panels,
        inputs, outputs, v_row, v_plane, m_row, m_plane, v_at, m_at, spare_at, PLANES * plane_bytes, plane_bytes,
    )  # fmt: skip
    cost = 2 * PLANES * grid.all_rows * grid.columns * inputs * outputs
    return _Plan(
        params, grid.blocks * splits, spare_at + m_row, cost, (panels, PLANES, inputs, width),
        _weight_params(inputs, outputs, panels, width, shape.transposed), 9 * plane_bytes,
    )  # fmt: skip


def _weight_params(inputs: int, outputs: int, panels: int, width: int, transposed: bool) -> tuple[int, ...]:
    """Return the parameters of the transform of weights."""
    item, taps = 4, 9
    if transposed:
        source = (outputs, taps * item, inputs, outputs * taps * item, taps)
    else:
        source = (outputs, inputs * taps * item, 1, 0, inputs * taps)
    table = [inputs * (taps - 1 - tap if transposed else tap) for tap in range(taps)]
    plane = inputs * width * item
    values = (panels, inputs * outputs * taps * item, *source, taps, 0)
    return (*values, 4 + len(WEIGHT_FIELDS), inputs, PLANES * plane, plane, *table)
