"""The driver of weight gradients of 3x3 convolutions by Winograd's minimal filtering: gw = G^T [sum of (B^T d B) * (A gy A^T)] G.

The sum runs over the tiles. A unit is (chunk of blocks of tiles, strip of input channels): for each block it transforms its channels of
the input and the gradient of the output, and adds a matrix product in each of the 16 planes to the chunk's own sums. Another kernel adds
the chunks in order and transforms back, so the result depends on shapes only.
"""

from __future__ import annotations

from trine.compiler.ir import KERNEL_ARGUMENTS, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.conv import load_fields
from trine.compiler.templates.conv_micro import VECTORS, Vectors, begin_sums
from trine.compiler.templates.winograd import BLOCK_FIELDS, IMAGE_FIELDS, block_of, emit_clear, tile_rows
from trine.compiler.templates.winograd_transform import (
    PLANES,
    emit_gradient_transform,
    emit_input_transform,
    transform_weight_gradient,
)
from trine.dtypes import DType

# Integers of the driver; sizes and strides in bytes.
FIELDS = IMAGE_FIELDS + BLOCK_FIELDS + (
    "blocks", "chunk_blocks", "strips", "strip_channels", "inputs", "outputs", "panels",
    "v_row", "v_plane", "w_row", "w_plane", "w_panel", "v_at", "w_at", "zeros",
    "sum_chunk", "sum_panel", "sum_plane",
)  # fmt: skip
OPERANDS = 3
_UNROLL = 2


def winograd_gradient_kernel(dtype: DType) -> Kernel:
    """Return the driver: operands x, gy and the sums ``[chunk][panel][plane][input channel][lane]``."""
    return Kernel(("winograd_gradient", dtype.name), lambda target: _emit(target, dtype))


def _emit(target: Target, dtype: DType) -> str:
    module = Module(target.vector_bits)
    _emit_sum_of_products(module, target, dtype)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    v = Vectors(f, target, dtype)
    g = load_fields(f, FIELDS, 2 * OPERANDS)
    x, gy, sums = (f.operand(i) for i in range(OPERANDS))
    zeros = f.scratch()
    transformed, gradient = f.gep(zeros, g["v_at"]), f.gep(zeros, g["w_at"])
    emit_clear(f, v, zeros, g["zeros"])
    count = tile_rows(target)
    with f.loop("%begin", "%end") as unit:
        chunk, strip = f.udiv(unit.index, g["strips"]), f.urem(unit.index, g["strips"])
        channel = f.mul(strip, g["strip_channels"])
        channels = f.min(g["strip_channels"], f.sub(g["inputs"], channel))
        groups = f.udiv(f.add(channels, count - 1), count)
        first = f.mul(chunk, g["chunk_blocks"])
        to_strip = f.gep(f.gep(sums, f.mul(chunk, g["sum_chunk"])), f.mul(channel, VECTORS * v.bytes))
        x_strip = f.gep(x, f.mul(channel, v.size))
        with f.loop(first, f.min(g["blocks"], f.add(first, g["chunk_blocks"]))) as block:
            place = block_of(f, g, block.index)
            emit_input_transform(f, v, g, x_strip, place, channels, zeros, transformed)
            emit_gradient_transform(f, v, g, gy, place, zeros, gradient)
            tiles = f.mul(place[1], place[3])
            continued = f.value(f"zext i1 {f.icmp('sgt', block.index, first)} to i64")
            with f.loop(0, PLANES) as plane:
                a = f.gep(transformed, f.mul(plane.index, g["v_plane"]))
                b_plane = f.gep(gradient, f.mul(plane.index, g["w_plane"]))
                to_plane = f.gep(to_strip, f.mul(plane.index, g["sum_plane"]))
                with f.loop(0, g["panels"]) as panel:
                    b = f.gep(b_plane, f.mul(panel.index, g["w_panel"]))
                    to = f.gep(to_plane, f.mul(panel.index, g["sum_panel"]))
                    f.call_pointer(
                        "void", "@product", ("ptr", a), ("i64", g["v_row"]), ("i64", groups), ("ptr", b), ("i64", tiles), ("ptr", to),
                        ("i64", continued),
                    )  # fmt: skip
    f.ret()
    return module.text()


def _emit_sum_of_products(module: Module, target: Target, dtype: DType) -> None:
    """Define ``product(a, a_step, groups, b, depth, d, accumulate)``: d (+)= a^T b, for a group of a's columns after the other."""
    arguments = (("ptr noalias", "a"), ("i64", "a_step"), ("i64", "groups"), ("ptr noalias", "b"), ("i64", "depth"))
    f = module.function("product", (*arguments, ("ptr noalias", "d"), ("i64", "accumulate")), internal=True)
    v, count = Vectors(f, target, dtype), tile_rows(target)
    panel = VECTORS * v.bytes
    with f.loop(0, "%groups", 1, [("ptr", "%a"), ("ptr", "%d")]) as group:
        a, d = group.carried
        addresses = [f.gep(d, i * v.bytes) if i else d for i in range(count * VECTORS)]
        state = [a, "%b", *begin_sums(f, v, addresses, [""] * len(addresses), "%accumulate", aligned=True)]
        types = ["ptr", "ptr"] + [v.type] * len(addresses)
        whole = f.band("%depth", -_UNROLL)
        for low, high, step in ((0, whole, _UNROLL), (whole, "%depth", 1)):
            with f.loop(low, high, step, list(zip(types, state, strict=True))) as k:
                pointer, b, *sums = k.carried
                for u in range(step):
                    weights = [v.load(f.gep(b, u * panel + h * v.bytes), aligned=True) for h in range(VECTORS)]
                    for i in range(count):
                        value = v.broadcast(f.gep(pointer, i * v.size) if i else pointer)
                        for h in range(VECTORS):
                            sums[i * VECTORS + h] = v.fma(value, weights[h], sums[i * VECTORS + h])
                    pointer = f.gep(pointer, "%a_step")
                k.next = [pointer, f.gep(b, step * panel), *sums]
            state = k.out
        for value, address in zip(state[2:], addresses, strict=True):
            v.store(value, address, aligned=True)
        group.next = [f.gep(a, count * v.size), f.gep(d, count * panel)]
    f.ret()


SUM_FIELDS = ("chunks", "chunk_bytes", "panel_bytes", "plane_bytes", "channels", "channel_blocks", "block_channels", "to_panel", "to_tap")


def winograd_sum_kernel(dtype: DType) -> Kernel:
    """Return the kernel that adds the chunks and transforms the sums to gradients ``[panel][tap][input channel][lane]``.

    A unit is (panel, block of input channels).
    """
    return Kernel(("winograd_sum", dtype.name), lambda target: _emit_sum(target, dtype))


def _emit_sum(target: Target, dtype: DType) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    v = Vectors(f, target, dtype)
    g = {name: f.param(4 + i) for i, name in enumerate(SUM_FIELDS)}
    source, to = f.operand(0), f.operand(1)
    with f.loop("%begin", "%end") as unit:
        panel = f.udiv(unit.index, g["channel_blocks"])
        first = f.mul(f.urem(unit.index, g["channel_blocks"]), g["block_channels"])
        count = f.min(g["block_channels"], f.sub(g["channels"], first))
        offset = f.mul(first, VECTORS * v.bytes)
        from_panel = f.gep(f.gep(source, f.mul(panel, g["panel_bytes"])), offset)
        to_panel = f.gep(f.gep(to, f.mul(panel, g["to_panel"])), offset)
        with f.loop(0, f.mul(count, VECTORS * v.bytes), v.bytes) as byte:
            address = f.gep(from_panel, byte.index)
            planes = [f.gep(address, f.mul(g["plane_bytes"], p)) if p else address for p in range(PLANES)]
            sums = [v.load(plane, aligned=True) for plane in planes]
            with f.loop(1, g["chunks"], 1, [(v.type, value) for value in sums]) as chunk:
                step = f.mul(chunk.index, g["chunk_bytes"])
                terms = [v.load(f.gep(plane, step), aligned=True) for plane in planes]
                chunk.next = [f.value(f"fadd {v.type} {a}, {b}") for a, b in zip(chunk.carried, terms, strict=True)]
            to_here = f.gep(to_panel, byte.index)
            for tap, value in enumerate(transform_weight_gradient(f, v, chunk.out)):
                v.store(value, f.gep(to_here, f.mul(g["to_tap"], tap)) if tap else to_here, aligned=True)
    f.ret()
    return module.text()
