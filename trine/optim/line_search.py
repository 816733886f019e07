"""The line search of L-BFGS."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from trine.tensor import Tensor

Evaluate = Callable[[float], tuple[float, Tensor]]
_DECREASE, _SLOPE = 1e-4, 0.9


@dataclass
class Point:
    """A point on the line: its distance from the start, and loss, gradient and slope there."""

    length: float
    loss: float
    gradient: Tensor
    slope: float


def strong_wolfe(
    evaluate: Evaluate, length: float, d: Tensor, start: Point, *, tolerance_change: float = 1e-9, max_steps: int = 25
) -> tuple[Point, int]:
    """Return a point along the direction `d` that meets the strong Wolfe conditions (or the best one found), and the number of evaluations.

    Args:
        evaluate: length -> loss and gradient. length: the first trial. start: the point at length 0.

    Source: Nocedal and Wright, "Numerical Optimization", algorithms 3.5 and 3.6, with cubic interpolation.
    """
    calls = 0

    def probe(at: float) -> Point:
        nonlocal calls
        calls += 1
        loss, gradient = evaluate(at)
        return Point(at, loss, gradient, float(gradient.dot(d)))

    def is_too_high(point: Point) -> bool:
        return point.loss > start.loss + _DECREASE * point.length * start.slope

    bracket, steps = _bracket(probe, length, start, is_too_high, max_steps)
    if len(bracket) == 1:
        return bracket[0], calls
    extent = float(d.abs().max())
    is_stuck = False
    while steps < max_steps:
        low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
        if abs(bracket[1].length - bracket[0].length) * extent < tolerance_change:
            break
        at, is_stuck = _inside(_cubic_minimum(bracket[0], bracket[1]), bracket, is_stuck)
        point = probe(at)
        steps += 1
        if is_too_high(point) or point.loss >= bracket[low].loss:
            bracket[high] = point
            continue
        if abs(point.slope) <= -_SLOPE * start.slope:
            return point, calls
        if point.slope * (bracket[high].length - bracket[low].length) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = point
    return min(bracket, key=lambda point: point.loss), calls


def _bracket(
    probe: Callable[[float], Point], length: float, start: Point, is_too_high: Callable[[Point], bool], max_steps: int
) -> tuple[list[Point], int]:
    """Return two points with a good one between them, or one that is good itself; and the number of steps taken."""
    before, point = start, probe(length)
    for step in range(max_steps):
        if is_too_high(point) or (step > 1 and point.loss >= before.loss):
            return [before, point], step
        if abs(point.slope) <= -_SLOPE * start.slope:
            return [point], step
        if point.slope >= 0:
            return [before, point], step
        bounds = point.length + 0.01 * (point.length - before.length), point.length * 10
        before, point = point, probe(_cubic_minimum(before, point, bounds))
    return [start, point], max_steps


def _inside(at: float, bracket: list[Point], was_stuck: bool) -> tuple[float, bool]:
    """Keep a trial away from the ends of the bracket; return it, and whether it stayed near one."""
    least, greatest = sorted(point.length for point in bracket)
    margin = 0.1 * (greatest - least)
    if min(greatest - at, at - least) >= margin:
        return at, False
    if not was_stuck and least < at < greatest:
        return at, True
    return (greatest - margin if abs(at - greatest) < abs(at - least) else least + margin), False


def _cubic_minimum(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """Return where the cubic through two points and their slopes is least, within the bounds (the points themselves, if not given)."""
    if a.length > b.length:
        a, b = b, a
    least, greatest = bounds or (a.length, b.length)
    middle = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.length - b.length) if a.length != b.length else math.nan
    square = middle**2 - a.slope * b.slope
    if not square >= 0:
        return (least + greatest) / 2
    root = math.sqrt(square)
    bend = b.slope - a.slope + 2 * root
    if bend == 0:
        return (least + greatest) / 2
    at = b.length - (b.length - a.length) * ((b.slope + root - middle) / bend)
    return min(max(at, least), greatest)
