"""What the kernels of attention share: calls of the matrix micro-kernels, and vector arithmetic of the weights.

Scores lie in panels of as many columns as a tile has: what belongs to one row of the softmax stands in one lane, so maxima and sums need no
shuffles, and the weights are a packed operand of the next product as they lie. Weights are powers of two: the factor log2(e) is part of the
scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trine.compiler.ir import Function, float_literal
from trine.compiler.math_exp import exp2_poly
from trine.compiler.math_vector import Vector
from trine.compiler.target import Target
from trine.compiler.templates.dot import Arithmetic, tile
from trine.compiler.templates.dot_driver import batch_offsets
from trine.dtypes import DType

LOG2_E = math.log2(math.e)
# All tiles' rows divide this number; blocks are multiples of it.
ROW_UNIT = 48


def tile_rows(target: Target, dtype: DType) -> int:
    """Return the rows of the micro-kernels: as many as fit and divide a block."""
    most = tile(target, dtype).rows
    return max(rows for rows in range(1, most + 1) if ROW_UNIT % rows == 0)


class Emitter:
    """A kernel of attention under construction.

    Attributes:
        f, x, v: the function, and vector arithmetic on its elements.
        p: integer parameters by name. functions: addresses of functions by name.
        vectors, columns: those of a panel.
    """

    def __init__(self, f: Function, target: Target, dtype: DType, operands: int, integers: Sequence[str], functions: Sequence[str]) -> None:
        self.f = f
        self.x = Arithmetic(f, target, dtype)
        self.v = Vector(f, self.x.element, self.x.lanes)
        geometry = tile(target, dtype)
        self.vectors, self.columns = geometry.vectors, geometry.columns
        self.columns_text = str(geometry.columns)
        first = 2 * operands
        self.p = {name: f.param(first + i) for i, name in enumerate(integers)}
        self.functions = {name: f.param(first + len(integers) + i, "ptr") for i, name in enumerate(functions)}
        self.bases = [f.operand(i) for i in range(operands)]
        self._batch = first + len(integers) + len(functions)
        scale = f.load("double", f.gep("%params", first + integers.index("scale"), "i64"), 8)
        self.scale = scale if self.x.element == "double" else f.value(f"fptrunc double {scale} to float")
        self.scratch = f.scratch()

    def part(self, name: str) -> str:
        """Return the address of a part of the scratch memory, whose offset in elements is a parameter."""
        return self.x.at(self.scratch, self.p[name])

    def arrays(self, batch: str) -> list[str]:
        """Return the addresses of the operands for an element of the batch."""
        offsets = batch_offsets(self.f, batch, self._batch, len(self.bases))
        return [self.x.at(base, offset) for base, offset in zip(self.bases, offsets, strict=True)]

    def splat(self, scalar: str) -> str:
        return self.f.splat(scalar, self.x.lanes, self.x.element)

    def times(self, scalar: str, factor: float) -> str:
        """Return a scalar times a constant."""
        return self.f.value(f"fmul {self.x.element} {scalar}, {float_literal(factor, self.x.element)}")

    def micro(
        self, function: str, a: tuple[str, str], b: tuple[str, str | int], k: str, c: tuple[str, str | int], add: str, n: str
    ) -> None:
        """Call a micro-kernel; operands are (address, stride)."""
        self.f.call_pointer(
            "void",
            function,
            *(("ptr", a[0]), ("i64", a[1]), ("ptr", b[0]), ("i64", str(b[1])), ("i64", k)),
            *(("ptr", c[0]), ("i64", str(c[1])), ("i64", add), ("i64", n)),
        )

    def pack(
        self, name: str, source: str, strides: tuple[str, str], count: str, width: tuple[str, str], k: str, panels: tuple[str, str]
    ) -> None:
        """Call a packer: strides of (rows, steps), (tile, width of a panel), (address, stride) of the panels."""
        self.f.call_pointer(
            "void",
            self.functions[name],
            *(("ptr", source), ("i64", strides[0]), ("i64", strides[1]), ("i64", count), ("i64", width[0]), ("i64", width[1])),
            *(("i64", k), ("ptr", panels[0]), ("i64", panels[1])),
        )

    def fill(self, start: str, count: str, value: str = "zeroinitializer") -> None:
        """Store a vector over and over."""
        with self.f.loop(0, count, self.x.lanes) as i:
            self.x.store(value, self.x.at(start, i.index))

    def clear_last_panel(self, rows: str, *parts: tuple[str, str]) -> None:
        """Store zeros in the last panel of each (address, elements of a panel), where the rows do not fill it."""
        f = self.f
        whole = f.udiv(rows, self.columns)
        with f.when(f.icmp("ne", f.mul(whole, self.columns), rows)):
            for start, panel in parts:
                self.fill(self.x.at(start, f.mul(whole, panel)), panel)

    def scale_by(self, start: str, count: str, factor: str) -> None:
        """Multiply elements by a scalar."""
        wide = self.splat(factor)
        with self.f.loop(0, count, self.x.lanes) as i:
            at = self.x.at(start, i.index)
            self.x.store(self.v.mul(self.x.load(at), wide), at)

    def overlapping_tiles(self, low: str, count: str, emit_tile: str, a: tuple[str, str], b: str, k: str, c: tuple[str, str | int]) -> None:
        """Compute rows [low, low + count) of a product by full tiles: the last one begins earlier where the rows do not divide.

        a: (address of row `low`, stride between rows). Rows before 0 of the whole array are never read; there is room before c.
        """
        f, rows = self.f, self.p["tile_rows"]
        least, last = f.sub(0, low), f.sub(count, rows)
        with f.loop(0, count, rows) as i:
            start = f.max(f.min(i.index, last), least)
            source = self.x.at(a[0], f.mul(start, a[1]))
            self.micro(
                self.functions[emit_tile],
                (source, a[1]),
                (b, self.columns),
                k,
                (self.x.at(c[0], f.mul(start, c[1])), c[1]),
                "0",
                self.columns_text,
            )

    def transposed_product(
        self, names: tuple[str, str], extent: str, rows: str, a: tuple[str, str], b: tuple[str, str | int], k: str, c: str, add: str
    ) -> None:
        """Add to (or store) the panel c, (extent, columns), the product of a transposed: ``a[k * stride + row]``, row by row, with b."""
        f = self.f
        with f.loop(0, extent, rows) as i:
            is_full = f.icmp("sle", f.add(i.index, rows), extent)
            function = f.select(is_full, self.functions[names[0]], self.functions[names[1]], "ptr")
            target = self.x.at(c, f.mul(i.index, self.columns))
            self.micro(function, (self.x.at(a[0], i.index), a[1]), b, k, (target, self.columns), add, self.columns_text)

    def exp2(self, x: str) -> str:
        """Return 2**x for x up to about 0; what would not be a normal number is 0."""
        v = self.v
        shifted = v.add(x, v.c(v.magic))
        r = v.sub(x, v.sub(shifted, v.c(v.magic)))
        power = v.from_int(v.int_op("add", v.int_op("shl", v.to_int(shifted), v.mantissa), v.bias << v.mantissa))
        value = v.mul(exp2_poly(v, r), power)
        return v.where("olt", x, v.c(-(v.bias - 2.0)), v.c(0.0), value)

    def forbidden(self, distance: str, first: int) -> str:
        """Return the mask of lanes: lane + first > distance."""
        bits = 8 * self.x.size
        scalar = distance if bits == 64 else self.f.value(f"trunc i64 {distance} to i{bits}")
        wide = self.f.splat(scalar, self.x.lanes, f"i{bits}")
        lanes = "<" + ", ".join(f"i{bits} {i + first}" for i in range(self.x.lanes)) + ">"
        return self.f.value(f"icmp sgt <{self.x.lanes} x i{bits}> {lanes}, {wide}")
