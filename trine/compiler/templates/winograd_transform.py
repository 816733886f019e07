"""The transforms of Winograd's minimal filtering F(2x2, 3x3): Y = A^T [(G g G^T) * (B^T d B)] A for a tile of 2 by 2 outputs.

B and A have entries 0 and +-1 and G has 0, 1 and +-1/2, so rounding errors stay of the size of those of the direct sum (A. Lavin and
S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). A transformed tile is 16 *planes*; in each plane a convolution is a
matrix product over the channels. All functions here work on vectors of channels.

Tiles are numbered row by row of tiles: a *tile row* is the tiles of two rows of one image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trine.compiler.ir import Function, vector_literal
from trine.compiler.templates.conv_micro import Vectors

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


def _edge_rows(f: Function, base: str, first: str, rows: int, limit: str, stride: str, step: str, spare: str) -> list[tuple[str, str]]:
    """Return (address, step per column) of rows first, first + 1, …; one outside [0, limit) is the `spare` vector again and again."""
    result = []
    for i in range(rows):
        number = f.add(first, i) if i else first
        inside = f.icmp("ult", number, limit)
        address = f.select(inside, f.gep(base, f.mul(number, stride)), spare, "ptr")
        result.append((address, f.select(inside, step, 0)))
    return result


def _column(f: Function, v: Vectors, rows: Sequence[tuple[str, str]], number: str, limit: str, spare: str, offset: str) -> list[str]:
    """Return the addresses of a column's pixels in some rows; those outside are the `spare` vector."""
    inside = f.icmp("ult", number, limit)
    return [f.gep(f.select(inside, f.gep(row, f.mul(number, step)), spare, "ptr"), offset) for row, step in rows]


def emit_input_transform(
    f: Function, v: Vectors, g: dict[str, str], x: str, first_row: str, rows: str, first_column: str, columns: str, channels: str,
    zeros: str, to: str,
) -> None:  # fmt: skip
    """Write B^T d B of a block of tiles to `to`: planes of (tile, channel), the tiles of a row one after the other.

    `zeros` holds zeros, as many as there are channels. Fields: tile_rows, low_h, low_w, in_h, in_w, x_image, x_row, pixel, v_row, v_plane.
    """

    def tile_row(at: TileRows) -> None:
        image = f.gep(x, f.mul(at.image, g["x_image"]))
        pixel_rows = _edge_rows(f, image, f.sub(at.row, g["low_h"]), _SIDE, g["in_h"], g["x_row"], g["pixel"], zeros)
        to_row = f.gep(to, f.mul(f.mul(at.number, columns), g["v_row"]))
        start = f.sub(f.mul(first_column, 2), g["low_w"])

        def channel(offset: str, mask: str) -> None:
            def column(number: str) -> list[str]:
                addresses = _column(f, v, pixel_rows, number, g["in_w"], zeros, offset)
                return input_column(f, v, [v.load(address, mask) for address in addresses])

            planes = Planes(f, f.gep(to_row, offset), g["v_plane"])
            before = [*column(start), *column(f.add(start, 1))]
            with f.loop(0, columns, 1, [(v.type, value) for value in before]) as tile:
                a, b = tile.carried[:_SIDE], tile.carried[_SIDE:]
                at_tile = f.mul(tile.index, g["v_row"])
                number = f.add(start, f.mul(tile.index, 2))
                c = column(f.add(number, 2))
                for i in range(_SIDE):
                    v.store(sub(f, v, a[i], c[i]), planes.address(at_tile, _SIDE * i), aligned=True)
                    v.store(add(f, v, b[i], c[i]), planes.address(at_tile, _SIDE * i + 1), aligned=True)
                    v.store(sub(f, v, c[i], b[i]), planes.address(at_tile, _SIDE * i + 2), aligned=True)
                d = column(f.add(number, 3))
                for i in range(_SIDE):
                    v.store(sub(f, v, b[i], d[i]), planes.address(at_tile, _SIDE * i + 3), aligned=True)
                tile.next = [*c, *d]

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
    pixel_rows = _edge_rows(f, image, at.row, 2, g["out_h"], g["y_row"], g["y_pixel"], spare)
    source_row = f.gep(source, f.mul(f.mul(at.number, columns), g["m_row"]))
    start = f.mul(first_column, 2)

    def channel(offset: str, mask: str) -> None:
        planes = Planes(f, f.gep(source_row, offset), g["m_plane"])
        with f.loop(0, columns) as tile:
            at_tile = f.mul(tile.index, g["m_row"])
            number = f.add(start, f.mul(tile.index, 2))
            pairs = []
            for j in range(_SIDE):
                pairs.append(output_pair(f, v, [v.load(planes.address(at_tile, _SIDE * i + j), aligned=True) for i in range(_SIDE)]))
            left = _column(f, v, pixel_rows, number, g["out_w"], spare, offset)
            right = _column(f, v, pixel_rows, f.add(number, 1), g["out_w"], spare, offset)
            for i in range(2):
                values = output_pair(f, v, [pair[i] for pair in pairs])
                v.store(values[0], left[i], mask)
                v.store(values[1], right[i], mask)

    each_vector(f, v, channels, channel)


def emit_gradient_transform(
    f: Function, v: Vectors, g: dict[str, str], gy: str, first_row: str, rows: str, first_column: str, columns: str, mask: str,
    zeros: str, to: str,
) -> None:  # fmt: skip
    """Write A gy A^T of a block of tiles, one vector of channels, to `to`: planes of tiles.

    Fields: tile_rows, out_h, out_w, y_image, y_row, y_pixel, w_row, w_plane.
    """

    def tile_row(at: TileRows) -> None:
        image = f.gep(gy, f.mul(at.image, g["y_image"]))
        pixel_rows = _edge_rows(f, image, at.row, 2, g["out_h"], g["y_row"], g["y_pixel"], zeros)
        planes = Planes(f, f.gep(to, f.mul(f.mul(at.number, columns), g["w_row"])), g["w_plane"])
        start = f.mul(first_column, 2)
        with f.loop(0, columns) as tile:
            at_tile = f.mul(tile.index, g["w_row"])
            number = f.add(start, f.mul(tile.index, 2))
            halves = []
            for k in range(2):
                addresses = _column(f, v, pixel_rows, f.add(number, k) if k else number, g["out_w"], zeros, "0")
                halves.append(gradient_column(f, v, [v.load(address, mask) for address in addresses]))
            for i in range(_SIDE):
                for j, value in enumerate(gradient_column(f, v, [half[i] for half in halves])):
                    v.store(value, planes.address(at_tile, _SIDE * i + j), aligned=True)

    TileRows(f, g, first_row, rows, tile_row)
