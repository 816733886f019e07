"""Conversions between dtypes in registers, and the half types' way from and to memory.

A half value lives in a float register. Rounding to a half type is to nearest, ties to even, from float32: wider values become float32
first.
"""

from __future__ import annotations

from trine.compiler.templates.loop_types import Context, register_type, vector_type
from trine.dtypes import DType, bool_, float32, float64, int16, int32, int64, uint16, uint32

# --- half types ---------------------------------------------------------------------------------------------------------------------


def from_half_bits(c: Context, bits: str, dtype: DType) -> str:
    """Return the float value of float16 or bfloat16 bits (``i16`` lanes)."""
    half, word, single = (vector_type(t, c.lanes) for t in ("i16", "i32", "float"))
    if dtype.name == "bfloat16":
        wide = c.value(f"zext {half} {bits} to {word}")
        shifted = c.binary("shl", wide, c.literal(16, int32), int32)
        return c.value(f"bitcast {word} {shifted} to {single}")
    if c.target.has_half_conversion:
        value = c.value(f"bitcast {half} {bits} to {vector_type('half', c.lanes)}")
        return c.value(f"fpext {vector_type('half', c.lanes)} {value} to {single}")
    return _float16_to_float(c, bits)


def to_half_bits(c: Context, x: str, dtype: DType) -> str:
    """Return the bits (``i16`` lanes) of a float register that holds a value of float16 or bfloat16."""
    half, word, single = (vector_type(t, c.lanes) for t in ("i16", "i32", "float"))
    if dtype.name == "float16" and c.target.has_half_conversion:
        value = c.value(f"fptrunc {single} {x} to {vector_type('half', c.lanes)}")
        return c.value(f"bitcast {vector_type('half', c.lanes)} {value} to {half}")
    bits = c.value(f"bitcast {single} {x} to {word}")
    wide = _float_to_float16(c, x, bits) if dtype.name == "float16" else c.binary("lshr", bits, c.literal(16, int32), int32)
    return c.value(f"trunc {word} {wide} to {half}")


def round_to_half(c: Context, x: str, dtype: DType) -> str:
    """Round a float register to a half dtype; the result is a float register."""
    if dtype.name == "float16":
        return from_half_bits(c, to_half_bits(c, x, dtype), dtype)
    word, single = vector_type("i32", c.lanes), vector_type("float", c.lanes)
    bits = c.value(f"bitcast {single} {x} to {word}")
    odd = c.binary("and", c.binary("lshr", bits, c.literal(16, int32), int32), c.literal(1, int32), int32)
    rounded = c.binary("add", c.binary("add", bits, c.literal(0x7FFF, int32), int32), odd, int32)
    # NaN keeps its sign and the high part of its payload, and gets the quiet bit.
    quiet = c.binary("or", bits, c.literal(0x400000, int32), int32)
    chosen = c.select(c.compare("uno", x, x, float32), quiet, rounded, int32)
    return c.value(f"bitcast {word} {c.binary('and', chosen, c.literal(0xFFFF0000, int32), int32)} to {single}")


def _float_to_float16(c: Context, x: str, bits: str) -> str:
    """Return the float16 bits in the low half of i32 lanes, by integer arithmetic (for processors without the conversion)."""

    def i(value: int) -> str:
        return c.literal(value, int32)

    magnitude = c.binary("and", bits, i(0x7FFFFFFF), int32)
    sign = c.binary("lshr", c.binary("xor", bits, magnitude, int32), i(16), int32)
    # Normal results: move the exponent's bias from 127 to 15 and round at bit 13.
    odd = c.binary("and", c.binary("lshr", magnitude, i(13), int32), i(1), int32)
    rebiased = c.binary("add", c.binary("add", magnitude, i(0xFFF - (112 << 23)), int32), odd, int32)
    normal = c.binary("lshr", rebiased, i(13), int32)
    # Subnormal results: adding 0.5 lets the floating point adder round at 2**-24.
    word, single = c.type(int32), c.type(float32)
    value = c.value(f"bitcast {word} {magnitude} to {single}")
    summed = c.value(f"bitcast {single} {c.binary('fadd', value, c.literal(0.5, float32), float32)} to {word}")
    subnormal = c.binary("sub", summed, i(0x3F000000), int32)
    result = c.select(c.compare("ult", magnitude, i(113 << 23), int32), subnormal, normal, int32)
    result = c.select(c.compare("ugt", magnitude, i(0x477FEFFF), int32), i(0x7C00), result, int32)
    payload = c.binary("and", c.binary("lshr", magnitude, i(13), int32), i(0x3FF), int32)
    nan = c.binary("or", payload, i(0x7E00), int32)
    result = c.select(c.compare("uno", x, x, float32), nan, result, int32)
    return c.binary("or", result, sign, int32)


def _float16_to_float(c: Context, bits: str) -> str:
    """Return the float of float16 bits by integer arithmetic."""

    def i(value: int) -> str:
        return c.literal(value, int32)

    word, single = c.type(int32), c.type(float32)
    wide = c.value(f"zext {c.type(int16)} {bits} to {word}")
    magnitude = c.binary("shl", c.binary("and", wide, i(0x7FFF), int32), i(13), int32)
    sign = c.binary("shl", c.binary("and", wide, i(0x8000), int32), i(16), int32)
    exponent = c.binary("and", magnitude, i(0x1F << 23), int32)
    normal = c.binary("add", magnitude, i(112 << 23), int32)
    special = c.binary("add", magnitude, i(224 << 23), int32)
    # Subnormal: give it the implicit bit of 2**-14, then subtract that again.
    offset = c.value(f"bitcast {word} {c.binary('add', magnitude, i(113 << 23), int32)} to {single}")
    small = c.binary("fsub", offset, c.literal(2.0**-14, float32), float32)
    subnormal = c.value(f"bitcast {single} {small} to {word}")
    result = c.select(c.compare("eq", exponent, i(0x1F << 23), int32), special, normal, int32)
    result = c.select(c.compare("eq", exponent, i(0), int32), subnormal, result, int32)
    return c.value(f"bitcast {word} {c.binary('or', result, sign, int32)} to {single}")


# --- memory -------------------------------------------------------------------------------------------------------------------------


def memory_type(dtype: DType) -> str:
    """Return the type with which an element is loaded and stored: half types as ``i16``, bool as ``i8``."""
    return "i16" if dtype.is_half else "i8" if dtype is bool_ else register_type(dtype)


def from_memory(c: Context, x: str, dtype: DType) -> str:
    """Convert what was loaded to a register."""
    if dtype is bool_:
        zero = "0" if c.lanes == 1 else "zeroinitializer"
        return c.value(f"icmp ne {vector_type('i8', c.lanes)} {x}, {zero}")
    return from_half_bits(c, x, dtype) if dtype.is_half else x


def to_memory(c: Context, x: str, dtype: DType) -> str:
    """Convert a register to what is stored."""
    if dtype is bool_:
        return c.value(f"zext {c.type(bool_)} {x} to {vector_type('i8', c.lanes)}")
    return to_half_bits(c, x, dtype) if dtype.is_half else x


# --- casts --------------------------------------------------------------------------------------------------------------------------


def cast(c: Context, x: str, source: DType, dtype: DType) -> str:
    """Convert a register from one dtype to another, as NumPy's `astype` does on x86-64."""
    if source is dtype:
        return x
    if dtype is bool_:
        return c.compare("une" if source.is_floating_point else "ne", x, c.literal(0, source), source)
    if source.is_floating_point:
        return _float_to_float(c, x, source, dtype) if dtype.is_floating_point else _float_to_integer(c, x, source, dtype)
    if dtype.is_floating_point:
        return _integer_to_float(c, x, source, dtype)
    return _resize(c, x, source, dtype)


def _resize(c: Context, x: str, source: DType, dtype: DType) -> str:
    bits, wanted = (1 if source is bool_ else 8 * source.itemsize), 8 * dtype.itemsize
    if bits == wanted:
        return x
    name = "trunc" if bits > wanted else "sext" if source.code == "i" else "zext"
    return c.value(f"{name} {c.type(source)} {x} to {c.type(dtype)}")


def _float_to_float(c: Context, x: str, source: DType, dtype: DType) -> str:
    if source is float64:
        x = c.value(f"fptrunc {c.type(float64)} {x} to {c.type(float32)}")
    elif dtype is float64:
        return c.value(f"fpext {c.type(source)} {x} to {c.type(float64)}")
    # Between float32 and the half types; a half value is exact in a float register, but not in the other half type.
    return round_to_half(c, x, dtype) if dtype.is_half else x


def _float_to_integer(c: Context, x: str, source: DType, dtype: DType) -> str:
    """Truncate. Out of range: the lowest value of the intermediate type (int32; int64 for uint32 and 64 bits), then its low bits."""
    if dtype.name == "uint64":
        return _float_to_uint64(c, x, source)
    wide = int32 if dtype.itemsize < 4 or dtype is int32 else int64
    # Poison is what LLVM calls an out-of-range result; `freeze` makes it the processor's value.
    converted = c.value(f"fptosi {c.type(source)} {x} to {c.type(wide)}")
    return _resize(c, c.value(f"freeze {c.type(wide)} {converted}"), wide, dtype)


def _float_to_uint64(c: Context, x: str, source: DType) -> str:
    limit = c.literal(2.0**63, source)
    high = c.compare("oge", x, limit, source)
    reduced = c.select(high, c.binary("fsub", x, limit, source), x, source)
    converted = c.value(f"freeze {c.type(int64)} " + c.value(f"fptosi {c.type(source)} {reduced} to {c.type(int64)}"))
    return c.select(high, c.binary("xor", converted, c.literal(-(1 << 63), int64), int64), converted, int64)


def _integer_to_float(c: Context, x: str, source: DType, dtype: DType) -> str:
    name = "sitofp" if source.code == "i" else "uitofp"
    if not dtype.is_half:
        return c.value(f"{name} {c.type(source)} {x} to {c.type(dtype)}")
    return round_to_half(c, c.value(f"{name} {c.type(source)} {x} to {c.type(float32)}"), dtype)


def bitcast(c: Context, x: str, source: DType, dtype: DType) -> str:
    """Reinterpret the bits of a register as another dtype of the same size."""
    integer = uint16 if source.is_half else uint32 if source.itemsize == 4 else int64
    if source.is_half:
        bits = to_half_bits(c, x, source)
    elif source.is_floating_point:
        bits = c.value(f"bitcast {c.type(source)} {x} to {c.type(integer)}")
    elif source is bool_:
        bits = to_memory(c, x, bool_)
    else:
        bits = x
    if dtype is bool_ or dtype.is_half:
        return from_memory(c, bits, dtype)
    if dtype.is_floating_point:
        return c.value(f"bitcast {c.type(integer)} {bits} to {c.type(dtype)}")
    return bits
