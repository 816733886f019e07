"""Index maps: which element of an array a point of a loop nest reads, as affine expressions, and how movement primitives change them.

An expression is ``(offset, ((axis, coefficient), ...))``: offset + sum(coefficient * position on that axis of the nest). An `Index` has
one expression for each axis of an array. Going from the result of a movement primitive to its operand transforms the expressions;
what is not affine (a reshape that cuts across axes) raises `NotAffine`, and the array is stored instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trine.core.graph import Node

Expression = tuple[int, tuple[tuple[int, int], ...]]
ZERO: Expression = (0, ())


class NotAffine(Exception):
    """The operand's position is not an affine function of the nest's position; `split` names (axis, inner size) if a split would help."""

    def __init__(self, split: tuple[int, int] | None = None) -> None:
        super().__init__(split)
        self.split = split


class Index:
    """The expressions of an array's axes, and bounds outside which `fill` is read instead (padding).

    Attributes:
        expressions: one for each axis of the array.
        bounds: (axis of the nest, low, high) triples.
        fill: the padding value, None without bounds.

    Equal ones are one object (`intern`), save that `forget` may have come between.
    """

    __slots__ = ("expressions", "bounds", "fill")

    def __init__(self, expressions: tuple[Expression, ...], bounds: tuple[tuple[int, int, int], ...] = (), fill: Any = None) -> None:
        self.expressions = expressions
        self.bounds = bounds
        self.fill = fill

    def __repr__(self) -> str:
        axes = []
        for offset, terms in self.expressions:
            parts = [f"{c}*i{a}" if c != 1 else f"i{a}" for a, c in terms]
            axes.append(" + ".join([*parts, str(offset)] if offset or not terms else parts))
        return "[" + ", ".join(axes) + "]" + (f" within {self.bounds} else {self.fill}" if self.bounds else "")


_KNOWN: dict[Any, Index] = {}
_IDENTITY: dict[tuple[int, ...], Index] = {}
_BROADCAST: dict[tuple[Index, tuple[int, ...]], Index] = {}


def intern(expressions: tuple[Expression, ...], bounds: tuple[tuple[int, int, int], ...] = (), fill: Any = None) -> Index:
    """Return the Index object with these fields."""
    key = (expressions, bounds, repr(fill)) if bounds else expressions
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = Index(expressions, bounds, fill if bounds else None)
    return found


def forget(limit: int = 1 << 14) -> None:
    """Drop the tables of known indices if they have grown past `limit`; to be called between compilations."""
    if len(_KNOWN) > limit or len(_BROADCAST) > limit:
        _KNOWN.clear()
        _IDENTITY.clear()
        _BROADCAST.clear()


def identity(shape: tuple[int, ...]) -> Index:
    """Return the index of an array that has one axis of the nest for each of its axes whose size is not 1, in order."""
    found = _IDENTITY.get(shape)
    if found is None:
        expressions: list[Expression] = []
        axis = 0
        for size in shape:
            if size == 1:
                expressions.append(ZERO)
            else:
                expressions.append((0, ((axis, 1),)))
                axis += 1
        found = _IDENTITY[shape] = intern(tuple(expressions))
    return found


def extents(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the extents of the nest that `identity` speaks of: the sizes other than 1."""
    return tuple([size for size in shape if size != 1])


def broadcast(index: Index, shape: tuple[int, ...]) -> Index:
    """Return the index of an operand of `shape` that is broadcast to the array that `index` speaks of."""
    key = (index, shape)
    found = _BROADCAST.get(key)
    if found is None:
        found = _BROADCAST[key] = intern(_broadcast(index.expressions, shape), index.bounds, index.fill)
    return found


def _broadcast(expressions: tuple[Expression, ...], shape: tuple[int, ...]) -> tuple[Expression, ...]:
    lead = len(expressions) - len(shape)
    return tuple([ZERO if size == 1 else expressions[k + lead] for k, size in enumerate(shape)])


def scale(expression: Expression, factor: int, offset: int) -> Expression:
    """Return expression * factor + offset."""
    return (expression[0] * factor + offset, tuple([(a, c * factor) for a, c in expression[1]]))


def add(a: Expression, b: Expression) -> Expression:
    """Return the sum of two expressions."""
    terms = dict(a[1])
    for axis, coefficient in b[1]:
        terms[axis] = terms.get(axis, 0) + coefficient
    return (a[0] + b[0], tuple(sorted((x, c) for x, c in terms.items() if c)))


# --- movement primitives: from the index of the result to the index of the operand ------------------------------------------------------


def _permute(node: Node, index: Index, sizes: Sequence[int]) -> Index:
    expressions: list[Expression] = [ZERO] * len(index.expressions)
    for k, axis in enumerate(node.attrs[0]):
        expressions[axis] = index.expressions[k]
    return intern(tuple(expressions), index.bounds, index.fill)


def _expand(node: Node, index: Index, sizes: Sequence[int]) -> Index:
    return broadcast(index, node.inputs[0].shape)


def _slice(node: Node, index: Index, sizes: Sequence[int]) -> Index:
    start, _, step = node.attrs
    operand = node.inputs[0].shape
    expressions = tuple([ZERO if operand[k] == 1 else scale(e, step[k], start[k]) for k, e in enumerate(index.expressions)])
    return intern(expressions, index.bounds, index.fill)


def _flip(node: Node, index: Index, sizes: Sequence[int]) -> Index:
    axes = node.attrs[0]
    shape = node.shape
    expressions = tuple([scale(e, -1, shape[k] - 1) if k in axes and shape[k] != 1 else e for k, e in enumerate(index.expressions)])
    return intern(expressions, index.bounds, index.fill)


def _pad(node: Node, index: Index, sizes: Sequence[int]) -> Index:
    low, _, value = node.attrs
    if index.bounds and repr(index.fill) != repr(value):
        raise NotAffine
    operand = node.inputs[0].shape
    expressions, bounds = [], list(index.bounds)
    for k, (offset, terms) in enumerate(index.expressions):
        size = operand[k]
        first = offset - low[k]
        if node.shape[k] == size:
            expressions.append((offset, terms))
            continue
        if not terms:
            if not 0 <= first < size:
                raise NotAffine
            expressions.append((first, terms))
            continue
        if len(terms) != 1:
            raise NotAffine
        axis, step = terms[0]
        # 0 <= first + step * i < size, for i in [begin, end)
        if step > 0:
            begin, end = -(first // step), -((first - size) // step)
        else:
            begin, end = -((size - 1 - first) // -step), first // -step + 1
        if begin > 0 or end < sizes[axis]:
            bounds.append((axis, max(begin, 0), min(end, sizes[axis])))
        expressions.append((first, terms))
    return intern(tuple(expressions), _intersect(bounds), value if bounds else index.fill)


def _intersect(bounds: list[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    merged: dict[int, tuple[int, int]] = {}
    for axis, low, high in bounds:
        before = merged.get(axis, (low, high))
        merged[axis] = (max(low, before[0]), min(high, before[1]))
    return tuple(sorted((axis, low, high) for axis, (low, high) in merged.items()))


def _reshape(node: Node, index: Index, sizes: Sequence[int]) -> Index:
    operand = node.inputs[0].shape
    shape = node.shape
    if 0 in shape:
        return intern(tuple([ZERO] * len(operand)), index.bounds, index.fill)
    result: list[Expression] = []
    i = j = 0
    while i < len(operand) or j < len(shape):
        # The shortest runs operand[i:i_end] and shape[j:j_end] with the same number of elements.
        i_end, j_end = i + 1, j + 1
        if i >= len(operand) or (j < len(shape) and shape[j] == 1 != operand[i]):
            j = j_end
            continue
        if j >= len(shape) or (operand[i] == 1 != shape[j]):
            result.append(ZERO)
            i = i_end
            continue
        a, b = operand[i], shape[j]
        while a != b:
            if a < b:
                a *= operand[i_end]
                i_end += 1
            else:
                b *= shape[j_end]
                j_end += 1
        if i_end - i == 1 and j_end - j == 1:
            result.append(index.expressions[j])
        else:
            flat = _flatten(index.expressions[j:j_end], shape[j:j_end])
            result.extend(_unflatten(flat, operand[i:i_end], sizes))
        i, j = i_end, j_end
    return intern(tuple(result), index.bounds, index.fill)


def _flatten(expressions: Sequence[Expression], shape: Sequence[int]) -> Expression:
    flat: Expression = ZERO
    for expression, size in zip(expressions, shape, strict=True):
        flat = add(scale(flat, size, 0), expression)
    return flat


def _unflatten(flat: Expression, shape: Sequence[int], sizes: Sequence[int]) -> list[Expression]:
    """Return one expression per axis of `shape` whose row-major combination is `flat`."""
    result: list[Expression] = []
    for size in reversed(shape[1:]):
        offset, terms = flat
        low: list[tuple[int, int]] = []
        outer: list[tuple[int, int]] = []
        for axis, coefficient in terms:
            (outer if coefficient % size == 0 else low).append((axis, coefficient))
        inner_offset = offset % size
        least = inner_offset + sum(min(c, 0) * (sizes[a] - 1) for a, c in low)
        most = inner_offset + sum(max(c, 0) * (sizes[a] - 1) for a, c in low)
        if least < 0 or most >= size:
            raise NotAffine(_split_of(low, size, sizes) if inner_offset == 0 else None)
        result.append((inner_offset, tuple(low)))
        flat = ((offset - inner_offset) // size, tuple([(a, c // size) for a, c in outer]))
    result.append(flat)
    result.reverse()
    return result


def _split_of(low: list[tuple[int, int]], size: int, sizes: Sequence[int]) -> tuple[int, int] | None:
    """Return (axis, inner size) such that splitting the axis makes the expression divisible by `size`."""
    for axis, coefficient in low:
        if coefficient > 0 and size % coefficient == 0:
            inner = size // coefficient
            if 1 < inner < sizes[axis] and sizes[axis] % inner == 0:
                return axis, inner
    return None


MOVEMENT: dict[str, Callable[[Node, Index, Sequence[int]], Index]] = {
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "flip": _flip,
    "pad": _pad,
}


def operand_index(node: Node, index: Index, sizes: Sequence[int]) -> Index:
    """Return the index of the operand of a movement node, given the node's index; `sizes` are the extents of the nest.

    Raises:
        NotAffine: the operand has to be stored and copied.
    """
    return MOVEMENT[node.op](node, index, sizes)


def element_strides(index: Index, strides: Sequence[int], rank: int) -> tuple[int, tuple[int, ...]]:
    """Return (offset, strides per axis of the nest) in elements, for an array with element strides `strides`."""
    offset = 0
    result = [0] * rank
    for (first, terms), stride in zip(index.expressions, strides, strict=True):
        offset += first * stride
        for axis, coefficient in terms:
            result[axis] += coefficient * stride
    return offset, tuple(result)


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the element strides of a row-major array."""
    strides, stride = [], 1
    for size in reversed(shape):
        strides.append(stride)
        stride *= size
    return tuple(reversed(strides))


def channels_last(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the element strides of an (N, C, *spatial) array stored as (N, *spatial, C)."""
    inner = shape[1]
    spatial = [inner * s for s in row_major(shape[2:])]
    total = inner
    for size in shape[2:]:
        total *= size
    return (total, 1, *spatial)
