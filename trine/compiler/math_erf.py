"""The error function and its complement.

float32 erf: x + x P(x**2) near 0 and 1 - exp(Q(|x|)) beyond (the two-branch scheme and coefficients of N. Juffa, Stack Overflow 35148198).
float64, and erfc: the rational approximations of FreeBSD's msun, s_erf.c (Sun Microsystems, 1993).
"""

from __future__ import annotations

from trine.compiler import math_exp
from trine.compiler.math_vector import Vector

_NEAR32 = (1.28379166e-1, -3.76125336e-1, 1.12819925e-1, -2.67681349e-2, 4.99119423e-3, -5.96761703e-4)
_FAR32 = (-1.28717512e-1, -6.34846687e-1, -1.06777877e-1, 2.42546219e-2, -3.88396438e-3, 3.83197126e-4, -1.72853470e-5)
_SPLIT32 = 475 / 512

_ERX = 8.45062911510467529297e-01
_PP = (
    1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02, -5.77027029648944159157e-03,
    -2.37630166566501626084e-05,
)  # fmt: skip
_QQ = (
    1.0, 3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03, 1.32494738004321644526e-04,
    -3.96022827877536812320e-06,
)  # fmt: skip
_PA = (
    -2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01, 3.18346619901161753674e-01,
    -1.10894694282396677476e-01, 3.54783043256182359371e-02, -2.16637559486879084300e-03,
)  # fmt: skip
_QA = (
    1.0, 1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02, 1.26171219808761642112e-01,
    1.36370839120290507362e-02, 1.19844998467991074170e-02,
)  # fmt: skip
_RA = (
    -9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e01, -6.23753324503260060396e01,
    -1.62396669462573470355e02, -1.84605092906711035994e02, -8.12874355063065934246e01, -9.81432934416914548592e00,
)  # fmt: skip
_SA = (
    1.0, 1.96512716674392571292e01, 1.37657754143519042600e02, 4.34565877475229228821e02, 6.45387271733267880336e02,
    4.29008140027567833386e02, 1.08635005541779435134e02, 6.57024977031928170135e00, -6.04244152148580987438e-02,
)  # fmt: skip
_RB = (
    -9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e01, -1.60636384855821916062e02,
    -6.37566443368389627722e02, -1.02509513161107724954e03, -4.83519191608651397019e02,
)  # fmt: skip
_SB = (
    1.0, 3.03380607434824582924e01, 3.25792512996573918826e02, 1.53672958608443695994e03, 3.19985821950859553908e03,
    2.55305040643316442583e03, 4.74528541206955367215e02, -2.24409524465858183362e01,
)  # fmt: skip


def erf(v: Vector, x: str) -> str:
    """Error function."""
    if v.bits == 64:
        return _erf64(v, x)
    a = v.abs(x)
    square = v.mul(x, x)
    near = v.fma(v.poly(square, _NEAR32), x, x)
    # -|x| + |x| Q(|x|) is the logarithm of 1 - erf; below -18 nothing of its exponential is left beside 1.
    bounded = v.clamp(a, None, 4.0)
    logarithm = v.fma(v.poly(bounded, _FAR32), bounded, v.neg(bounded))
    far = v.copysign(v.sub(v.c(1.0), math_exp.exp_of_sum(v, logarithm, None)), x)
    return v.where("ogt", a, v.c(_SPLIT32), far, near)


def _rational(v: Vector, x: str, numerator: tuple[float, ...], denominator: tuple[float, ...]) -> str:
    return v.div(v.poly(x, numerator), v.poly(x, denominator))


def _middle(v: Vector, a: str) -> str:
    """erf(a) - _ERX for a in [0.84375, 1.25]."""
    return _rational(v, v.sub(a, v.c(1.0)), _PA, _QA)


def _tail(v: Vector, a: str) -> str:
    """erfc(a) for a in [1.25, 28]: exp(-a**2 - 0.5625 + R / S) / a, with a**2 in two parts."""
    a = v.clamp(a, 1.25, 28.0)
    s = v.div(v.c(1.0), v.mul(a, a))
    early = v.compare("olt", a, v.c(1 / 0.35))
    top = v.select(early, v.poly(s, _RA), v.poly(s, _RB))
    bottom = v.select(early, v.poly(s, _SA), v.poly(s, _SB))
    z = v.from_int(v.int_op("and", v.to_int(a), -(1 << 32)))
    leading = v.sub(v.neg(v.mul(z, z)), v.c(0.5625))
    rest = v.add(v.mul(v.sub(z, a), v.add(z, a)), v.div(top, bottom))
    total = v.add(leading, rest)
    low = v.add(v.sub(leading, total), rest)
    return v.div(math_exp.exp_of_sum(v, v.clamp(total, -746.0, None), low), a)


def _erf64(v: Vector, x: str) -> str:
    a = v.abs(x)
    near = v.fma(_rational(v, v.mul(x, x), _PP, _QQ), x, x)
    middle = v.add(v.c(_ERX), _middle(v, a))
    far = v.sub(v.c(1.0), _tail(v, a))
    beyond = v.copysign(v.where("olt", a, v.c(1.25), middle, far), x)
    return v.where("oge", a, v.c(0.84375), beyond, near)


def erfc(v: Vector, x: str) -> str:
    """1 - erf(x), accurate in the tail. float32 goes through float64."""
    if v.bits == 32:
        return v.truncate(erfc(v.widened(), v.extend(x)))
    a = v.abs(x)
    # Near 0: 1 - (x + x y), as 1/2 - (x - 1/2 + x y) above 1/4 where 1 - x would lose bits.
    product = v.mul(_rational(v, v.mul(x, x), _PP, _QQ), x)
    offset = v.where("olt", x, v.c(0.25), v.c(0.0), v.c(0.5))
    near = v.sub(v.sub(v.c(1.0), offset), v.add(v.sub(x, offset), product))
    negative = v.compare("olt", x, v.c(0.0))
    change = _middle(v, a)
    middle = v.select(negative, v.add(v.c(1.0 + _ERX), change), v.sub(v.c(1.0 - _ERX), change))
    tail = _tail(v, a)
    far = v.select(negative, v.sub(v.c(2.0), tail), tail)
    return v.where("oge", a, v.c(0.84375), v.where("olt", a, v.c(1.25), middle, far), near)
