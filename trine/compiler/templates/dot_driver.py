"""The loops around the micro-kernels: blocks of the result as parallel units, packing, blocking along K.

The same driver serves every strategy; the lowering chooses by its parameters (`PARAMETERS`) which operand is packed when, how large the
blocks are, and which micro-kernel runs. Strides count elements.
"""

from __future__ import annotations

import functools

from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.dot import tile
from trine.dtypes import DType

PARAMETERS = (
    *("m", "n", "k"),
    *("m_blocks", "n_blocks", "k_blocks"),  # units = batch * k_blocks * n_blocks * m_blocks, the last varying fastest
    *("m_block", "n_block", "k_block"),  # their sizes; k_block is the share of a unit, when K is split over units
    *("tile_rows", "tile_columns", "k_step"),  # the micro-kernel's tile, and how much of K one pass takes
    "n_group",  # columns of b that are packed, and of c that the epilogue goes on with, at a time
    # Strides: a_tile lies between tiles of rows, b_n between columns (in a packed b: so that tiles lie right), c_split between the partial
    # results of k_blocks.
    *("a_m", "a_tile", "a_k", "b_k", "b_n", "c_m", "c_split"),
    *("a_step", "b_step"),  # the strides that the micro-kernel gets for unpacked operands
    *("pack_a", "packed_from"),  # whether a is packed; columns from packed_from on are packed
    "b_scratch",  # bytes from the start of the scratch memory to the panels of b
    *("micro", "micro_rest", "packer_a", "packer_b", "epilogue"),  # functions; epilogue may be 0
    "batch_rank",  # followed by batch_rank times (extent, stride in a, stride in b, stride in c), innermost first
)


@functools.cache
def driver_kernel(epilogue_entries: int) -> Kernel:
    """Return the kernel that calls the driver: the same code for every epilogue, whose parameters come first.

    The operands are a, b, c and those of the epilogue; the parameters are those of the epilogue, `driver_function`, then `PARAMETERS`.
    `epilogue_entries` counts the i64 entries of the epilogue: its operands' pairs and its own integers.
    """
    return Kernel(("dot.driver", epilogue_entries), lambda target: _emit_call(target, epilogue_entries))


@functools.cache
def driver_function(a: DType, b: DType, dtype: DType) -> Kernel:
    """Return the driver for operands of dtypes a and b and arithmetic in `dtype`.

    Its arguments are those of a kernel, with the address of `PARAMETERS` after the first two.
    """
    return Kernel(("dot.driver", a.itemsize, b.itemsize, dtype.name), lambda target: _emit(target, (a, b), dtype))


def batch_offsets(f: Function, index: str, first: int, arrays: int, array: str = "%params") -> list[str]:
    """Emit the decoding of a batch index: offsets of `arrays` arrays in elements.

    The parameters from `first` on are the rank, then for each axis, innermost first, its extent and a stride for each array.
    """
    entries = f.gep(array, first + 1, "i64")
    with f.loop(0, f.param(first, array=array), 1, [("i64", index), ("ptr", entries), *[("i64", "0")] * arrays]) as axis:
        rest, entry, *offsets = axis.carried
        extent = f.load("i64", entry, 8)
        position = f.urem(rest, extent)
        strides = [f.load("i64", f.gep(entry, 1 + i, "i64"), 8) for i in range(arrays)]
        moved = [f.add(o, f.mul(position, s)) for o, s in zip(offsets, strides, strict=True)]
        axis.next = [f.udiv(rest, extent), f.gep(entry, 1 + arrays, "i64"), *moved]
    return axis.out[2:]


def _emit_call(target: Target, epilogue_entries: int) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    first = 6 + epilogue_entries
    own = ("ptr", f.gep("%params", first + 1, "i64"))
    range_ = (("i64", "%begin"), ("i64", "%end"), ("i64", "%thread"))
    f.call_pointer("void", f.param(first, "ptr"), ("ptr", "%table"), ("ptr", "%params"), own, *range_)
    f.ret()
    return module.text()


def _emit(target: Target, sources: tuple[DType, DType], dtype: DType) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", (*KERNEL_ARGUMENTS[:2], ("ptr noalias", "own"), *KERNEL_ARGUMENTS[2:]))
    p = {name: f.param(i, array="%own") for i, name in enumerate(PARAMETERS)}
    names = ("micro", "micro_rest", "packer_a", "packer_b", "epilogue")
    functions = {name: f.param(PARAMETERS.index(name), "ptr", "%own") for name in names}
    bases = (f.operand(0), f.operand(1), f.operand(2))
    types = (f"i{8 * sources[0].itemsize}", f"i{8 * sources[1].itemsize}", f"i{8 * dtype.itemsize}")
    driver = _Driver(f, p, functions, types, tile(target, dtype).panel, f.scratch())
    with f.loop("%begin", "%end") as unit:
        rest, m_index = _split(f, unit.index, p["m_blocks"])
        rest, n_index = _split(f, rest, p["n_blocks"])
        batch, k_index = _split(f, rest, p["k_blocks"])
        offsets = batch_offsets(f, batch, len(PARAMETERS) - 1, 3, "%own")
        offsets[0] = f.add(offsets[0], f.mul(f.mul(m_index, f.udiv(p["m_block"], p["tile_rows"])), p["a_tile"]))
        offsets[2] = f.add(offsets[2], f.mul(k_index, p["c_split"]))
        arrays = [f.gep(base, offset, type_) for base, offset, type_ in zip(bases, offsets, types, strict=True)]
        m_range, n_range = (_range(f, i, p[f"{axis}_block"], p[axis]) for axis, i in (("m", m_index), ("n", n_index)))
        driver.emit_unit(arrays, m_range, n_range, _range(f, k_index, p["k_block"], p["k"]), batch)
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
    """Emits the work of one unit. `types` are integer types as large as the elements of a, b and c, which are only addressed here."""

    def __init__(
        self, f: Function, p: dict[str, str], functions: dict[str, str], types: tuple[str, str, str], panel: int, scratch: str
    ) -> None:
        self.f, self.p, self.functions, self.types, self.panel = f, p, functions, types, panel
        self.sizes = [int(type_[1:]) // 8 for type_ in types]
        self.packs_a = f.icmp("ne", p["pack_a"], 0)
        self.has_epilogue = f.icmp("ne", p["epilogue"], 0)
        self.a_panels = scratch
        self.b_panels = f.gep(scratch, p["b_scratch"])

    def emit_unit(self, arrays: list[str], m: tuple[str, str], n: tuple[str, str], k: tuple[str, str], batch: str) -> None:
        """Emit the passes over k; `arrays` are the addresses of the unit's first row of a, of b, and of c."""
        f, p = self.f, self.p
        k_low, k_high = k
        packed_from = f.min(f.max(p["packed_from"], n[0]), n[1])
        # At least one pass, which stores zeros where K is 0.
        with f.loop(k_low, f.max(k_high, f.add(k_low, 1)), p["k_step"]) as pass_:
            steps = f.min(f.sub(k_high, pass_.index), p["k_step"])
            a = f.gep(arrays[0], f.mul(pass_.index, p["a_k"]), self.types[0])
            b = f.gep(arrays[1], f.mul(pass_.index, p["b_k"]), self.types[1])
            a_panel, b_panel = f.mul(steps, self.panel), f.mul(steps, p["tile_columns"])
            with f.when(self.packs_a):
                self._pack("packer_a", a, ("a_m", "a_k"), f.sub(m[1], m[0]), (p["tile_rows"], self.panel), steps, (self.a_panels, a_panel))
            accumulate = f.value(f"zext i1 {f.icmp('ne', pass_.index, k_low)} to i64")
            is_last = f.value(f"and i1 {f.icmp('sge', f.add(pass_.index, p['k_step']), k_high)}, {self.has_epilogue}")
            with f.loop(n[0], n[1], p["n_group"]) as group:
                columns = (group.index, f.min(f.add(group.index, p["n_group"]), n[1]))
                low = f.max(packed_from, columns[0])
                with f.when(f.icmp("slt", low, columns[1])):
                    source = f.gep(b, f.mul(low, p["b_n"]), self.types[1])
                    geometry = (p["tile_columns"], p["tile_columns"])
                    self._pack("packer_b", source, ("b_n", "b_k"), f.sub(columns[1], low), geometry, steps, (self.b_panels, b_panel))
                self._emit_tiles((a, b, arrays[2]), m, columns, packed_from, (steps, a_panel, b_panel), accumulate)
                with f.when(is_last):
                    rows = f.sub(m[1], m[0])
                    count = f.sub(columns[1], columns[0])
                    call_epilogue(f, self.functions["epilogue"], 3, (m[0], rows), (columns[0], count), batch)

    def _pack(
        self,
        packer: str,
        source: str,
        strides: tuple[str, str],
        count: str,
        geometry: tuple[str, str | int],
        steps: str,
        panels: tuple[str, str],
    ) -> None:
        self.f.call_pointer(
            "void",
            self.functions[packer],
            *(("ptr", source), ("i64", self.p[strides[0]]), ("i64", self.p[strides[1]]), ("i64", count)),
            *(("i64", geometry[0]), ("i64", str(geometry[1])), ("i64", steps), ("ptr", panels[0]), ("i64", panels[1])),
        )

    def _emit_tiles(
        self,
        arrays: tuple[str, str, str],
        m: tuple[str, str],
        n: tuple[str, str],
        packed_from: str,
        sizes: tuple[str, str, str],
        accumulate: str,
    ) -> None:
        """Emit the loops over the tiles of some columns: a panel of b stays in the first-level cache while those of a pass."""
        f, p = self.f, self.p
        a, b, c = arrays
        steps, a_panel, b_panel = sizes
        a_step = f.select(self.packs_a, self.panel, p["a_step"])
        a_panels = f.select(self.packs_a, self.a_panels, a, "ptr")
        a_tile_bytes = f.select(self.packs_a, f.mul(a_panel, self.sizes[2]), f.mul(p["a_tile"], self.sizes[0]))
        with f.loop(n[0], n[1], p["tile_columns"], [("ptr", self.b_panels)]) as j:
            columns = f.min(f.sub(n[1], j.index), p["tile_columns"])
            is_packed = f.icmp("sge", j.index, packed_from)
            b_tile = f.select(is_packed, j.carried[0], f.gep(b, f.mul(j.index, p["b_n"]), self.types[1]), "ptr")
            b_step = f.select(is_packed, p["tile_columns"], p["b_step"])
            j.next = [f.select(is_packed, f.gep(j.carried[0], b_panel, self.types[2]), j.carried[0], "ptr")]
            with f.loop(m[0], m[1], p["tile_rows"], [("ptr", a_panels)]) as i:
                a_tile = i.carried[0]
                i.next = [f.gep(a_tile, a_tile_bytes)]
                rows = f.min(f.sub(m[1], i.index), p["tile_rows"])
                micro = f.select(f.icmp("eq", rows, p["tile_rows"]), self.functions["micro"], self.functions["micro_rest"], "ptr")
                c_rows = f.gep(c, f.mul(i.index, p["c_m"]), self.types[2])
                f.call_pointer(
                    "void",
                    micro,
                    *(("ptr", a_tile), ("i64", a_step), ("ptr", b_tile), ("i64", b_step), ("i64", steps)),
                    *(("ptr", f.gep(c_rows, j.index, self.types[2])), ("i64", p["c_m"]), ("i64", accumulate), ("i64", columns)),
                )


def call_epilogue(f: Function, function: str, operands: int, m: tuple[str, str], n: tuple[str, str], batch: str) -> None:
    """Call a tile epilogue on (start, count) of rows and of columns; its parameters follow those of the command's own `operands`."""
    f.call_pointer(
        "void",
        function,
        *(("ptr", "%table"), ("ptr", f.gep("%params", 2 * operands, "i64"))),
        *(("i64", m[0]), ("i64", f.add(*m)), ("i64", n[0]), ("i64", f.add(*n)), ("i64", batch)),
    )
