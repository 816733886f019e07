"""The kernel of attention's gradient: for each block of keys, all blocks of queries; the weights are computed again from the rows' sums.

The method is that of Dao et al., "FlashAttention" (2022). A panel has a key in each lane. The gradients of keys and values are summed in
scratch memory and stored once, that of the queries grows in its place; a unit is one element of the batch, so that every sum has its order.
"""

from __future__ import annotations

import functools
import math

from trine.compiler.ir import KERNEL_ARGUMENTS, Module, float_literal
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.attention_base import LOG2_E, Emitter
from trine.dtypes import DType

INTEGERS = (
    *("q_block", "k_block", "queries", "keys", "width", "value_width"),
    "scale",  # the bits of a double
    *("q_l", "k_s", "k_d", "v_s", "v_d", "g_l", "lse_l", "delta_l", "m_l", "m_s", "dq_l", "dk_s", "dv_s"),  # strides
    *("tile_rows", "width_rows", "value_rows", "row"),  # row: between the rows of the blocks of scores
    # Parts of the scratch memory; the packed keys come first.
    *("at_values", "at_rows", "at_dk", "at_dv", "at_scores", "at_slopes", "at_mask"),
)
FUNCTIONS = (
    *("scores", "scores_rest", "keys", "keys_rest", "values", "values_rest"),
    *("pack_key", "pack_value", "pack_rows", "pack_mask", "pack_dk", "pack_dv"),
)


@functools.cache
def attention_grad_kernel(dtype: DType, has_mask: bool, causal: bool) -> Kernel:
    """Return the kernel; its operands are query, key, value, gradient, row sums, deltas, the mask if there is one, and three gradients."""
    key = ("attention_grad", dtype.name, has_mask, causal)
    return Kernel(key, lambda target: _emit(target, dtype, has_mask, causal))


def _emit(target: Target, dtype: DType, has_mask: bool, causal: bool) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    operands = 10 if has_mask else 9
    e = Emitter(f, target, dtype, operands, INTEGERS, FUNCTIONS)
    with f.loop("%begin", "%end") as unit:
        _Unit(e, e.arrays(unit.index), has_mask, causal).emit()
    f.ret()
    return module.text()


class _Unit:
    """Emits the work of one unit; `arrays` are the addresses of its matrices."""

    def __init__(self, e: Emitter, arrays: list[str], has_mask: bool, causal: bool) -> None:
        self.e, self.has_mask, self.causal = e, has_mask, causal
        self.query, self.key, self.value, self.gradient, self.lse, self.delta, *mask, self.dq, self.dk, self.dv = arrays
        self.mask = mask[0] if mask else ""
        self.packed_keys, self.packed_values, self.key_rows = e.scratch, e.part("at_values"), e.part("at_rows")
        self.key_sums, self.value_sums = e.part("at_dk"), e.part("at_dv")
        self.scores, self.slopes, self.mask_block = e.part("at_scores"), e.part("at_slopes"), e.part("at_mask")

    def emit(self) -> None:
        e, f, p, x = self.e, self.e.f, self.e.p, self.e.x
        # a product over nothing stores zeros
        self._add_to_queries("0", p["queries"], "0", "0")
        with f.loop(0, p["keys"], p["k_block"]) as block:
            k_low = block.index
            keys = f.min(p["k_block"], f.sub(p["keys"], k_low))
            panels = f.udiv(f.add(keys, e.columns - 1), e.columns)
            width, value_width = f.mul(p["width"], e.columns), f.mul(p["value_width"], e.columns)
            self._pack(k_low, keys, width, value_width)
            e.fill(self.key_sums, f.mul(panels, width))
            e.fill(self.value_sums, f.mul(panels, value_width))
            with f.loop(k_low if self.causal else 0, p["queries"], p["q_block"]) as q:
                rows = f.min(p["q_block"], f.sub(p["queries"], q.index))
                reach = f.min(keys, f.sub(f.add(q.index, rows), k_low)) if self.causal else keys
                with f.loop(0, reach, e.columns) as panel:
                    self._panel(q.index, rows, k_low, keys, panel.index)
                self._add_to_queries(q.index, rows, reach, "1")
            e.scale_by(self.key_sums, f.mul(panels, width), e.scale)
            with f.loop(0, keys, e.columns) as panel:
                lanes = f.min(e.columns_text, f.sub(keys, panel.index))
                at = f.add(k_low, panel.index)
                for name, sums, extent, out, stride in (
                    ("pack_dk", self.key_sums, p["width"], self.dk, p["dk_s"]),
                    ("pack_dv", self.value_sums, p["value_width"], self.dv, p["dv_s"]),
                ):
                    source, target = x.at(sums, f.mul(panel.index, extent)), x.at(out, f.mul(at, stride))
                    e.pack(name, source, (e.columns_text, "1"), extent, (extent, stride), lanes, (target, "0"))

    def _pack(self, k_low: str, keys: str, width: str, value_width: str) -> None:
        """Pack keys and values as panels of columns, scaled, and the keys once more as rows."""
        e, f, p, x = self.e, self.e.f, self.e.p, self.e.x
        e.clear_last_panel(keys, (self.packed_keys, width), (self.packed_values, value_width))
        tile = (e.columns_text, e.columns_text)
        key, value = x.at(self.key, f.mul(k_low, p["k_s"])), x.at(self.value, f.mul(k_low, p["v_s"]))
        e.pack("pack_key", key, (p["k_s"], p["k_d"]), keys, tile, p["width"], (self.packed_keys, width))
        e.pack("pack_value", value, (p["v_s"], p["v_d"]), keys, tile, p["value_width"], (self.packed_values, value_width))
        panels = f.udiv(f.add(keys, e.columns - 1), e.columns)
        e.scale_by(self.packed_keys, f.mul(panels, width), e.times(e.scale, LOG2_E))
        panel = f.mul(p["k_block"], e.columns)
        e.pack("pack_rows", key, (p["k_d"], p["k_s"]), p["width"], tile, keys, (self.key_rows, panel))
        with f.loop(0, p["width"], e.columns, [("ptr", self.key_rows)]) as column:
            e.scale_by(column.carried[0], f.mul(keys, e.columns), e.scale)
            column.next = [x.at(column.carried[0], panel)]

    def _add_to_queries(self, q_low: str, rows: str, keys: str, add: str) -> None:
        """Add (or store) the products of slopes and keys."""
        e, f, p, x = self.e, self.e.f, self.e.p, self.e.x
        panel = f.mul(p["k_block"], e.columns)
        with f.loop(0, rows, p["tile_rows"]) as i:
            is_full = f.icmp("sle", f.add(i.index, p["tile_rows"]), rows)
            function = f.select(is_full, e.functions["scores"], e.functions["scores_rest"], "ptr")
            slopes = x.at(self.slopes, f.mul(i.index, p["row"]))
            out = x.at(self.dq, f.mul(f.add(q_low, i.index), p["dq_l"]))
            with f.loop(0, p["width"], e.columns, [("ptr", self.key_rows)]) as column:
                columns = f.min(e.columns_text, f.sub(p["width"], column.index))
                target = (x.at(out, column.index), p["dq_l"])
                e.micro(function, (slopes, p["row"]), (column.carried[0], e.columns), keys, target, add, columns)
                column.next = [x.at(column.carried[0], panel)]

    def _panel(self, q_low: str, rows: str, k_low: str, keys: str, at: str) -> None:
        """A panel of keys (from `at` on) and a block of queries: weights and slopes, and what they add to keys and values."""
        e, f, p, x = self.e, self.e.f, self.e.p, self.e.x
        query, gradient = x.at(self.query, f.mul(q_low, p["q_l"])), x.at(self.gradient, f.mul(q_low, p["g_l"]))
        packed_keys, packed_values = x.at(self.packed_keys, f.mul(at, p["width"])), x.at(self.packed_values, f.mul(at, p["value_width"]))
        scores, slopes = x.at(self.scores, at), x.at(self.slopes, at)
        e.overlapping_tiles(q_low, rows, "scores", (query, p["q_l"]), packed_keys, p["width"], (scores, p["row"]))
        e.overlapping_tiles(q_low, rows, "scores", (gradient, p["g_l"]), packed_values, p["value_width"], (slopes, p["row"]))
        if self.has_mask:
            position = f.add(f.mul(q_low, p["m_l"]), f.mul(f.add(k_low, at), p["m_s"]))
            lanes = f.min(e.columns_text, f.sub(keys, at))
            source, tile = x.at(self.mask, position), (e.columns_text, e.columns_text)
            e.pack("pack_mask", source, (p["m_s"], p["m_l"]), lanes, tile, rows, (self.mask_block, "0"))
        if self.causal:
            ahead = f.sub(q_low, f.add(k_low, at))  # the first query's position less the first key's
            some = f.min(f.max(f.sub(e.columns - 1, ahead), 0), rows)
            self._rows("0", some, q_low, scores, slopes, ahead)
            self._rows(some, rows, q_low, scores, slopes, "")
        else:
            self._rows("0", rows, q_low, scores, slopes, "")
        value_sums, key_sums = x.at(self.value_sums, f.mul(at, p["value_width"])), x.at(self.key_sums, f.mul(at, p["width"]))
        names, left = ("values", "values_rest"), (gradient, p["g_l"])
        e.transposed_product(names, p["value_width"], p["value_rows"], left, (scores, p["row"]), rows, value_sums, "1")
        names, left = ("keys", "keys_rest"), (query, p["q_l"])
        e.transposed_product(names, p["width"], p["width_rows"], left, (slopes, p["row"]), rows, key_sums, "1")

    def _rows(self, low: str, high: str, q_low: str, scores: str, slopes: str, ahead: str) -> None:
        """Turn scores into weights and products of gradients and values into slopes; `ahead`: lanes beyond it + row are forbidden."""
        e, f, p, x, v = self.e, self.e.f, self.e.p, self.e.x, self.e.v
        infinite, lowest = (float_literal(value, x.element) for value in (math.inf, -math.inf))
        with f.loop(low, high) as row:
            position = f.add(q_low, row.index)
            total = f.load(x.element, x.at(self.lse, f.mul(position, p["lse_l"])), x.size)
            is_empty = f.value(f"fcmp oeq {x.element} {total}, {lowest}")
            level = e.splat(f.select(is_empty, infinite, e.times(total, LOG2_E), x.element))
            delta = e.splat(f.load(x.element, x.at(self.delta, f.mul(position, p["delta_l"])), x.size))
            at = f.mul(row.index, p["row"])
            for n in range(e.vectors):
                score_at, slope_at = x.at(x.at(scores, at), n * x.lanes), x.at(x.at(slopes, at), n * x.lanes)
                score = x.load(score_at)
                if self.has_mask:
                    added = x.load(x.at(x.at(self.mask_block, f.mul(row.index, e.columns)), n * x.lanes))
                    score = v.fma(added, v.c(LOG2_E), score)
                if ahead:
                    score = v.select(e.forbidden(f.add(ahead, row.index), n * x.lanes), v.c(-math.inf), score)
                weight = e.exp2(v.sub(score, level))
                x.store(weight, score_at)
                x.store(v.mul(weight, v.sub(x.load(slope_at), delta)), slope_at)
