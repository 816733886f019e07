"""Gradient rules of linear algebra and Fourier transforms against central differences, second order included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trine import dtypes
from trine.autograd.differences import gradcheck
from trine.core import build as b
from trine.core import build_linalg as la
from trine.core.graph import Node

RNG = np.random.default_rng(0)
SQUARE = RNG.standard_normal((2, 3, 3)) + 3 * np.eye(3)
POSITIVE = SQUARE @ SQUARE.swapaxes(-1, -2)
TALL, WIDE = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 5))
RIGHT, LONG = RNG.standard_normal((2, 3, 2)), RNG.standard_normal((4, 2))


def all_parts(decompose: Callable[[Node], Node]) -> Callable[[Node], Node]:
    """Return a function whose result has all parts of a decomposition in one axis."""
    return lambda x: b.concat([b.reshape(p, (-1,)) for p in la.parts(decompose(x))], 0)


def symmetric(x: Node) -> Node:
    return b.add(x, b.transpose(x))


def pseudo_inverse(x: Node) -> Node:
    return la.pinv(x, b.const(0, x.dtype), b.const(1e-10, x.dtype))


def lower(x: Node) -> Node:
    return la.cholesky(symmetric(x))


CASES = {
    "inv": (la.inv, SQUARE),
    "solve": (la.solve, SQUARE, RIGHT),
    "pinv of tall": (pseudo_inverse, TALL),
    "pinv of wide": (pseudo_inverse, WIDE),
    "lstsq of tall": (lambda x, y: la.lstsq(x, y, 1e-10), TALL, LONG),
    "lstsq of wide": (lambda x, y: la.lstsq(x, y, 1e-10), WIDE, RIGHT[0]),
    "det": (la.det, SQUARE),
    "slogdet": (all_parts(la.slogdet), SQUARE),
    "matrix_exp": (la.matrix_exp, SQUARE * 0.3),
    "cholesky": (lower, POSITIVE),
    "cholesky_solve": (lambda x, y: la.cholesky_solve(lower(x), y), POSITIVE, RIGHT),
    "lu": (all_parts(la.lu), SQUARE),
    "lu of tall": (all_parts(la.lu), TALL),
    "lu of wide": (all_parts(la.lu), WIDE),
    "qr": (all_parts(la.qr), SQUARE),
    "qr of tall": (all_parts(la.qr), TALL),
    "qr of wide": (all_parts(la.qr), WIDE),
    "eigh": (lambda x: all_parts(la.eigh)(symmetric(x)), POSITIVE),
    "svd": (all_parts(la.svd), SQUARE[0]),
    "svd of tall": (all_parts(la.svd), TALL),
    "svd of wide": (all_parts(la.svd), WIDE),
}


@pytest.mark.parametrize("name", CASES)
def test_second_order(name: str) -> None:
    function, *points = CASES[name]
    gradcheck(function, *points, second_order=True, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_lower", [True, False])
@pytest.mark.parametrize("unit", [True, False])
def test_triangular_solve(is_lower: bool, unit: bool) -> None:
    gradcheck(lambda x, y: la.triangular_solve(x, y, is_lower, unit), SQUARE, RIGHT, second_order=True, rtol=1e-4, atol=1e-5)


def test_values_of_equal_size_have_a_gradient() -> None:
    gradcheck(lambda x: b.sum(la.parts(la.svd(x))[1], (0,)), np.eye(3) * 2, rtol=1e-4, atol=1e-5)
    gradcheck(lambda x: b.sum(la.parts(la.eigh(symmetric(x)))[0], (0,)), np.eye(3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [5, 6])
def test_fourier(length: int) -> None:
    signal = RNG.standard_normal((2, length))

    def half(x: Node) -> Node:
        spectrum = la.rfft(x, 1)
        return b.concat([b.real(spectrum), b.imag(spectrum)], 1)

    def whole(x: Node) -> Node:
        spectrum = la.fft(b.cast(x, dtypes.complex128), (0, 1))
        again = la.fft(b.mul(spectrum, spectrum), 1, inverse=True)
        return b.concat([b.real(again), b.imag(again)], 1)

    for function in (half, whole, lambda x: la.irfft(la.rfft(x, 1), 1, length)):
        gradcheck(function, signal, second_order=True, rtol=1e-4, atol=1e-4)
