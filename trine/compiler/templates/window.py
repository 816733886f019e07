"""Kernels of window reductions (pooling) and of their gradients over channels-last arrays, vectorised over the channels.

All have three spatial axes (d, h, w); fewer are written with extent 1. Every sum runs over windows, or over the taps of a window, in
row-major order, so results do not depend on how units are split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trine.compiler.ir import KERNEL_ARGUMENTS, Module, float_literal, vector_literal
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.conv_micro import Vectors
from trine.dtypes import DType

# Integers of a command after its operands; `in` is the larger array (x, gx), `out` the smaller one (y, gy).
FIELDS = (
    "in_d", "in_h", "in_w", "out_d", "out_h", "out_w", "taps_d", "taps_h", "taps_w", "step_d", "step_h", "step_w",
    "low_d", "low_h", "low_w", "dilation_d", "dilation_h", "dilation_w", "channels", "chunks", "chunk_channels",
)  # fmt: skip
OPERANDS = {"max": 2, "sum": 2, "argmax": 2, "max_grad": 3, "sum_grad": 2}


@dataclass(frozen=True, slots=True)
class WindowForm:
    """The forms of a kernel.

    Attributes:
        vectors: vectors of channels that one pass over a window takes: 4, 2 or 1.
        dilated: some axis has a dilation above 1.
        disjoint: no two windows share a position.
    """

    vectors: int
    dilated: bool
    disjoint: bool


def window_kernel(kind: str, dtype: DType, form: WindowForm) -> Kernel:
    """Return the kernel of a window primitive without its prefix.

    Units of "max", "sum" and "argmax" are rows of outputs, of "max_grad" (image, chunk of channels), of "sum_grad" rows of inputs.
    """
    key = ("window", kind, dtype.name, form.vectors, form.dilated, form.disjoint)
    return Kernel(key, lambda target: _Window(target, kind, dtype, form).emit())


class _Window:
    """One kernel being emitted."""

    def __init__(self, target: Target, kind: str, dtype: DType, form: WindowForm) -> None:
        self.kind, self.dtype, self.form = kind, dtype, form
        self.module = Module(target.vector_bits)
        self.f = f = self.module.function("kernel", KERNEL_ARGUMENTS)
        self.v = Vectors(f, target, dtype)
        count = OPERANDS[kind]
        self.g = {name: f.param(2 * count + i) for i, name in enumerate(FIELDS)}
        self.arrays = [f.operand(i) for i in range(count)]
        pixel = f.mul(self.g["channels"], self.v.size)
        self.x_strides = self._strides("in", pixel)
        self.y_strides = self._strides("out", pixel)

    def _strides(self, side: str, pixel: str) -> dict[str, str]:
        strides = {"w": pixel}
        for axis, inner in (("h", "w"), ("d", "h"), ("n", "d")):
            strides[axis] = self.f.mul(strides[inner], self.g[f"{side}_{inner}"])
        return strides

    def emit(self) -> str:
        """Return the module."""
        body = {"max": self._forward, "sum": self._forward, "argmax": self._forward, "max_grad": self._max_grad, "sum_grad": self._sum_grad}
        with self.f.loop("%begin", "%end") as unit:
            body[self.kind](unit.index)
        self.f.ret()
        return self.module.text()

    # --- pieces --------------------------------------------------------------------------------------------------------------------------

    def _channels(self, low: str | int, high: str, body: Callable[[str, int, str], None]) -> None:
        """Call `body(byte offset, vectors, mask)` for chunks that cover channels [low, high)."""
        f, v = self.f, self.v
        size = f.sub(high, low)
        most = self.form.vectors
        wide = f.add(low, f.band(size, -most * v.lanes))
        whole = f.add(low, f.band(size, -v.lanes))
        for begin, end, vectors in ((low, wide, most), (wide, whole, 1))[: 2 if most > 1 else 1]:
            with f.loop(begin, end, vectors * v.lanes) as channel:
                body(f.mul(channel.index, v.size), vectors, "")
        with f.when(f.icmp("slt", whole, high)):
            body(f.mul(whole, v.size), 1, f.lane_mask(f.sub(high, whole), v.lanes))

    def _taps(self, axis: str, output: str) -> tuple[str, str, str]:
        """Return (position of tap 0, first tap, end of the taps) of the window at `output`: taps that are not padding."""
        f, g = self.f, self.g
        first = f.sub(f.mul(output, g["step_" + axis]), g["low_" + axis])
        low, high = f.max(f.sub(0, first), 0), f.max(f.sub(g["in_" + axis], first), 0)
        if self.form.dilated:
            dilation = g["dilation_" + axis]
            low, high = (f.udiv(f.add(bound, f.sub(dilation, 1)), dilation) for bound in (low, high))
        return first, low, f.min(high, g["taps_" + axis])

    def _walk(
        self, ranges: dict[str, tuple[str, str, str]], state: Sequence[tuple[str, str]], body: Callable[[str, list[str]], list[str]]
    ) -> list[str]:
        """Loop over the taps of a window in row-major order; `body(byte offset of the position, state)` returns the next state. Returns the
        last one."""
        f = self.f
        types = [t for t, _ in state]

        def nest(axes: str, base: str, state: list[str]) -> list[str]:
            axis = axes[0]
            first, low, high = ranges[axis]
            stride = f.mul(self.g["dilation_" + axis], self.x_strides[axis])
            start = f.add(base, f.add(f.mul(first, self.x_strides[axis]), f.mul(low, stride)))
            with f.loop(low, high, 1, [("i64", start), *zip(types, state, strict=True)]) as tap:
                offset, inner = tap.carried[0], tap.carried[1:]
                following = nest(axes[1:], offset, inner) if len(axes) > 1 else body(offset, inner)
                tap.next = [f.add(offset, stride), *following]
            return tap.out[1:]

        return nest("dhw", "0", [s for _, s in state])

    def _lowest(self) -> str:
        """Return the vector that any element beats or equals."""
        v, dtype = self.v, self.dtype
        if dtype.is_floating_point:
            return vector_literal(float_literal(float("-inf"), v.element), v.lanes, v.element)
        return vector_literal(str(-(1 << (8 * v.size - 1)) if dtype.is_signed else 0), v.lanes, v.element)

    def _compare(self, predicate: str, a: str, b: str) -> str:
        """Compare vectors: "gt", "eq", or "uno" (either is NaN)."""
        if self.dtype.is_floating_point:
            return self.f.value(f"fcmp {predicate if predicate == 'uno' else 'o' + predicate} {self.v.type} {a}, {b}")
        sign = "" if predicate == "eq" else "s" if self.dtype.is_signed else "u"
        return self.f.value(f"icmp {sign}{predicate} {self.v.type} {a}, {b}")

    def _either(self, a: str, b: str) -> str:
        return self.f.value(f"or <{self.v.lanes} x i1> {a}, {b}")

    def _select(self, mask: str, a: str, b: str, type_: str = "") -> str:
        type_ = type_ or self.v.type
        return self.f.value(f"select <{self.v.lanes} x i1> {mask}, {type_} {a}, {type_} {b}")

    def _add(self, a: str, b: str) -> str:
        return self.f.value(f"{'fadd' if self.dtype.is_floating_point else 'add'} {self.v.type} {a}, {b}")

    def _larger(self, x: str, largest: str) -> str:
        """Return the larger of two vectors; NaN wins."""
        wins = self._compare("gt", x, largest)
        if self.dtype.is_floating_point:
            wins = self._either(wins, self._compare("uno", x, x))
        return self._select(wins, x, largest)

    def _vector(self, address: str, number: int) -> str:
        return self.f.gep(address, number * self.v.bytes) if number else address

    # --- max, sum, argmax ----------------------------------------------------------------------------------------------------------------

    def _forward(self, unit: str) -> None:
        f, g = self.f, self.g
        h, rest = f.urem(unit, g["out_h"]), f.udiv(unit, g["out_h"])
        d, n = f.urem(rest, g["out_d"]), f.udiv(rest, g["out_d"])
        ranges = {"d": self._taps("d", d), "h": self._taps("h", h)}
        x = f.gep(self.arrays[0], f.mul(n, self.x_strides["n"]))
        row = f.mul(f.mul(unit, g["out_w"]), g["channels"])
        with f.loop(0, g["out_w"]) as w:
            ranges["w"] = self._taps("w", w.index)
            to = f.add(row, f.mul(w.index, g["channels"]))
            y = f.gep(self.arrays[1], f.mul(to, 8 if self.kind == "argmax" else self.v.size))
            body = self._argmax if self.kind == "argmax" else self._reduce
            self._channels(0, g["channels"], lambda offset, vectors, mask: body(ranges, x, y, offset, vectors, mask))

    def _reduce(self, ranges: dict[str, tuple[str, str, str]], x: str, y: str, offset: str, vectors: int, mask: str) -> None:
        v = self.v
        combine, initial = (self._larger, self._lowest()) if self.kind == "max" else (self._add, v.zero)

        base = self.f.gep(x, offset)

        def body(position: str, state: list[str]) -> list[str]:
            address = self.f.gep(base, position)
            return [combine(v.load(self._vector(address, i), mask), state[i]) for i in range(vectors)]

        out = self._walk(ranges, [(v.type, initial)] * vectors, body)
        to = self.f.gep(y, offset)
        for i in range(vectors):
            v.store(out[i], self._vector(to, i), mask)

    def _argmax(self, ranges: dict[str, tuple[str, str, str]], x: str, y: str, offset: str, vectors: int, mask: str) -> None:
        f, v = self.f, self.v
        # Positions have the width of an element, so that both vectors have as many lanes in as many registers.
        base, index_type = f.gep(x, offset), f"i{8 * v.size}"
        indices, results = f"<{v.lanes} x {index_type}>", f"<{v.lanes} x i64>"

        def body(position: str, state: list[str]) -> list[str]:
            number = f.udiv(position, self.x_strides["w"])
            where = f.splat(f.value(f"trunc i64 {number} to i32") if v.size == 4 else number, v.lanes, index_type)
            address = f.gep(base, position)
            result = []
            for i in range(vectors):
                largest, index = state[2 * i], state[2 * i + 1]
                value = v.load(self._vector(address, i), mask)
                unset = f.value(f"icmp slt {indices} {index}, zeroinitializer")
                wins = self._either(self._compare("gt", value, largest), unset)
                if self.dtype.is_floating_point:
                    is_nan = self._compare("uno", value, value)
                    first_nan = f.value(f"and <{v.lanes} x i1> {is_nan}, {f.value(f'fcmp ord {v.type} {largest}, {largest}')}")
                    wins = self._either(wins, first_nan)
                result += [self._select(wins, value, largest), self._select(wins, where, index, indices)]
            return result

        none = vector_literal("-1", v.lanes, index_type)
        out = self._walk(ranges, [(v.type, self._lowest()), (indices, none)] * vectors, body)
        to = f.gep(y, f.mul(f.udiv(offset, v.size), 8))
        for i in range(vectors):
            address = f.gep(to, i * v.lanes * 8) if i else to
            result = f.value(f"sext {indices} {out[2 * i + 1]} to {results}") if v.size == 4 else out[2 * i + 1]
            if mask:
                f.masked_store(results, result, address, mask, v.lanes, 8)
            else:
                f.store(results, result, address, 8)

    # --- gradients -----------------------------------------------------------------------------------------------------------------------

    def _max_grad(self, unit: str) -> None:
        f, g = self.f, self.g
        n = f.udiv(unit, g["chunks"])
        low = f.mul(f.urem(unit, g["chunks"]), g["chunk_channels"])
        high = f.min(g["channels"], f.add(low, g["chunk_channels"]))
        x, gx = (f.gep(self.arrays[i], f.mul(n, self.x_strides["n"])) for i in (0, 2))
        gy = f.gep(self.arrays[1], f.mul(n, self.y_strides["n"]))
        # Rows are cleared just before the first window that reaches them, while they are in cache.
        with f.loop(0, g["out_d"], 1, [("i64", "0")]) as d:
            with f.loop(0, g["out_h"], 1, [("i64", d.carried[0])]) as h:
                ranges = {"d": self._taps("d", d.index), "h": self._taps("h", h.index)}
                last = f.add(f.mul(self._last("d", ranges["d"]), g["in_h"]), self._last("h", ranges["h"]))
                end = f.max(h.carried[0], f.add(last, 1))
                self._clear(gx, h.carried[0], end, low, high)
                h.next = [end]
                gy_row = f.gep(f.gep(gy, f.mul(d.index, self.y_strides["d"])), f.mul(h.index, self.y_strides["h"]))
                with f.loop(0, g["out_w"]) as w:
                    ranges["w"] = self._taps("w", w.index)
                    gy_pixel = f.gep(gy_row, f.mul(w.index, self.y_strides["w"]))
                    self._channels(low, high, lambda offset, vectors, mask: self._route(ranges, x, gx, gy_pixel, offset, vectors, mask))
            d.next = [h.out[0]]
        self._clear(gx, d.out[0], f.mul(g["in_d"], g["in_h"]), low, high)

    def _last(self, axis: str, taps: tuple[str, str, str]) -> str:
        """Return the last position of a window's taps; without taps one that does not matter, inside the array."""
        f = self.f
        first, _, end = taps
        position = f.add(first, f.mul(f.sub(end, 1), self.g["dilation_" + axis]))
        return f.max(0, f.min(position, f.sub(self.g["in_" + axis], 1)))

    def _clear(self, gx: str, first: str, end: str, low: str, high: str) -> None:
        """Clear channels [low, high) of rows [first, end) of an image."""
        f, g, v = self.f, self.g, self.v
        with f.loop(f.mul(first, g["in_w"]), f.mul(end, g["in_w"])) as pixel:
            to = f.gep(gx, f.mul(pixel.index, self.x_strides["w"]))

            def clear(offset: str, vectors: int, mask: str) -> None:
                for i in range(vectors):
                    v.store(v.zero, self._vector(f.gep(to, offset), i), mask)

            self._channels(low, high, clear)

    def _route(self, ranges: dict[str, tuple[str, str, str]], x: str, gx: str, gy: str, offset: str, vectors: int, mask: str) -> None:
        """Add a window's gradient to the first position of its maximum: find the maximum, then meet it again."""
        f, v = self.f, self.v

        base, gx_base = f.gep(x, offset), f.gep(gx, offset)

        def maximum(position: str, state: list[str]) -> list[str]:
            address = f.gep(base, position)
            return [self._larger(v.load(self._vector(address, i), mask), state[i]) for i in range(vectors)]

        largest = self._walk(ranges, [(v.type, self._lowest())] * vectors, maximum)

        def give(position: str, state: list[str]) -> list[str]:
            address, to = f.gep(base, position), f.gep(gx_base, position)
            result = []
            for i in range(vectors):
                value = v.load(self._vector(address, i), mask)
                hit = self._either(self._compare("eq", value, largest[i]), self._compare("uno", value, value))
                here = self._vector(to, i)
                share = self._select(hit, state[i], v.zero)
                v.store(share if self.form.disjoint else self._add(v.load(here, mask), share), here, mask)
                # What is given is gone: later positions with the same value get 0.
                result.append(self._select(hit, v.zero, state[i]))
            return result

        gradients = [v.load(self._vector(f.gep(gy, offset), i), mask) for i in range(vectors)]
        self._walk(ranges, [(v.type, gradient) for gradient in gradients], give)

    def _sum_grad(self, unit: str) -> None:
        f, g = self.f, self.g
        h, rest = f.urem(unit, g["in_h"]), f.udiv(unit, g["in_h"])
        d, n = f.urem(rest, g["in_d"]), f.udiv(rest, g["in_d"])
        ranges = {"d": self._windows("d", d), "h": self._windows("h", h)}
        gy = f.gep(self.arrays[0], f.mul(n, self.y_strides["n"]))
        gx = f.gep(self.arrays[1], f.mul(unit, self.x_strides["h"]))
        with f.loop(0, g["in_w"]) as w:
            ranges["w"] = self._windows("w", w.index)
            to = f.gep(gx, f.mul(w.index, self.x_strides["w"]))
            self._channels(0, g["channels"], lambda offset, vectors, mask: self._gather(ranges, gy, to, offset, vectors, mask))

    def _windows(self, axis: str, position: str) -> tuple[str, str, str]:
        """Return (position + padding, first output, end of the outputs) whose windows may hold a position."""
        f, g = self.f, self.g
        shifted, step = f.add(position, g["low_" + axis]), g["step_" + axis]
        reach = f.mul(f.sub(g["taps_" + axis], 1), g["dilation_" + axis])
        low = f.udiv(f.add(f.max(f.sub(shifted, reach), 0), f.sub(step, 1)), step)
        return shifted, low, f.min(g["out_" + axis], f.add(f.udiv(shifted, step), 1))

    def _gather(self, ranges: dict[str, tuple[str, str, str]], gy: str, gx: str, offset: str, vectors: int, mask: str) -> None:
        """Add up the gradients of all windows that hold a position."""
        f, g, v = self.f, self.g, self.v

        def nest(axes: str, base: str, inside: str, state: list[str]) -> list[str]:
            axis = axes[0]
            shifted, low, high = ranges[axis]
            with f.loop(low, high, 1, [(v.type, s) for s in state]) as output:
                hit = inside
                if self.form.dilated:  # such a window passes over positions between its taps
                    distance = f.sub(shifted, f.mul(output.index, g["step_" + axis]))
                    hit = f.value(f"and i1 {inside}, {f.icmp('eq', f.urem(distance, g['dilation_' + axis]), 0)}")
                address = f.gep(base, f.mul(output.index, self.y_strides[axis]))
                if len(axes) > 1:
                    output.next = nest(axes[1:], address, hit, list(output.carried))
                else:
                    values = [v.load(self._vector(address, i), mask) for i in range(vectors)]
                    if self.form.dilated:
                        values = [f.select(hit, value, v.zero, v.type) for value in values]
                    output.next = [self._add(s, value) for s, value in zip(output.carried, values, strict=True)]
            return list(output.out)

        out = nest("dhw", f.gep(gy, offset), "true", [v.zero] * vectors)
        to = f.gep(gx, offset)
        for i in range(vectors):
            v.store(out[i], self._vector(to, i), mask)
