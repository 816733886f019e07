"""The elementwise primitives as LLVM IR: one table from the primitive's name to its emitter.

Registers are those of `trine.compiler.templates.loop_types`. A result of a half dtype is rounded to it and stays in a float register.
Float functions come from `trine.compiler.math`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trine.compiler import math
from trine.compiler.templates.loop_convert import bitcast, cast, round_to_half
from trine.compiler.templates.loop_types import Context
from trine.dtypes import DType, bool_, float32

# --- integers -----------------------------------------------------------------------------------------------------------------------


def _signed(op_signed: str, op_unsigned: str) -> Callable[[DType], str]:
    return lambda dtype: op_signed if dtype.is_signed else op_unsigned


_SMALLER = _signed("slt", "ult")
_DIVIDE = _signed("sdiv", "udiv")
_REMAINDER = _signed("srem", "urem")


def _safe_divisor(c: Context, b: str, dtype: DType) -> tuple[str, str]:
    """Return (b == 0, a divisor that cannot trap: 1 for 0 and for -1)."""
    zero = c.compare("eq", b, c.literal(0, dtype), dtype)
    unsafe = zero
    if dtype.is_signed:
        unsafe = c.binary("or", zero, c.compare("eq", b, c.literal(-1, dtype), dtype), bool_)
    return zero, c.select(unsafe, c.literal(1, dtype), b, dtype)


def _floor_div(c: Context, a: str, b: str, dtype: DType) -> str:
    """Divide rounding to -infinity; 0 where b is 0; wraps for the lowest value by -1."""
    zero, divisor = _safe_divisor(c, b, dtype)
    quotient = c.binary(_DIVIDE(dtype), a, divisor, dtype)
    if dtype.is_signed:
        rest = c.binary("sub", a, c.binary("mul", quotient, divisor, dtype), dtype)
        inexact = c.compare("ne", rest, c.literal(0, dtype), dtype)
        opposite = c.compare("slt", c.binary("xor", rest, divisor, dtype), c.literal(0, dtype), dtype)
        lower = c.binary("sub", quotient, c.literal(1, dtype), dtype)
        quotient = c.select(c.binary("and", inexact, opposite, bool_), lower, quotient, dtype)
        minus_one = c.compare("eq", b, c.literal(-1, dtype), dtype)
        quotient = c.select(minus_one, c.binary("sub", c.literal(0, dtype), a, dtype), quotient, dtype)
    return c.select(zero, c.literal(0, dtype), quotient, dtype)


def _remainder(c: Context, a: str, b: str, dtype: DType) -> str:
    """Return the remainder with the divisor's sign; 0 where b is 0."""
    zero, divisor = _safe_divisor(c, b, dtype)
    rest = c.binary(_REMAINDER(dtype), a, divisor, dtype)
    if dtype.is_signed:
        inexact = c.compare("ne", rest, c.literal(0, dtype), dtype)
        opposite = c.compare("slt", c.binary("xor", rest, divisor, dtype), c.literal(0, dtype), dtype)
        rest = c.select(c.binary("and", inexact, opposite, bool_), c.binary("add", rest, divisor, dtype), rest, dtype)
    return c.select(zero, c.literal(0, dtype), rest, dtype)


def _fmod(c: Context, a: str, b: str, dtype: DType) -> str:
    """Return the remainder with the dividend's sign; 0 where b is 0."""
    zero, divisor = _safe_divisor(c, b, dtype)
    return c.select(zero, c.literal(0, dtype), c.binary(_REMAINDER(dtype), a, divisor, dtype), dtype)


def _int_pow(c: Context, a: str, b: str, dtype: DType) -> str:
    """Raise to a power by repeated squaring, wrapping. A negative exponent gives 0, but for the bases 1 and -1."""
    type_ = c.type(dtype)
    if dtype.is_signed:
        unit = c.binary("or", c.compare("eq", a, c.literal(1, dtype), dtype), c.compare("eq", a, c.literal(-1, dtype), dtype), bool_)
        useless = c.binary(
            "and", c.compare("slt", b, c.literal(0, dtype), dtype), c.binary("xor", unit, c.literal(True, bool_), bool_), bool_
        )
        # A unit to the power of b depends on the last bit of b alone, so its other bits do no harm.
        a = c.select(useless, c.literal(0, dtype), a, dtype)
    one = c.literal(1, dtype)
    with c.function.loop(0, 8 * dtype.itemsize, 1, [(type_, one), (type_, a), (type_, b)]) as loop:
        result, base, exponent = loop.carried
        odd = c.compare("ne", c.binary("and", exponent, one, dtype), c.literal(0, dtype), dtype)
        result = c.select(odd, c.binary("mul", result, base, dtype), result, dtype)
        loop.next = [result, c.binary("mul", base, base, dtype), c.binary("lshr", exponent, one, dtype)]
    return loop.out[0]


def _shift(instruction: str) -> Callable[[Context, str, str, DType], str]:
    """Return the emitter of a shift; by the width or more (or by a negative number) everything is shifted out."""

    def emit(c: Context, a: str, b: str, dtype: DType) -> str:
        name = "ashr" if instruction == "lshr" and dtype.is_signed else instruction
        width = 8 * dtype.itemsize
        if name == "ashr":
            return c.binary(name, a, c.intrinsic("umin", dtype, b, c.literal(width - 1, dtype)), dtype)
        # The amount is made valid before the shift, because a larger one would be poison.
        shifted = c.binary(name, a, c.binary("and", b, c.literal(width - 1, dtype), dtype), dtype)
        return c.select(c.compare("ult", b, c.literal(width, dtype), dtype), shifted, c.literal(0, dtype), dtype)

    return emit


def _plain(instruction: str) -> Callable[[Context, str, str, DType], str]:
    return lambda c, a, b, dtype: c.binary(instruction, a, b, dtype)


def _extremum(name: str) -> Callable[[Context, str, str, DType], str]:
    def emit(c: Context, a: str, b: str, dtype: DType) -> str:
        return c.intrinsic(("s" if dtype.is_signed else "u") + name, dtype, a, b)

    return emit


_INTEGER_BINARY: dict[str, Callable[[Context, str, str, DType], str]] = {
    **{"add": _plain("add"), "sub": _plain("sub"), "mul": _plain("mul")},
    **{"bitwise_and": _plain("and"), "bitwise_or": _plain("or"), "bitwise_xor": _plain("xor")},
    **{"floor_div": _floor_div, "remainder": _remainder, "fmod": _fmod, "pow": _int_pow},
    **{"shift_left": _shift("shl"), "shift_right": _shift("lshr")},
    **{"maximum": _extremum("max"), "minimum": _extremum("min")},
}

# bool arithmetic is NumPy's: add is or, mul is and.
_BOOL_BINARY = {
    **{"add": "or", "mul": "and", "maximum": "or", "minimum": "and"},
    **{"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor", "sub": "xor"},
}


def _integer_unary(c: Context, op: str, x: str, dtype: DType) -> str:
    if op == "neg":
        return c.binary("sub", c.literal(0, dtype), x, dtype)
    if op == "bitwise_not":
        return c.binary("xor", x, c.literal(-1, dtype), dtype)
    if op == "abs" and dtype.is_signed:
        return c.intrinsic("abs", dtype, x, extra=(("i1", "false"),))
    if op == "sign":
        if not dtype.is_signed:
            return c.intrinsic("umin", dtype, x, c.literal(1, dtype))
        return c.intrinsic("smax", dtype, c.intrinsic("smin", dtype, x, c.literal(1, dtype)), c.literal(-1, dtype))
    return x  # abs of an unsigned value; floor, ceil, trunc and round of any; real, conj


_INTEGER_UNARY = frozenset("neg bitwise_not abs sign floor ceil trunc round real conj".split())
_BOOL_UNARY = frozenset("bitwise_not abs floor ceil trunc round real conj sign".split())

# --- floats -------------------------------------------------------------------------------------------------------------------------

_FLOAT_BINARY = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_FLOAT_UNARY = frozenset("neg abs sqrt reciprocal real conj sign".split())
# Exact results: nothing to round when the dtype is a half one.
_EXACT = frozenset("neg abs sign floor ceil trunc round maximum minimum copysign where real conj".split())


def is_known_number(value: str) -> bool:
    """Return True if a register is a literal that is not NaN (the quiet NaN's literal begins with 0x7FF8 or 0xFFF8)."""
    return "0x" in value and "%" not in value and "0x7FF8" not in value and "0xFFF8" not in value


def float_extremum(c: Context, op: str, a: str, b: str, dtype: DType) -> str:
    """Return the maximum or minimum; NaN wins. One instruction when an operand is a literal, three otherwise."""
    predicate = "ogt" if op == "maximum" else "olt"
    if is_known_number(b):
        a, b = b, a
    # An unordered comparison chooses b, so that a NaN in b wins; a NaN in a needs the second select.
    chosen = c.select(c.compare(predicate, a, b, dtype), a, b, dtype)
    if is_known_number(a):
        return chosen
    return c.select(c.compare("uno", a, a, dtype), a, chosen, dtype)


def _float_unary(c: Context, op: str, x: str, dtype: DType) -> str:
    if op == "neg":
        return c.value(f"fneg {c.type(dtype)} {x}")
    if op == "abs":
        return c.intrinsic("fabs", dtype, x)
    if op == "sqrt":
        return c.intrinsic("sqrt", dtype, x)
    if op == "reciprocal":
        return c.binary("fdiv", c.literal(1, dtype), x, dtype)
    if op == "sign":
        # Keeps NaN and zero; +-1 otherwise.
        one = c.intrinsic("copysign", dtype, c.literal(1, dtype), x)
        nonzero = c.compare("one", x, c.literal(0, dtype), dtype)
        return c.select(nonzero, one, x, dtype)
    return x


def _float_test(c: Context, op: str, x: str, dtype: DType) -> str:
    if op == "isnan":
        return c.compare("uno", x, x, dtype)
    if op == "logical_not":
        return c.compare("oeq", x, c.literal(0, dtype), dtype)
    magnitude = c.intrinsic("fabs", dtype, x)
    return c.compare("oeq" if op == "isinf" else "olt", magnitude, c.literal(float("inf"), dtype), dtype)


_TESTS = frozenset("isnan isinf isfinite logical_not".split())
_COMPARISONS = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}


def _compare(c: Context, op: str, a: str, b: str, dtype: DType) -> str:
    if dtype.is_floating_point:
        return c.compare("une" if op == "ne" else "o" + op, a, b, dtype)
    if op in ("eq", "ne"):
        return c.compare(op, a, b, dtype)
    return c.compare(("s" if dtype.is_signed else "u") + op, a, b, dtype)


def _test(c: Context, op: str, x: str, dtype: DType) -> str:
    if dtype.is_floating_point:
        return _float_test(c, op, x, dtype)
    if op == "logical_not":
        return c.compare("eq", x, c.literal(0, dtype), dtype)
    return c.literal(op == "isfinite", bool_)


# --- what there is ------------------------------------------------------------------------------------------------------------------

_ANY_DTYPE = frozenset("where cast bitcast stop_gradient check_index eq ne lt le gt ge isnan isinf isfinite logical_not".split())
# A step of nextafter in a half type is not one of float32.
_NOT_FOR_HALF = frozenset({"nextafter"})


def is_supported(op: str, dtype: DType) -> bool:
    """Return True if an elementwise primitive on operands of `dtype` has an emitter."""
    if dtype.is_complex:
        return False
    if op in _ANY_DTYPE:
        return True
    if dtype is bool_:
        return op in _BOOL_BINARY or op in _BOOL_UNARY
    if dtype.is_integer:
        return op in _INTEGER_BINARY or op in _INTEGER_UNARY
    if dtype.is_half and op in _NOT_FOR_HALF:
        return False
    return op in _FLOAT_UNARY or math.is_supported(op, dtype)


# --- the table ----------------------------------------------------------------------------------------------------------------------


def emit_elementwise(c: Context, op: str, args: Sequence[str], source: DType, dtype: DType) -> str:
    """Emit one elementwise primitive.

    Args:
        op: name of the primitive; `unsupported(op, source)` must be False.
        args: registers of dtype `source` (`where`: the condition first, then registers of dtype `dtype`).
        source: dtype of the operands.
        dtype: dtype of the result.
    """
    if op == "where":
        return c.select(args[0], args[1], args[2], dtype)
    if op == "cast":
        return cast(c, args[0], source, dtype)
    if op == "bitcast":
        return bitcast(c, args[0], source, dtype)
    if op == "stop_gradient":
        return args[0]
    if op in _TESTS:
        return _test(c, op, args[0], source)
    if op in _COMPARISONS:
        return _compare(c, op, args[0], args[1], source)
    if source is bool_:
        return _bool_op(c, op, args)
    if source.is_integer:
        return _integer_unary(c, op, args[0], source) if len(args) == 1 else _INTEGER_BINARY[op](c, args[0], args[1], source)
    result = _float_op(c, op, args, source)
    return round_to_half(c, result, dtype) if dtype.is_half and op not in _EXACT else result


def _bool_op(c: Context, op: str, args: Sequence[str]) -> str:
    if len(args) == 2:
        return c.binary(_BOOL_BINARY[op], args[0], args[1], bool_)
    return c.binary("xor", args[0], c.literal(True, bool_), bool_) if op == "bitwise_not" else args[0]


def _float_op(c: Context, op: str, args: Sequence[str], dtype: DType) -> str:
    compute = float32 if dtype.is_half else dtype
    if len(args) == 1:
        if op in _FLOAT_UNARY:
            return _float_unary(c, op, args[0], compute)
        return math.emit_unary(c.function, op, args[0], compute, c.lanes)
    if op in _FLOAT_BINARY:
        return c.binary(_FLOAT_BINARY[op], args[0], args[1], compute)
    if op in ("maximum", "minimum"):
        return float_extremum(c, op, args[0], args[1], compute)
    return math.emit_binary(c.function, op, args[0], args[1], compute, c.lanes)
