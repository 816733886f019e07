"""The loops around the micro-kernels: blocks of the result as parallel units, packing, blocking along K.

The same driver serves every strategy; the lowering chooses by its parameters (`PARAMETERS`) which operand is packed when, how large the blocks
are, and which micro-kernel runs. Strides count elements.
"""

from __future__ import annotations

import functools

from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target, llvm_type
from trine.compiler.templates.dot import tile
from trine.dtypes import DType

PARAMETERS = (
    *("m", "n", "k"),
    *("m_blocks", "n_blocks", "k_blocks"),  # units = batch * k_blocks * n_blocks * m_blocks, the last varying fastest
    *("m_block", "n_block", "k_block"),  # their sizes; k_block is the share of a unit, when K is split over units
    *("tile_rows", "tile_columns", "k_step"),  # the micro-kernel's tile, and how much of K one pass takes
    *("a_m", "a_k", "b_k", "b_n", "c_m", "c_split"),  # strides; c_split lies between the partial results of k_blocks
    *("a_step", "b_step"),  # the strides that the micro-kernel gets for unpacked operands
    *("pack_a", "packed_from"),  # whether a is packed; columns from packed_from on are packed
    "b_scratch",  # bytes from the start of the scratch memory to the panels of b
    *("micro", "micro_rest", "packer_a", "packer_b", "epilogue"),  # functions; epilogue may be 0
    "batch_rank",  # followed by batch_rank times (extent, stride in a, stride in b, stride in c), innermost first
)


@functools.cache
def driver_kernel(source: DType, dtype: DType, epilogue_entries: int) -> Kernel:
    """Return the driver for operands of `source` and arithmetic in `dtype`.

    The operands are a, b, c and those of the epilogue; the parameters are those of the epilogue, then `PARAMETERS`.
    `epilogue_entries` counts the i64 entries of the epilogue: its operands' pairs and its own integers.
    """
    key = ("dot.driver", source.name, dtype.name, epilogue_entries)
    return Kernel(key, lambda target: _emit(target, source, dtype, epilogue_entries))


def batch_offsets(f: Function, index: str, first: int, arrays: int) -> list[str]:
    """Emit the decoding of a batch index: offsets of `arrays` arrays in elements.

    The parameters from `first` on are the rank, then for each axis, innermost first, its extent and a stride for each array.
    """
    entries = f.gep("%params", first + 1, "i64")
    with f.loop(0, f.param(first), 1, [("i64", index), ("ptr", entries), *[("i64", "0")] * arrays]) as axis:
        rest, entry, *offsets = axis.carried
        extent = f.load("i64", entry, 8)
        position = f.urem(rest, extent)
        strides = [f.load("i64", f.gep(entry, 1 + i, "i64"), 8) for i in range(arrays)]
        moved = [f.add(o, f.mul(position, s)) for o, s in zip(offsets, strides, strict=True)]
        axis.next = [f.udiv(rest, extent), f.gep(entry, 1 + arrays, "i64"), *moved]
    return axis.out[2:]


def _emit(target: Target, source: DType, dtype: DType, epilogue_entries: int) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    first = 6 + epilogue_entries
    p = {name: f.param(first + i) for i, name in enumerate(PARAMETERS)}
    arrays = (f.operand(0), f.operand(1), f.operand(2))
    scratch = f.scratch()
    functions = {n: f.param(first + PARAMETERS.index(n), "ptr") for n in ("micro", "micro_rest", "packer_a", "packer_b", "epilogue")}
    driver = _Driver(f, p, functions, llvm_type(source), llvm_type(dtype), tile(target, dtype).panel, scratch)
    with f.loop("%begin", "%end") as unit:
        rest, m_index = _split(f, unit.index, p["m_blocks"])
        rest, n_index = _split(f, rest, p["n_blocks"])
        batch, k_index = _split(f, rest, p["k_blocks"])
        offsets = batch_offsets(f, batch, first + len(PARAMETERS) - 1, 3)
        a, b = (f.gep(base, offset, llvm_type(source)) for base, offset in zip(arrays[:2], offsets[:2], strict=True))
        c = f.gep(arrays[2], f.add(offsets[2], f.mul(k_index, p["c_split"])), llvm_type(dtype))
        m_range, n_range = (_range(f, i, p[f"{axis}_block"], p[axis]) for axis, i in (("m", m_index), ("n", n_index)))
        driver.emit_unit((a, b, c), m_range, n_range, _range(f, k_index, p["k_block"], p["k"]), batch)
    f.ret()
    return module.text()


def _split(f: Function, index: str, extent: str) -> tuple[str, str]:
    """Return index // extent and index % extent."""
    quotient = f.udiv(index, extent)
    return quotient, f.sub(index, f.mul(quotient, extent))


def _range(f: Function, index: str, block: str, extent: str) -> tuple[str, str]:
    low = f.mul(index, block)
    return low, f.min(f.add(low, block), extent)


class _Driver:
    """Emits the work of one unit."""

    def __init__(
        self, f: Function, p: dict[str, str], functions: dict[str, str], source: str, element: str, panel: int, scratch: str
    ) -> None:
        self.f, self.p, self.source, self.element, self.panel = f, p, source, element, panel
        self.packs_a = f.icmp("ne", p["pack_a"], 0)
        self.has_epilogue = f.icmp("ne", p["epilogue"], 0)
        self.functions = functions
        self.a_panels = scratch
        self.b_panels = f.gep(scratch, p["b_scratch"])

    def emit_unit(
        self, arrays: tuple[str, str, str], m: tuple[str, str], n: tuple[str, str], k: tuple[str, str], batch: str
    ) -> None:
        f, p = self.f, self.p
        k_low, k_high = k
        packed_from = f.min(f.max(p["packed_from"], n[0]), n[1])
        # At least one pass, which stores zeros where K is 0.
        stop = f.max(k_high, f.add(k_low, 1))
        with f.loop(k_low, stop, p["k_step"]) as pass_:
            steps = f.min(f.sub(k_high, pass_.index), p["k_step"])
            a = f.gep(arrays[0], f.mul(pass_.index, p["a_k"]), self.source)
            b = f.gep(arrays[1], f.mul(pass_.index, p["b_k"]), self.source)
            a_panel = f.mul(steps, self.panel)
            with f.when(self.packs_a), f.loop(m[0], m[1], p["tile_rows"], [("ptr", self.a_panels)]) as i:
                rows = f.min(f.sub(m[1], i.index), p["tile_rows"])
                source = f.gep(a, f.mul(i.index, p["a_m"]), self.source)
                self._pack("packer_a", source, p["a_m"], p["a_k"], rows, self.panel, steps, i.carried[0])
                i.next = [f.gep(i.carried[0], a_panel, self.element)]
            b_panel = f.mul(steps, p["tile_columns"])
            with f.loop(packed_from, n[1], p["tile_columns"], [("ptr", self.b_panels)]) as j:
                columns = f.min(f.sub(n[1], j.index), p["tile_columns"])
                source = f.gep(b, f.mul(j.index, p["b_n"]), self.source)
                self._pack("packer_b", source, p["b_n"], p["b_k"], columns, p["tile_columns"], steps, j.carried[0])
                j.next = [f.gep(j.carried[0], b_panel, self.element)]
            accumulate = f.value(f"zext i1 {f.icmp('ne', pass_.index, k_low)} to i64")
            is_last = f.value(f"and i1 {f.icmp('sge', f.add(pass_.index, p['k_step']), k_high)}, {self.has_epilogue}")
            self._tiles(a, b, arrays[2], m, n, packed_from, (steps, a_panel, b_panel), accumulate, is_last, batch)

    def _pack(self, packer: str, source: str, stride: str, step: str, count: str, width: str | int, k: str, panel: str) -> None:
        self.f.call_pointer(
            "void",
            self.functions[packer],
            *(("ptr", source), ("i64", stride), ("i64", step), ("i64", count), ("i64", str(width)), ("i64", k), ("ptr", panel)),
        )

    def _tiles(
        self,
        a: str,
        b: str,
        c: str,
        m: tuple[str, str],
        n: tuple[str, str],
        packed_from: str,
        sizes: tuple[str, str, str],
        accumulate: str,
        is_last: str,
        batch: str,
    ) -> None:
        """Emit the loops over the tiles of a block: a panel of a stays in the first-level cache while those of b pass."""
        f, p = self.f, self.p
        steps, a_panel, b_panel = sizes
        a_step = f.select(self.packs_a, self.panel, p["a_step"])
        with f.loop(m[0], m[1], p["tile_rows"], [("ptr", self.a_panels)]) as i:
            i.next = [f.gep(i.carried[0], a_panel, self.element)]
            rows = f.min(f.sub(m[1], i.index), p["tile_rows"])
            micro = f.select(f.icmp("eq", rows, p["tile_rows"]), self.functions["micro"], self.functions["micro_rest"], "ptr")
            a_tile = f.select(self.packs_a, i.carried[0], f.gep(a, f.mul(i.index, p["a_m"]), self.source), "ptr")
            c_rows = f.gep(c, f.mul(i.index, p["c_m"]), self.element)
            with f.loop(n[0], n[1], p["tile_columns"], [("ptr", self.b_panels)]) as j:
                columns = f.min(f.sub(n[1], j.index), p["tile_columns"])
                is_packed = f.icmp("sge", j.index, packed_from)
                b_tile = f.select(is_packed, j.carried[0], f.gep(b, f.mul(j.index, p["b_n"]), self.source), "ptr")
                b_step = f.select(is_packed, p["tile_columns"], p["b_step"])
                j.next = [f.select(is_packed, f.gep(j.carried[0], b_panel, self.element), j.carried[0], "ptr")]
                f.call_pointer(
                    "void",
                    micro,
                    *(("ptr", a_tile), ("i64", a_step), ("ptr", b_tile), ("i64", b_step), ("i64", steps)),
                    *(("ptr", f.gep(c_rows, j.index, self.element)), ("i64", p["c_m"]), ("i64", accumulate), ("i64", columns)),
                )
                with f.when(is_last):
                    call_epilogue(f, self.functions["epilogue"], 3, (i.index, rows), (j.index, columns), batch)


def call_epilogue(f: Function, function: str, operands: int, m: tuple[str, str], n: tuple[str, str], batch: str) -> None:
    """Call a tile epilogue on (start, count) of rows and of columns; its parameters follow those of the command's own `operands`."""
    f.call_pointer(
        "void",
        function,
        *(("ptr", "%table"), ("ptr", f.gep("%params", 2 * operands, "i64"))),
        *(("i64", m[0]), ("i64", f.add(*m)), ("i64", n[0]), ("i64", f.add(*n)), ("i64", batch)),
    )
