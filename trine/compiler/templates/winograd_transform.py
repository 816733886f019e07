"""The transforms of Winograd's minimal filtering F(2x2, 3x3): Y = A^T [(G g G^T) * (B^T d B)] A for a tile of 2 by 2 outputs.

B and A have entries 0 and +-1 and G has 0, 1 and +-1/2, so rounding errors stay of the size of those of the direct sum (A. Lavin and
S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). A transformed tile is 16 *planes*; in each plane a convolution is a
matrix product over the channels. All functions here work on vectors of channels.

Tiles are numbered row by row of tiles: a *tile row* is the tiles of two rows of one image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trine.compiler.ir import Function, vector_literal
from trine.compiler.templates.conv_micro import VECTORS, Vectors

PLANES = 16
_SIDE = 4  # of a transformed tile


class Planes:
    """Addresses of the 16 planes of one tile: four pointers, and strides that fold into addressing modes."""

    def __init__(self, f: Function, base: str, stride: str) -> None:
        self.f, self.stride = f, stride
        self.rows = [f.gep(base, f.mul(stride, _SIDE * i)) if i else base for i in range(_SIDE)]

    def address(self, offset: str, plane: int) -> str:
        """Return the address of a plane's element at a byte offset."""
        f, (i, j) = self.f, divmod(plane, _SIDE)
        row = f.gep(self.rows[i], offset)
        return f.gep(row, f.mul(self.stride, j) if j > 1 else self.stride) if j else row


def add(f: Function, v: Vectors, a: str, b: str) -> str:
    return f.value(f"fadd {v.type} {a}, {b}")


def sub(f: Function, v: Vectors, a: str, b: str) -> str:
    return f.value(f"fsub {v.type} {a}, {b}")


def input_column(f: Function, v: Vectors, d: Sequence[str]) -> list[str]:
    """Return B^T d of four values."""
    return [sub(f, v, d[0], d[2]), add(f, v, d[1], d[2]), sub(f, v, d[2], d[1]), sub(f, v, d[1], d[3])]


def output_pair(f: Function, v: Vectors, m: Sequence[str]) -> list[str]:
    """Return A^T m of four values: two."""
    return [add(f, v, add(f, v, m[0], m[1]), m[2]), sub(f, v, sub(f, v, m[1], m[2]), m[3])]


def gradient_column(f: Function, v: Vectors, g: Sequence[str]) -> list[str]:
    """Return A g of two values."""
    return [g[0], add(f, v, g[0], g[1]), sub(f, v, g[0], g[1]), sub(f, v, v.zero, g[1])]


def weight_column(f: Function, v: Vectors, g: Sequence[str]) -> list[str]:
    """Return G g of three values."""
    half = vector_literal("0.5", v.lanes, v.element)
    ends = add(f, v, g[0], g[2])
    plus, minus = add(f, v, ends, g[1]), sub(f, v, ends, g[1])
    return [g[0], f.value(f"fmul {v.type} {plus}, {half}"), f.value(f"fmul {v.type} {minus}, {half}"), g[2]]


def weight_gradient_triple(f: Function, v: Vectors, u: Sequence[str]) -> list[str]:
    """Return G^T u of four values: three."""
    half = vector_literal("0.5", v.lanes, v.element)
    plus = f.value(f"fmul {v.type} {add(f, v, u[1], u[2])}, {half}")
    minus = f.value(f"fmul {v.type} {sub(f, v, u[1], u[2])}, {half}")
    return [add(f, v, u[0], plus), minus, add(f, v, plus, u[3])]


def transform_weight(f: Function, v: Vectors, taps: Sequence[str]) -> list[str]:
    """Return the 16 planes of G g G^T for nine taps, row by row."""
    columns = [weight_column(f, v, [taps[3 * i + j] for i in range(3)]) for j in range(3)]
    return [value for i in range(_SIDE) for value in weight_column(f, v, [columns[j][i] for j in range(3)])]


def transform_weight_gradient(f: Function, v: Vectors, planes: Sequence[str]) -> list[str]:
    """Return the nine taps of G^T u G for 16 planes."""
    columns = [weight_gradient_triple(f, v, [planes[_SIDE * i + j] for i in range(_SIDE)]) for j in range(_SIDE)]
    return [value for i in range(3) for value in weight_gradient_triple(f, v, [columns[j][i] for j in range(_SIDE)])]


class TileRows:
    """The loop over the tile rows of a block.

    Attributes:
        image, row: number of the image and the first row of outputs, of the tile row at hand.
        number: of the tile row in the block.
    """

    def __init__(self, f: Function, g: dict[str, str], first: str, count: str, body: Callable[[TileRows], None]) -> None:
        with f.loop(0, count) as loop:
            position = f.add(first, loop.index)
            self.number = loop.index
            self.image = f.udiv(position, g["tile_rows"])
            self.row = f.mul(f.urem(position, g["tile_rows"]), 2)
            body(self)


def each_vector(f: Function, v: Vectors, count: str, body: Callable[[str, str], None]) -> None:
    """Call `body(byte offset, mask)` for whole vectors of `count` elements without a mask, then for the rest with one."""
    whole = f.band(count, -v.lanes)
    with f.loop(0, whole, v.lanes) as loop:
        body(f.mul(loop.index, v.size), "")
    with f.when(f.icmp("slt", whole, count)):
        body(f.mul(whole, v.size), f.lane_mask(f.sub(count, whole), v.lanes))


def _pixels(f: Function, base: str, g: dict[str, str], name: str, row: str, column: str, rows: int, columns: int, spare: str) -> list[str]:
    """Return the addresses of rows x columns pixels of an image from (row, column) on; those outside of it are `spare`.

    `name` begins the names of the fields: in_h, in_w, x_row, pixel or out_h, out_w, y_row, y_pixel.
    """
    height, width, row_stride, step = {"in": ("in_h", "in_w", "x_row", "pixel"), "out": ("out_h", "out_w", "y_row", "y_pixel")}[name]
    numbers = [f.add(column, j) if j else column for j in range(columns)]
    insides = [f.icmp("ult", number, g[width]) for number in numbers]
    offsets = [f.mul(number, g[step]) for number in numbers]
    result = []
    for i in range(rows):
        number = f.add(row, i) if i else row
        inside = f.icmp("ult", number, g[height])
        address = f.gep(base, f.mul(number, g[row_stride]))
        for in_row, offset in zip(insides, offsets, strict=True):
            result.append(f.select(f.value(f"and i1 {inside}, {in_row}"), f.gep(address, offset), spare, "ptr"))
    return result


def emit_input_transform(
    f: Function, v: Vectors, g: dict[str, str], x: str, block: tuple[str, str, str, str], channels: str, zeros: str, to: str
) -> None:
    """Write B^T d B of a block of tiles to `to`: planes of (tile, channel), the tiles of a row one after the other.

    `block` is the first tile row, their number, the first tile column, their number; `zeros` holds zeros, as many as there are channels.
    Fields: tile_rows, low_h, low_w, in_h, in_w, x_image, x_row, pixel, v_row, v_plane.
    """
    first_row, rows, first_column, columns = block

    def tile_row(at: TileRows) -> None:
        image = f.gep(x, f.mul(at.image, g["x_image"]))
        row, start = f.sub(at.row, g["low_h"]), f.sub(f.mul(first_column, 2), g["low_w"])
        to_row = f.gep(to, f.mul(f.mul(at.number, columns), g["v_row"]))
        with f.loop(0, columns) as tile:
            pixels = _pixels(f, image, g, "in", row, f.add(start, f.mul(tile.index, 2)), _SIDE, _SIDE, zeros)
            planes = Planes(f, f.gep(to_row, f.mul(tile.index, g["v_row"])), g["v_plane"])

            def channel(offset: str, mask: str) -> None:
                def line(i: int) -> list[str]:
                    return input_column(f, v, [v.load(f.gep(pixels[_SIDE * i + j], offset), mask) for j in range(_SIDE)])

                def put(i: int, values: list[str]) -> None:
                    for j, value in enumerate(values):
                        v.store(value, planes.address(offset, _SIDE * i + j), aligned=True)

                # In this order few values are alive at a time: `input_column` of each column, spread out.
                a, b, c = line(0), line(1), line(2)
                put(0, [sub(f, v, x, z) for x, z in zip(a, c, strict=True)])
                put(1, [add(f, v, y, z) for y, z in zip(b, c, strict=True)])
                put(2, [sub(f, v, z, y) for y, z in zip(b, c, strict=True)])
                put(3, [sub(f, v, y, z) for y, z in zip(b, line(3), strict=True)])

            each_vector(f, v, channels, channel)

    TileRows(f, g, first_row, rows, tile_row)


def emit_output_transform(
    f: Function,
    v: Vectors,
    g: dict[str, str],
    y: str,
    at: TileRows,
    first_column: str,
    columns: str,
    channels: str,
    spare: str,
    source: str,
) -> None:
    """Write A^T m A of a tile row to `y`, whose address is that of the first channel; `spare` takes what lies outside.

    Fields: out_h, out_w, y_image, y_row, y_pixel, m_row, m_plane.
    """
    image = f.gep(y, f.mul(at.image, g["y_image"]))
    source_row = f.gep(source, f.mul(f.mul(at.number, columns), g["m_row"]))
    with f.loop(0, columns) as tile:
        pixels = _pixels(f, image, g, "out", at.row, f.mul(f.add(first_column, tile.index), 2), 2, 2, spare)
        planes = Planes(f, f.gep(source_row, f.mul(tile.index, g["m_row"])), g["m_plane"])

        def channel(offset: str, mask: str) -> None:
            pairs = []
            for j in range(_SIDE):
                pairs.append(output_pair(f, v, [v.load(planes.address(offset, _SIDE * i + j), aligned=True) for i in range(_SIDE)]))
            for i in range(2):
                for j, value in enumerate(output_pair(f, v, [pair[i] for pair in pairs])):
                    v.store(value, f.gep(pixels[2 * i + j], offset), mask)

        each_vector(f, v, channels, channel)


def emit_gradient_transform(
    f: Function, v: Vectors, g: dict[str, str], gy: str, block: tuple[str, str, str, str], zeros: str, to: str
) -> None:
    """Write A gy A^T of a block of tiles to `to`: planes of panels of (tile, lane); channels past the end are 0.

    Fields: tile_rows, out_h, out_w, y_image, y_row, y_pixel, outputs, panels, w_row, w_panel, w_plane.
    """
    first_row, rows, first_column, columns = block
    width = VECTORS * v.bytes

    def tile_row(at: TileRows) -> None:
        image = f.gep(gy, f.mul(at.image, g["y_image"]))
        to_row = f.gep(to, f.mul(f.mul(at.number, columns), g["w_row"]))
        with f.loop(0, columns) as tile:
            pixels = _pixels(f, image, g, "out", at.row, f.mul(f.add(first_column, tile.index), 2), 2, 2, zeros)
            planes = Planes(f, f.gep(to_row, f.mul(tile.index, g["w_row"])), g["w_plane"])

            def panel(number: str, masks: Sequence[str]) -> None:
                offset, to_panel = f.mul(number, width), f.mul(number, g["w_panel"])
                for h, mask in enumerate(masks):
                    values = [v.load(f.gep(pixel, f.add(offset, h * v.bytes)), mask) for pixel in pixels]
                    sides = [gradient_column(f, v, [values[j], values[2 + j]]) for j in range(2)]
                    for i in range(_SIDE):
                        for j, value in enumerate(gradient_column(f, v, [side[i] for side in sides])):
                            v.store(value, planes.address(f.add(to_panel, h * v.bytes), _SIDE * i + j), aligned=True)

            whole = f.udiv(g["outputs"], VECTORS * v.lanes)
            with f.loop(0, whole) as number:
                panel(number.index, [""] * VECTORS)
            with f.when(f.icmp("slt", whole, g["panels"])):
                rest = f.sub(g["outputs"], f.mul(whole, VECTORS * v.lanes))
                panel(whole, [f.lane_mask(rest, v.lanes, h * v.lanes) for h in range(VECTORS)])

    TileRows(f, g, first_row, rows, tile_row)
