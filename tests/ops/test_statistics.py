"""Order statistics, histograms, differences and integrals against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from tests.ops.parity import check, randn, torch
from trine.errors import ArgumentError, DTypeError, ShapeError

HOLES = np.array([[3.0, np.nan, 1.0, 2.0], [np.nan, np.nan, np.nan, np.nan], [1.0, 2.0, 3.0, 4.0]], np.float32)


@pytest.mark.parametrize("name", ["median", "nanmedian"])
def test_medians(name: str) -> None:
    ours, theirs = getattr(trine, name), getattr(torch, name)
    check(ours, theirs, randn(4, 5), dim=1)
    check(ours, theirs, randn(4, 5), dim=0, keepdim=True)
    check(ours, theirs, randn(4, 5))
    check(ours, theirs, HOLES, grad=False)
    check(lambda x: ours(x, 1).values, lambda x: theirs(x, 1).values, HOLES, grad=False)
    check(ours, theirs, np.array(2.5, np.float32))
    check(ours, theirs, np.array([3, 1, 2]))
    check(ours, theirs, np.zeros(0, np.float32), grad=False)
    with pytest.raises(ArgumentError, match="no elements"):
        ours(trine.zeros(2, 0), 1)


@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "nearest", "midpoint"])
def test_quantiles(name: str, interpolation: str) -> None:
    ours, theirs = getattr(trine, name), getattr(torch, name)
    for q in (0.3, np.array([0.0, 0.4, 1.0], np.float32)):
        check(ours, theirs, randn(3, 4), q, grad=isinstance(q, float), interpolation=interpolation)
        check(ours, theirs, randn(3, 4), q, 1, grad=isinstance(q, float), keepdim=True, interpolation=interpolation)
        check(ours, theirs, HOLES, q, dim=1, grad=False, interpolation=interpolation)
    check(ours, theirs, np.array(2.5, np.float32), 0.5, 0, interpolation=interpolation)


def test_bad_quantiles() -> None:
    for bad in (1.5, -0.1):
        with pytest.raises(ArgumentError, match="q is out of range"):
            trine.quantile(trine.ones(3), bad)
    with pytest.raises(ArgumentError, match="no such interpolation"):
        trine.quantile(trine.ones(3), 0.5, interpolation="cubic")
    with pytest.raises(DTypeError, match="wrong dtype"):
        trine.quantile(trine.arange(3), 0.5)


def test_mode() -> None:
    values = np.array([[1, 3, 3, 1, 2], [5, 4, 4, 4, 5]])
    for dtype in (np.int64, np.float32):
        check(trine.mode, torch.mode, values.astype(dtype))
        check(trine.mode, torch.mode, values.astype(dtype), 0, True)
    check(trine.mode, torch.mode, np.array([True, False, True]))
    check(trine.mode, torch.mode, np.array(3.0, np.float32))


RANGES: list[tuple[Any, dict[str, Any]]] = [
    (5, {}),
    (4, {"range": (-1.0, 1.0)}),
    (3, {"range": (0.5, 0.5)}),
    (5, {"density": True}),
    (np.array([-2.0, -0.5, 0.0, 1.5], np.float32), {}),
]


@pytest.mark.parametrize("bins,options", RANGES)
def test_histogram(bins: Any, options: dict[str, Any]) -> None:
    x = randn(20)
    check(trine.histogram, torch.histogram, x, bins, grad=False, **options)
    check(trine.histogram, torch.histogram, x, bins, grad=False, weight=np.abs(randn(20)), **options)


def test_elements_on_edges_are_counted_once() -> None:
    edges = np.linspace(0, 1, 11).astype(np.float32)
    check(trine.histogram, torch.histogram, edges, 10, grad=False, range=(0.0, 1.0))
    check(trine.histogram, torch.histogram, edges, edges, grad=False)
    check(trine.histogram, torch.histogram, np.ones(3, np.float32), 4, grad=False)


def test_histogram_of_points() -> None:
    x = randn(12, 2)
    check(lambda v: _flat(trine.histogramdd(v, [3, 4])), lambda v: _flat(torch.histogramdd(v, [3, 4])), x, grad=False)
    check(lambda v: _flat(trine.histogramdd(v, 3, density=True)), lambda v: _flat(torch.histogramdd(v, 3, density=True)), x, grad=False)
    limits = [-1.0, 1.0, -2.0, 2.0]
    check(lambda v: _flat(trine.histogramdd(v, 2, range=limits)), lambda v: _flat(torch.histogramdd(v, 2, range=limits)), x, grad=False)
    with pytest.raises(ArgumentError, match="the number of axes differs"):
        trine.histogramdd(trine.zeros(3, 2), [1, 2, 3])


def _flat(found: Any) -> list[Any]:
    return [found.hist, *found.bin_edges]


def test_counts() -> None:
    check(trine.histc, torch.histc, randn(20), 5, grad=False)
    check(trine.histc, torch.histc, np.ones(3, np.float32), 4, grad=False)
    check(trine.bincount, torch.bincount, np.array([0, 2, 2]), minlength=5)
    check(trine.bincount, torch.bincount, np.array([0, 2, 2]), randn(3), grad=False)
    with pytest.raises(ShapeError):
        trine.bincount(trine.ones(3))


def test_differences() -> None:
    x = randn(3, 4)
    check(trine.diff, torch.diff, x, 2)
    check(trine.diff, torch.diff, x, 1, 0, prepend=randn(1, 4), append=randn(2, 4))
    check(trine.diff, torch.diff, x, append=randn(3, 1))
    check(trine.diff, torch.diff, np.array([True, False, False]))


def test_integrals() -> None:
    y, x = randn(3, 4), np.sort(randn(4))
    for name in ("trapezoid", "cumulative_trapezoid"):
        ours, theirs = getattr(trine, name), getattr(torch, name)
        check(ours, theirs, y, dx=0.5, dim=0)
        check(ours, theirs, y, x)
        check(ours, theirs, y, randn(3, 4), dim=0)
        check(ours, theirs, np.array([1, 2, 4]))
        with pytest.raises(ArgumentError, match="positions and a spacing"):
            ours(trine.ones(2), trine.ones(2), dx=1.0)


def test_derivatives() -> None:
    y = randn(4, 5)
    for edge_order in (1, 2):
        check(trine.gradient, torch.gradient, y, edge_order=edge_order)
        check(trine.gradient, torch.gradient, y, spacing=0.5, dim=1, edge_order=edge_order)
        check(trine.gradient, torch.gradient, y, spacing=[2.0, 0.5], edge_order=edge_order)
        positions = (np.array([0.0, 1.0, 3.0, 4.0], np.float32), np.array([0.0, 1.0, 1.5, 4.0, 5.0], np.float32))
        check(trine.gradient, torch.gradient, y, spacing=positions, edge_order=edge_order, grad=False, rtol=1e-4, atol=1e-4)
    with pytest.raises(ArgumentError, match="the axis is too short"):
        trine.gradient(trine.ones(1))


def test_running_logarithms_do_not_lose_small_terms() -> None:
    check(trine.logcumsumexp, torch.logcumsumexp, np.array([-200.0, -199.0, 0.0, 100.0]), 0, rtol=1e-12)
    check(trine.logcumsumexp, torch.logcumsumexp, np.array([-np.inf, -np.inf, 1.0]), 0, grad=False)
