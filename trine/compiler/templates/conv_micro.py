"""Register-blocked micro-kernels of convolution: a tile of output pixels (or of weights) by two vectors of channels.

A tile is `q` by `p`: q rows and p columns, each with a byte stride of its own, so that one tile spans several rows of a small image. The
driver of a convolution calls micro-kernels through pointers, so only the tiles that a shape needs are ever compiled.
"""

from __future__ import annotations

from collections.abc import Sequence

from trine.compiler.ir import Function, Module, vector_literal
from trine.compiler.program import Kernel
from trine.compiler.target import Target, llvm_type
from trine.dtypes import DType

VECTORS = 2
# Most rows (pixels) of a tile: VECTORS accumulators a row, and what is left of the registers holds operands.
_MAX_ROWS = {"avx512": 14, "avx2": 6, "generic": 4}
# Pixels addressed from one pointer: base, base + stride, base + 2 * stride are all x86 addressing modes.
_POINTER_SPAN = 3
# With more rows LLVM spills accumulators as soon as the loop over channels is unrolled.
_UNROLLED_ROWS = 12


def max_rows(target: Target) -> int:
    """Return the most rows that a register tile has on a target."""
    return _MAX_ROWS[target.name]


def panel_width(target: Target, dtype: DType) -> int:
    """Return the width of a tile in channels: VECTORS vector registers."""
    return VECTORS * target.lanes(dtype)


class Vectors:
    """Vector arithmetic of one element type on one target."""

    def __init__(self, f: Function, target: Target, dtype: DType) -> None:
        self.f = f
        self.target = target
        self.element = llvm_type(dtype)
        self.size = dtype.itemsize
        self.lanes = target.lanes(dtype)
        self.type = f"<{self.lanes} x {self.element}>"
        self.bytes = self.lanes * self.size
        zero = "0.0" if dtype.is_floating_point else "0"
        self.zero = vector_literal(zero, self.lanes, self.element)

    def fma(self, a: str, b: str, c: str) -> str:
        """Return a * b + c, with one rounding where the target has the instruction."""
        if not self.target.has_fma:
            return self.f.value(f"fadd {self.type} {self.f.value(f'fmul {self.type} {a}, {b}')}, {c}")
        suffix = f"v{self.lanes}f{8 * self.size}"
        return self.f.call(self.type, f"llvm.fma.{suffix}", (self.type, a), (self.type, b), (self.type, c))

    def broadcast(self, pointer: str) -> str:
        """Load one element into all lanes."""
        return self.f.splat(self.f.load(self.element, pointer, self.size), self.lanes, self.element)

    def load(self, pointer: str, mask: str = "", *, aligned: bool = False) -> str:
        """Load a vector; lanes outside the mask are 0 and not read."""
        if mask:
            return self.f.masked_load(self.type, pointer, mask, self.lanes, self.size)
        return self.f.load(self.type, pointer, self.bytes if aligned else self.size)

    def store(self, value: str, pointer: str, mask: str = "", *, aligned: bool = False) -> None:
        """Store a vector, or the lanes inside the mask."""
        if mask:
            self.f.masked_store(self.type, value, pointer, mask, self.lanes, self.size)
        else:
            self.f.store(self.type, value, pointer, self.bytes if aligned else self.size)


class Pixels:
    """Addresses of a q by p tile of pixels: few pointers that advance, and strides that fold into addressing modes."""

    def __init__(self, f: Function, q: int, p: int, q_stride: str, p_stride: str) -> None:
        self.f = f
        self.q, self.p = q, p
        self.q_stride, self.p_stride = q_stride, p_stride

    def pointers(self, base: str) -> list[str]:
        """Return the pointers of the tile that begins at `base`."""
        f, result = self.f, []
        for i in range(self.q):
            row = f.gep(base, f.mul(self.q_stride, i)) if i else base
            result += [f.gep(row, f.mul(self.p_stride, j)) if j else row for j in range(0, self.p, _POINTER_SPAN)]
        return result

    def address(self, pointers: Sequence[str], pixel: int) -> str:
        """Return the address of a pixel. The multiplication stays next to its use: code generation folds it into the address."""
        i, j = divmod(pixel, self.p)
        per_row = -(-self.p // _POINTER_SPAN)
        pointer = pointers[i * per_row + j // _POINTER_SPAN]
        rest = j % _POINTER_SPAN
        return self.f.gep(pointer, self.f.mul(self.p_stride, rest) if rest > 1 else self.p_stride) if rest else pointer


def begin_sums(f: Function, v: Vectors, addresses: list[str], masks: list[str], accumulate: str, *, aligned: bool) -> list[str]:
    """Return the initial accumulators: 0, or what the addresses hold if `accumulate`."""
    load, go, before = f.label("a"), f.label("g"), f.block
    f.cond_br(f.icmp("ne", accumulate, 0), load, go)
    f.at(load)
    old = [v.load(address, mask, aligned=aligned) for address, mask in zip(addresses, masks, strict=True)]
    f.br(go)
    f.at(go)
    return [f.value(f"phi {v.type} [ {v.zero}, %{before} ], [ {value}, %{load} ]") for value in old]


def _vector_addresses(f: Function, v: Vectors, rows: list[str], vectors: int) -> list[str]:
    return [f.gep(row, h * v.bytes) if h else row for row in rows for h in range(vectors)]


def _tile_rows(f: Function, base: str, q: int, p: int, q_stride: str, p_stride: str | int) -> list[str]:
    rows = []
    for i in range(q):
        row = f.gep(base, f.mul(q_stride, i)) if i else base
        rows += [f.gep(row, f.mul(p_stride, j)) if j else row for j in range(p)]
    return rows


# --- convolution -------------------------------------------------------------------------------------------------------------------------

_CONV_ARGUMENTS = (
    ("ptr noalias", "a"), ("i64", "aq"), ("i64", "ap"), ("i64", "first_row"), ("i64", "end_row"),
    ("ptr", "runs"), ("i64", "count"), ("ptr noalias", "b"),
    ("ptr noalias", "y"), ("i64", "yq"), ("i64", "yp"), ("i64", "remaining"), ("i64", "accumulate"),
)  # fmt: skip


def conv_micro(dtype: DType, q: int, p: int, vectors: int, masked: bool, depthwise: bool) -> Kernel:
    """Return the micro-kernel of a tile of q by p output pixels and `vectors` vectors of output channels.

    ``y[pixel, channel] (+)= sum over runs (offset, length, row), over k < length, of a[pixel + offset + k] * b[k, channel]``, where b
    advances through all runs with the width of a panel; a run whose row is outside [first_row, end_row) reads padding only and is passed
    over. In the depthwise form a run is one tap: ``a[pixel + offset, channel] * b[channel]``. `masked` tiles store `remaining` channels;
    strides and offsets are in bytes.
    """
    key = ("conv_micro", dtype.name, q, p, vectors, masked, depthwise)
    return Kernel(key, lambda target: _emit_conv(target, dtype, q, p, vectors, masked, depthwise))


def _emit_conv(target: Target, dtype: DType, q: int, p: int, vectors: int, masked: bool, depthwise: bool) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", _CONV_ARGUMENTS)
    v = Vectors(f, target, dtype)

    def make_masks() -> list[str]:
        return [f.lane_mask("%remaining", v.lanes, h * v.lanes) if masked else "" for h in range(vectors)]

    masks = make_masks()
    outputs = _vector_addresses(f, v, _tile_rows(f, "%y", q, p, "%yq", "%yp"), vectors)
    accumulators = begin_sums(f, v, outputs, masks * (q * p), "%accumulate", aligned=False)
    pixels = Pixels(f, q, p, "%aq", "%ap")
    b_step = VECTORS * v.bytes
    with f.loop(0, "%count", 1, [("ptr", "%b"), *((v.type, a) for a in accumulators)]) as run:
        entry = f.gep("%runs", f.mul(run.index, 3), "i64")
        base = f.gep("%a", f.load("i64", entry, 8))
        b, sums = run.carried[0], run.carried[1:]
        if depthwise:
            pointers = pixels.pointers(base)
            sums = _tap(f, v, pixels, pointers, b, sums, masks)
            run.next = [f.gep(b, b_step), *sums]
        else:
            length = f.load("i64", f.gep(entry, 1, "i64"), 8)
            row = f.load("i64", f.gep(entry, 2, "i64"), 8)
            inside = f.value(f"and i1 {f.icmp('sge', row, '%first_row')}, {f.icmp('slt', row, '%end_row')}")
            sums = broadcast_rows(f, v, pixels, pixels.pointers(base), b, sums, f.select(inside, length, 0), vectors)
            run.next = [f.gep(b, f.mul(length, b_step)), *sums]
    # Made anew, so that no mask takes a register through the loops.
    for value, address, mask in zip(run.out[1:], outputs, make_masks() * (q * p), strict=True):
        v.store(value, address, mask)
    f.ret()
    return module.text()


def _tap(f: Function, v: Vectors, pixels: Pixels, pointers: list[str], b: str, sums: list[str], masks: list[str]) -> list[str]:
    """One tap of a depthwise tile: vectors of a times vectors of b."""
    vectors = len(masks)
    weights = [v.load(f.gep(b, h * v.bytes), aligned=True) for h in range(vectors)]
    result = list(sums)
    for pixel in range(pixels.q * pixels.p):
        address = pixels.address(pointers, pixel)
        for h in range(vectors):
            k = pixel * vectors + h
            result[k] = v.fma(v.load(f.gep(address, h * v.bytes) if h else address, masks[h]), weights[h], result[k])
    return result


def broadcast_rows(
    f: Function, v: Vectors, pixels: Pixels, pointers: list[str], b: str, sums: list[str], length: str, vectors: int
) -> list[str]:
    """The loops over `length` adjacent elements of each pixel and rows of a panel of b, unrolled and rest; the accumulators after it."""
    count, b_step = len(pointers), VECTORS * v.bytes
    unroll = 4 if pixels.q * pixels.p <= _UNROLLED_ROWS else 1
    whole = f.band(length, -unroll) if unroll > 1 else length
    state = [*pointers, b, *sums]
    types = ["ptr"] * (count + 1) + [v.type] * len(sums)
    for low, high, step in ((0, whole, unroll), (whole, length, 1))[: 2 if unroll > 1 else 1]:
        with f.loop(low, high, step, list(zip(types, state, strict=True))) as k:
            ps, bp, acc = k.carried[:count], k.carried[count], k.carried[count + 1 :]
            for u in range(step):
                row = f.gep(bp, u * b_step) if u else bp
                weights = [v.load(f.gep(row, h * v.bytes) if h else row, aligned=True) for h in range(vectors)]
                for pixel in range(pixels.q * pixels.p):
                    address = pixels.address(ps, pixel)
                    a = v.broadcast(f.gep(address, u * v.size) if u else address)
                    for h in range(vectors):
                        i = pixel * vectors + h
                        acc[i] = v.fma(a, weights[h], acc[i])
            k.next = [*(f.gep(pointer, step * v.size) for pointer in ps), f.gep(bp, step * b_step), *acc]
        state = k.out
    return state[count + 1 :]


# --- weight gradient ---------------------------------------------------------------------------------------------------------------------

_WEIGHT_ARGUMENTS = (
    ("ptr noalias", "a"), ("i64", "an"), ("i64", "ah"), ("i64", "aw"), ("i64", "aq"), ("i64", "ap"), ("ptr noalias", "b"), ("i64", "bn"),
    ("i64", "bh"), ("i64", "nn"), ("i64", "nh"), ("i64", "nw"), ("ptr noalias", "d"), ("i64", "dq"), ("i64", "accumulate"),
)  # fmt: skip


def weight_micro(dtype: DType, q: int, p: int, depthwise: bool) -> Kernel:
    """Return the micro-kernel of a tile of q by p weights (times a panel of output channels).

    ``d[i, j, channel] (+)= sum over images, rows and columns of a[pixel + i * aq + j] * b[pixel, channel]``: b holds the pixels of a row
    one after the other, a panel each; j counts elements. In the depthwise form j counts taps of stride `ap` and a is a panel too.
    """
    key = ("conv_weight_micro", dtype.name, q, p, depthwise)
    return Kernel(key, lambda target: _emit_weight(target, dtype, q, p, depthwise))


def _emit_weight(target: Target, dtype: DType, q: int, p: int, depthwise: bool) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", _WEIGHT_ARGUMENTS)
    v = Vectors(f, target, dtype)
    panel = VECTORS * v.bytes
    outputs = _vector_addresses(f, v, _tile_rows(f, "%d", q, p, "%dq", panel), VECTORS)
    masks = [""] * len(outputs)
    sums = begin_sums(f, v, outputs, masks, "%accumulate", aligned=True)
    with f.loop(0, "%nn", 1, [(v.type, s) for s in sums]) as image:
        a0, b0 = f.gep("%a", f.mul(image.index, "%an")), f.gep("%b", f.mul(image.index, "%bn"))
        with f.loop(0, "%nh", 1, [(v.type, s) for s in image.carried]) as row:
            state = [f.gep(a0, f.mul(row.index, "%ah")), f.gep(b0, f.mul(row.index, "%bh")), *row.carried]
            row.next = _row_of_weights(f, v, state, q, p, depthwise)
        image.next = row.out
    for value, address in zip(image.out, outputs, strict=True):
        v.store(value, address, aligned=True)
    f.ret()
    return module.text()


def _row_of_weights(f: Function, v: Vectors, state: list[str], q: int, p: int, depthwise: bool) -> list[str]:
    """The loop over the pixels of a row; `state` is a's pointer, b's pointer and the accumulators; returns the latter."""
    rows = [f.gep(state[0], f.mul("%aq", i)) if i else state[0] for i in range(q)]
    types = ["ptr"] * (q + 1) + [v.type] * (len(state) - 2)
    state = [*rows, *state[1:]]
    panel = VECTORS * v.bytes
    unroll = 2 if q * p <= _UNROLLED_ROWS and not depthwise else 1
    whole = f.band("%nw", -unroll) if unroll > 1 else "%nw"
    for low, high, step in ((0, whole, unroll), (whole, "%nw", 1))[: 2 if unroll > 1 else 1]:
        with f.loop(low, high, step, list(zip(types, state, strict=True))) as pixel:
            pointers, b, acc = pixel.carried[:q], pixel.carried[q], pixel.carried[q + 1 :]
            for _ in range(step):
                grads = [v.load(f.gep(b, h * v.bytes) if h else b) for h in range(VECTORS)]
                for i in range(q):
                    for j in range(p):
                        for h in range(VECTORS):
                            k = (i * p + j) * VECTORS + h
                            if depthwise:
                                x = v.load(f.gep(f.gep(pointers[i], f.mul("%ap", j)), h * v.bytes), aligned=True)
                            elif h == 0:
                                x = v.broadcast(f.gep(pointers[i], j * v.size))
                            acc[k] = v.fma(x, grads[h], acc[k])
                pointers = [f.gep(pointer, "%aw") for pointer in pointers]
                b = f.gep(b, panel)
            pixel.next = [*pointers, b, *acc]
        state = pixel.out
    return state[q + 1 :]
