"""How loop kernels walk their arrays: addresses, bounds, and vector loads and stores of any stride."""

from __future__ import annotations

from trine.compiler.ir import intrinsic_suffix
from trine.compiler.templates.loop_convert import from_memory, memory_type, to_memory
from trine.compiler.templates.loop_types import Context, vector_type
from trine.dtypes import DType


def lane_numbers(lanes: int, element: str) -> str:
    """Return the literal ``<0, 1, 2, …>``."""
    return "<" + ", ".join(f"{element} {i}" for i in range(lanes)) + ">"


def lanes_below(c: Context, limit: str) -> str:
    """Return the mask of the lanes whose number is less than `limit` (i64, any value)."""
    f = c.function
    clamped = f.max(f.min(limit, c.lanes), 0)
    if c.lanes == 1:
        return f.icmp("sgt", clamped, 0)
    splat = f.splat(f.value(f"trunc i64 {clamped} to i32"), c.lanes, "i32")
    return f.value(f"icmp ult <{c.lanes} x i32> {lane_numbers(c.lanes, 'i32')}, {splat}")


def lanes_between(c: Context, low: str, high: str) -> str:
    """Return the mask of the lanes with low <= number < high."""
    below, above = lanes_below(c, low), lanes_below(c, high)
    mask = f"<{c.lanes} x i1>"
    return c.value(f"and {mask} {above}, " + c.value(f"xor {mask} {below}, {all_lanes(c.lanes)}"))


def all_lanes(lanes: int) -> str:
    """Return the mask of all lanes."""
    return "<" + ", ".join(["i1 true"] * lanes) + ">"


def lane_offsets(c: Context, stride: str, wide: bool) -> str:
    """Return the byte offsets of the lanes of a strided access, in 32 bits unless `wide`."""
    f = c.function
    element = "i64" if wide else "i32"
    scalar = stride if wide else f.value(f"trunc i64 {stride} to i32")
    return f.value(f"mul <{c.lanes} x {element}> {f.splat(scalar, c.lanes, element)}, {lane_numbers(c.lanes, element)}")


def gather_pointers(c: Context, pointer: str, offsets: str, wide: bool) -> str:
    """Return the addresses of the lanes."""
    element = "i64" if wide else "i32"
    return c.value(f"getelementptr i8, ptr {pointer}, <{c.lanes} x {element}> {offsets}")


def load_scalar(c: Context, pointer: str, dtype: DType, condition: str | None, fill: str) -> str:
    """Load one element; where `condition` is false nothing of the array is read and the result is `fill`."""
    f = c.function
    # The parameter block is always readable: it stands in for an address out of bounds.
    address = f.select(condition, pointer, "%params", "ptr") if condition else pointer
    value = from_memory(c, f.load(memory_type(dtype), address, dtype.itemsize), dtype)
    return c.select(condition, value, fill, dtype) if condition else value


def load_vector(c: Context, pointer: str, dtype: DType, mask: str | None) -> str:
    """Load consecutive elements; lanes outside the mask give 0."""
    f = c.function
    vector = vector_type(memory_type(dtype), c.lanes)
    if mask is None:
        return from_memory(c, f.load(vector, pointer, dtype.itemsize), dtype)
    return from_memory(c, f.masked_load(vector, pointer, mask, c.lanes, dtype.itemsize), dtype)


def gather(c: Context, pointers: str, dtype: DType, mask: str | None) -> str:
    """Load one element per lane; lanes outside the mask give 0."""
    vector = vector_type(memory_type(dtype), c.lanes)
    arguments = (
        (f"<{c.lanes} x ptr>", pointers),
        ("i32", str(dtype.itemsize)),
        (f"<{c.lanes} x i1>", mask or all_lanes(c.lanes)),
        (vector, "zeroinitializer"),
    )
    name = f"llvm.masked.gather.{intrinsic_suffix(vector)}.v{c.lanes}p0"
    return from_memory(c, c.function.call(vector, name, *arguments), dtype)


def store_vector(c: Context, pointer: str, x: str, dtype: DType, mask: str | None) -> None:
    """Store consecutive elements in the lanes of the mask."""
    vector = vector_type(memory_type(dtype), c.lanes)
    value = to_memory(c, x, dtype)
    if mask is None:
        c.function.store(vector, value, pointer, dtype.itemsize)
    else:
        c.function.masked_store(vector, value, pointer, mask, c.lanes, dtype.itemsize)


def scatter(c: Context, pointers: str, x: str, dtype: DType, mask: str | None) -> None:
    """Store one element per lane of the mask."""
    vector = vector_type(memory_type(dtype), c.lanes)
    arguments = (
        (vector, to_memory(c, x, dtype)),
        (f"<{c.lanes} x ptr>", pointers),
        ("i32", str(dtype.itemsize)),
        (f"<{c.lanes} x i1>", mask or all_lanes(c.lanes)),
    )
    c.function.call("void", f"llvm.masked.scatter.{intrinsic_suffix(vector)}.v{c.lanes}p0", *arguments)


def parse_number(text: str, dtype: DType) -> float | int | bool:
    """Return the number whose repr is in a kernel's key."""
    if dtype.is_floating_point:
        return float(text)
    return text not in ("False", "0") if dtype.code == "b" else int(float(text)) if "." in text or "e" in text else int(text)
