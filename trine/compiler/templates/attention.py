"""The kernel of attention: a block of queries goes through the keys block by block, with a softmax that is corrected as it goes.

The method is that of Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018), and of Dao et al., "FlashAttention"
(2022). Everything is transposed: a panel has a query in each lane, so keys and values are read as they lie in memory, an element at a
time, and only the queries are packed.
"""

from __future__ import annotations

import functools
import math

from trine.compiler import math_log
from trine.compiler.ir import KERNEL_ARGUMENTS, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.attention_base import LOG2_E, Emitter
from trine.dtypes import DType

INTEGERS = (
    *("q_blocks", "q_block", "k_block", "queries", "keys", "width", "value_width"),
    "scale",  # the bits of a double
    *("q_l", "q_d", "k_s", "v_s", "m_l", "m_s", "o_l"),  # strides between positions, and of the elements of a query
    *("tile_rows", "value_rows"),
    *("at_scores", "at_mask", "at_out", "at_largest", "at_total"),  # parts of the scratch memory; the packed queries come first
)
FUNCTIONS = ("scores", "values", "values_rest", "pack_query", "pack_mask", "pack_out")
# After these: the rank of the batch, and for each axis, innermost first, its extent and its strides in each operand.


@functools.cache
def attention_kernel(dtype: DType, has_mask: bool, causal: bool) -> Kernel:
    """Return the kernel; its operands are query, key, value, the mask if there is one, output and row sums.

    A unit is (batch, block of queries), the last varying fastest.
    """
    key = ("attention", dtype.name, has_mask, causal)
    return Kernel(key, lambda target: _emit(target, dtype, has_mask, causal))


def _emit(target: Target, dtype: DType, has_mask: bool, causal: bool) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    operands = 6 if has_mask else 5
    e = Emitter(f, target, dtype, operands, INTEGERS, FUNCTIONS)
    with f.loop("%begin", "%end") as unit:
        batch = f.udiv(unit.index, e.p["q_blocks"])
        q_low = f.mul(f.sub(unit.index, f.mul(batch, e.p["q_blocks"])), e.p["q_block"])
        _Unit(e, e.arrays(batch), q_low, has_mask, causal).emit()
    f.ret()
    return module.text()


class _Unit:
    """Emits the work of one unit; `arrays` are the addresses of its matrices."""

    def __init__(self, e: Emitter, arrays: list[str], q_low: str, has_mask: bool, causal: bool) -> None:
        self.e, self.q_low, self.has_mask, self.causal = e, q_low, has_mask, causal
        self.query, self.key, self.value, *mask, self.out, self.lse = arrays
        self.mask = mask[0] if mask else ""
        self.queries = e.scratch
        self.scores, self.outputs = e.part("at_scores"), e.part("at_out")
        self.largest, self.total = e.part("at_largest"), e.part("at_total")
        self.mask_block = e.part("at_mask")
        self.rows = e.f.min(e.f.sub(e.p["queries"], q_low), e.p["q_block"])

    def emit(self) -> None:
        e, f, p = self.e, self.e.f, self.e.p
        self._begin()
        keys = f.min(p["keys"], f.add(self.q_low, self.rows)) if self.causal else p["keys"]
        with f.loop(0, keys, p["k_block"]) as block:
            count = f.min(p["k_block"], f.sub(keys, block.index))
            with f.loop(0, self.rows, e.columns) as panel:
                lanes = f.min(f.sub(self.rows, panel.index), e.columns)
                if self.causal:
                    count = f.min(count, f.sub(f.add(f.add(self.q_low, panel.index), lanes), block.index))
                with f.when(f.icmp("sgt", count, 0)):
                    self._panel(block.index, count, panel.index, lanes)
        with f.loop(0, self.rows, e.columns) as panel:
            self._finish(panel.index, f.min(f.sub(self.rows, panel.index), e.columns))

    def _begin(self) -> None:
        """Pack the queries, scaled; nothing is allowed yet."""
        e, f, p, x = self.e, self.e.f, self.e.p, self.e.x
        panel = f.mul(p["width"], e.columns)
        e.clear_last_panel(self.rows, (self.queries, panel))
        source = x.at(self.query, f.mul(self.q_low, p["q_l"]))
        strides = (p["q_l"], p["q_d"])
        e.pack("pack_query", source, strides, self.rows, (e.columns_text, e.columns_text), p["width"], (self.queries, panel))
        panels = f.udiv(f.add(self.rows, e.columns - 1), e.columns)
        e.scale_by(self.queries, f.mul(panels, panel), e.times(e.scale, LOG2_E))
        lanes = f.mul(panels, e.columns)
        e.fill(self.largest, lanes, e.v.c(-math.inf))
        e.fill(self.total, lanes)

    def _panel(self, k_low: str, count: str, at: str, lanes: str) -> None:
        """A panel of queries (from `at` on) and `count` keys from `k_low` on: scores, weights, weighted values."""
        e, f, p, x = self.e, self.e.f, self.e.p, self.e.x
        queries = x.at(self.queries, f.mul(at, p["width"]))
        key = x.at(self.key, f.mul(k_low, p["k_s"]))
        e.overlapping_tiles(k_low, count, "scores", (key, p["k_s"]), queries, p["width"], (self.scores, e.columns))
        if self.causal:
            self._forbid(k_low, count, f.add(self.q_low, at))
        if self.has_mask:
            self._add_mask(k_low, count, at, lanes)
        output = x.at(self.outputs, f.mul(at, p["value_width"]))
        is_later = f.icmp("ne", k_low, 0)
        self._weights(count, at, output, is_later)
        value = (x.at(self.value, f.mul(k_low, p["v_s"])), p["v_s"])
        add = f.value(f"zext i1 {is_later} to i64")
        e.transposed_product(
            ("values", "values_rest"), p["value_width"], p["value_rows"], value, (self.scores, e.columns), count, output, add
        )

    def _forbid(self, k_low: str, count: str, q_first: str) -> None:
        """Take the keys that lie after a lane's query out: only those after the panel's first query."""
        e, f, x, v = self.e, self.e.f, self.e.x, self.e.v
        first = f.max(f.sub(f.add(q_first, 1), k_low), 0)
        ahead = f.sub(k_low, q_first)
        with f.loop(first, count) as key:
            row = x.at(self.scores, f.mul(key.index, e.columns))
            distance = f.sub(f.add(ahead, key.index), 1)  # lane > distance: lane >= key - first query
            for number in range(e.vectors):
                at = x.at(row, number * x.lanes)
                x.store(v.select(e.forbidden(distance, number * x.lanes), x.load(at), v.c(-math.inf)), at)

    def _add_mask(self, k_low: str, count: str, at: str, lanes: str) -> None:
        e, f, p, x, v = self.e, self.e.f, self.e.p, self.e.x, self.e.v
        position = f.add(f.mul(f.add(self.q_low, at), p["m_l"]), f.mul(k_low, p["m_s"]))
        width = (e.columns_text, e.columns_text)
        e.pack("pack_mask", x.at(self.mask, position), (p["m_l"], p["m_s"]), lanes, width, count, (self.mask_block, "0"))
        with f.loop(0, f.mul(count, e.columns), x.lanes) as i:
            score = x.at(self.scores, i.index)
            x.store(v.fma(x.load(x.at(self.mask_block, i.index)), v.c(LOG2_E), x.load(score)), score)

    def _weights(self, count: str, at: str, output: str, is_later: str) -> None:
        """Turn scores into weights, and correct what was summed before where a score is larger than all before."""
        e, f, x, v = self.e, self.e.f, self.e.x, self.e.v
        largest_at = [x.at(x.at(self.largest, at), n * x.lanes) for n in range(e.vectors)]
        total_at = [x.at(x.at(self.total, at), n * x.lanes) for n in range(e.vectors)]
        before = [x.load(pointer) for pointer in largest_at]
        largest = self._maxima(count, before)
        level = [v.where("oeq", m, v.c(-math.inf), v.c(0.0), m) for m in largest] if self.has_mask else largest
        with f.loop(0, count, 1, [(x.vector, "zeroinitializer")] * e.vectors) as key:
            row = x.at(self.scores, f.mul(key.index, e.columns))
            for n in range(e.vectors):
                pointer = x.at(row, n * x.lanes)
                weight = e.exp2(v.sub(x.load(pointer), level[n]))
                x.store(weight, pointer)
                key.next[n] = v.add(key.carried[n], weight)
        factors = [e.exp2(v.sub(old, new)) for old, new in zip(before, level, strict=True)]
        for n in range(e.vectors):
            x.store(v.fma(x.load(total_at[n]), factors[n], key.out[n]), total_at[n])
            x.store(largest[n], largest_at[n])
        has_grown = v.compare("ogt", largest[0], before[0])
        for n in range(1, e.vectors):
            has_grown = v.either(has_grown, v.compare("ogt", largest[n], before[n]))
        with f.when(f.value(f"and i1 {v.any(has_grown)}, {is_later}")):
            with f.loop(0, f.mul(e.p["value_width"], e.columns), e.columns) as i:
                for n in range(e.vectors):
                    pointer = x.at(x.at(output, i.index), n * x.lanes)
                    x.store(v.mul(x.load(pointer), factors[n]), pointer)

    def _maxima(self, count: str, before: list[str]) -> list[str]:
        """Return the largest score of each lane, or what was largest before; two rows at a time, whose chains overlap."""
        e, f, x, v = self.e, self.e.f, self.e.x, self.e.v

        def larger(found: list[str], row: str) -> list[str]:
            scores = [x.load(x.at(row, n * x.lanes)) for n in range(e.vectors)]
            return [v.where("ogt", s, m, s, m) for s, m in zip(scores, found, strict=True)]

        even = f.band(count, -2)
        with f.loop(0, even, 2, [(x.vector, m) for m in before * 2]) as key:
            row = x.at(self.scores, f.mul(key.index, e.columns))
            key.next = [*larger(key.carried[: e.vectors], row), *larger(key.carried[e.vectors :], x.at(row, e.columns))]
        found = [v.where("ogt", a, c, a, c) for a, c in zip(key.out[: e.vectors], key.out[e.vectors :], strict=True)]
        with f.loop(even, count, 1, [(x.vector, m) for m in found]) as key:
            key.next = larger(key.carried, x.at(self.scores, f.mul(key.index, e.columns)))
        return key.out

    def _finish(self, at: str, lanes: str) -> None:
        """Divide by the sums, and store the output row by row."""
        e, f, p, x, v = self.e, self.e.f, self.e.p, self.e.x, self.e.v
        largest, total = x.at(self.largest, at), x.at(self.total, at)
        inverses = []
        for n in range(e.vectors):
            pointer = x.at(largest, n * x.lanes)
            sum_ = x.load(x.at(total, n * x.lanes))
            inverse = v.div(v.c(1.0), sum_)
            inverses.append(v.where("oeq", sum_, v.c(0.0), v.c(0.0), inverse) if self.has_mask else inverse)
            level = x.load(pointer)
            x.store(v.fma(level, v.c(1 / LOG2_E), math_log.log(v, sum_)), pointer)
        with f.loop(0, lanes) as i:
            value = f.load(x.element, x.at(largest, i.index), x.size)
            f.store(x.element, value, x.at(self.lse, f.add(f.add(self.q_low, at), i.index)), x.size)
        output = x.at(self.outputs, f.mul(at, p["value_width"]))
        with f.loop(0, f.mul(p["value_width"], e.columns), e.columns) as i:
            for n in range(e.vectors):
                pointer = x.at(x.at(output, i.index), n * x.lanes)
                x.store(v.mul(x.load(pointer), inverses[n]), pointer)
        target = x.at(self.out, f.mul(f.add(self.q_low, at), p["o_l"]))
        e.pack("pack_out", output, (e.columns_text, "1"), p["value_width"], (p["value_width"], p["o_l"]), lanes, (target, "0"))
