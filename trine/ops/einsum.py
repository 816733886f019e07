"""Einstein summation: any equation, contracted pair by pair in the order that needs the fewest multiplications."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.contraction import check_same_dtype, contract
from trine.ops.movement import diagonal_nodes
from trine.tensor import Tensor, record

__all__ = ["einsum"]

Labels = tuple[str, ...]
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_EXHAUSTIVE = 8
"""Up to this many operands all orders are looked at: 3^8 splits of subsets; a greedy search beyond."""


def _parse(equation: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """Return the labels of each operand's axes and of the result's; hidden axes of an ellipsis are called "...1" from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        received, expected = f"{len(ranks)} for {equation!r}", f"{len(terms)} operands"
        raise ArgumentError(message("einsum: wrong number of operands", received=received, expected=expected))
    operands, widest = [], 0
    for term, rank in zip(terms, ranks, strict=True):
        head, dots, tail = term.partition("...")
        count = rank - len(head) - len(tail)
        letters = head + tail
        if count < 0 or (count and not dots) or any(letter not in _LETTERS for letter in letters):
            expected = "one letter for each axis, or an ellipsis for the rest"
            raise ArgumentError(message("einsum: labels do not fit", received=f"{term!r} for {rank} axes", expected=expected))
        widest = max(widest, count)
        operands.append((*head, *[f"...{count - k}" for k in range(count)], *tail))
    ellipsis = tuple([f"...{widest - k}" for k in range(widest)])
    if arrow:
        head, dots, tail = right.partition("...")
        result: Labels = (*head, *(ellipsis if dots else ()), *tail)
    else:
        seen = [label for labels in operands for label in labels if label in _LETTERS]
        result = (*ellipsis, *sorted(label for label in set(seen) if seen.count(label) == 1))
    if len(set(result)) != len(result) or any(all(label not in labels for labels in operands) for label in result):
        raise ArgumentError(message("einsum: the result's labels", received=repr(equation), expected="labels of the operands, each once"))
    return operands, result


def _sizes(nodes: Sequence[Node], operands: Sequence[Labels]) -> dict[str, int]:
    """Return the size of each label; 1 broadcasts."""
    sizes: dict[str, int] = {}
    for node, labels in zip(nodes, operands, strict=True):
        for label, extent in zip(labels, node.shape, strict=True):
            known = sizes.get(label, 1)
            if extent not in (1, known) and known != 1:
                received = f"{known} and {extent} for {label!r}"
                raise ShapeError(message("einsum: sizes of one label differ", received=received, expected="equal sizes, or 1"))
            sizes[label] = max(known, extent) if 0 not in (known, extent) else 0
    return sizes


# --- the order ---------------------------------------------------------------------------------------------------------------------------

Order = list[tuple[int, int]]


def contraction_order(operands: Sequence[frozenset[str]], result: frozenset[str], sizes: dict[str, int]) -> Order:
    """Return pairs of operand numbers to contract one after the other; each contraction appends its result as a new operand.

    Up to `_EXHAUSTIVE` operands the cheapest order of all (dynamic programming over subsets); beyond, the pair whose contraction shrinks
    the operands most comes first (Smith and Gray, opt_einsum, 2018).
    """
    if len(operands) <= 2:
        return [(0, 1)] if len(operands) == 2 else []
    return _best_order(operands, result, sizes) if len(operands) <= _EXHAUSTIVE else _greedy_order(operands, result, sizes)


def _volume(labels: frozenset[str], sizes: dict[str, int]) -> int:
    return math.prod([sizes[label] for label in labels])


def _best_order(operands: Sequence[frozenset[str]], result: frozenset[str], sizes: dict[str, int]) -> Order:
    count = len(operands)
    everything = (1 << count) - 1
    inside = [frozenset[str]()] * (everything + 1)
    for subset in range(1, everything + 1):
        low = subset & -subset
        inside[subset] = inside[subset ^ low] | operands[low.bit_length() - 1]
    # what a subset leaves over: its labels that the result or the other operands need
    left = [inside[s] & (result | inside[everything ^ s]) if s & (s - 1) else inside[s] for s in range(everything + 1)]
    cost = [0.0] * (everything + 1)
    split = [0] * (everything + 1)
    for subset in range(1, everything + 1):
        if not subset & (subset - 1):
            continue
        cost[subset] = math.inf
        low = subset & -subset
        part = (subset - 1) & subset
        while part:
            other = subset ^ part
            if part & low:
                price = cost[part] + cost[other]
                if price < cost[subset]:
                    price += _volume(left[part] | left[other], sizes)
                    if price < cost[subset]:
                        cost[subset], split[subset] = price, part
            part = (part - 1) & subset
    order: Order = []
    number = {1 << k: k for k in range(count)}

    def walk(subset: int) -> int:
        if subset in number:
            return number[subset]
        first, second = walk(split[subset]), walk(subset ^ split[subset])
        order.append((first, second))
        number[subset] = count + len(order) - 1
        return number[subset]

    walk(everything)
    return order


def _greedy_order(operands: Sequence[frozenset[str]], result: frozenset[str], sizes: dict[str, int]) -> Order:
    alive = dict(enumerate(operands))
    order: Order = []
    while len(alive) > 1:

        def gain(pair: tuple[int, int]) -> tuple[int, int]:
            first, second = alive[pair[0]], alive[pair[1]]
            rest = result.union(*[labels for k, labels in alive.items() if k not in pair])
            merged = first | second
            return _volume(merged & rest, sizes) - _volume(first, sizes) - _volume(second, sizes), _volume(merged, sizes)

        sharing = [(i, j) for i, j in itertools.combinations(alive, 2) if alive[i] & alive[j]]
        first, second = min(sharing or list(itertools.combinations(alive, 2)), key=gain)
        merged = alive.pop(first) | alive.pop(second)
        alive[len(operands) + len(order)] = merged & result.union(*alive.values())
        order.append((first, second))
    return order


# --- contraction -------------------------------------------------------------------------------------------------------------------------


def _merge_repeated(x: Node, labels: Labels) -> tuple[Node, Labels]:
    """Take the diagonal of axes with the same label."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.shape[first] != x.shape[second]:
                received = f"{x.shape[first]} and {x.shape[second]} for {label!r}"
                raise ShapeError(message("einsum: sizes of a repeated label differ", received=received, expected="equal sizes"))
            x = diagonal_nodes(x, 0, first, second)
            labels = (*[name for k, name in enumerate(labels) if k not in (first, second)], label)
    return x, labels


def _sum_out(x: Node, labels: Labels, kept: set[str]) -> tuple[Node, Labels]:
    """Sum over the axes whose label nobody else needs."""
    axes = tuple([k for k, label in enumerate(labels) if label not in kept])
    if not axes:
        return x, labels
    return b.squeeze(b.sum(x, axes), axes), tuple([label for label in labels if label in kept])


def _without_single(x: Node, labels: Labels, y: Node, y_labels: Labels) -> tuple[Node, Labels]:
    """Drop axes of size 1 of `x` that broadcast against a longer one of `y`."""
    single = tuple([k for k, v in enumerate(labels) if x.shape[k] == 1 and v in y_labels and y.shape[y_labels.index(v)] != 1])
    return (b.squeeze(x, single), tuple([v for k, v in enumerate(labels) if k not in single])) if single else (x, labels)


def _aligned(x: Node, labels: Labels, wanted: Labels) -> Node:
    """Return `x` with its axes in the order of `wanted` and size 1 for labels that it does not have."""
    present = [label for label in wanted if label in labels]
    moved = b.permute(x, [labels.index(label) for label in present])
    extent = iter(moved.shape)
    return b.reshape(moved, tuple([next(extent) if label in labels else 1 for label in wanted]))


def _contract_pair(x: Node, x_labels: Labels, y: Node, y_labels: Labels, kept: set[str]) -> tuple[Node, Labels]:
    """Contract two operands over the labels that they share and nobody else needs."""
    x, x_labels = _without_single(x, x_labels, y, y_labels)
    y, y_labels = _without_single(y, y_labels, x, x_labels)
    x, x_labels = _sum_out(x, x_labels, kept | set(y_labels))
    y, y_labels = _sum_out(y, y_labels, kept | set(x_labels))
    shared = [label for label in x_labels if label in y_labels]
    batch = [label for label in shared if label in kept]
    summed = [label for label in shared if label not in kept]
    free = [label for label in (*x_labels, *y_labels) if label not in shared]
    wanted = (*batch, *free)
    if not summed:  # a product of elements, which fuses with what follows
        return b.mul(_aligned(x, x_labels, wanted), _aligned(y, y_labels, wanted)), wanted
    places = [[labels.index(v) for v in names] for names in (summed, batch) for labels in (x_labels, y_labels)]
    return contract(x, y, *places), wanted


def _einsum(*arguments: Any) -> Node:
    nodes, equation = arguments[:-1], arguments[-1]
    check_same_dtype("einsum", *nodes)
    labels, result = _parse(equation, [len(node.shape) for node in nodes])
    pairs = [_merge_repeated(node, names) for node, names in zip(nodes, labels, strict=True)]
    sizes = _sizes([node for node, _ in pairs], [names for _, names in pairs])
    order = contraction_order([frozenset(names) for _, names in pairs], frozenset(result), sizes)
    alive: dict[int, tuple[Node, Labels]] = dict(enumerate(pairs))
    for number, (first, second) in enumerate(order, len(pairs)):
        left, right = alive.pop(first), alive.pop(second)
        needed = set(result).union(*[names for _, names in alive.values()])
        alive[number] = _contract_pair(*left, *right, needed)
    ((node, names),) = alive.values()
    node, names = _sum_out(node, names, set(result))
    return b.permute(node, [names.index(label) for label in result])


def _equation(operands: Sequence[Any]) -> tuple[str, list[Tensor]]:
    """Return the equation and the tensors of a call in the form operand, labels, operand, labels, …, result's labels."""

    def text(labels: Sequence[Any]) -> str:
        if any(label is not Ellipsis and not (isinstance(label, int) and 0 <= label < len(_LETTERS)) for label in labels):
            raise ArgumentError(message("einsum: labels", received=labels, expected="integers from 0 to 51, and an Ellipsis"))
        return "".join(["..." if label is Ellipsis else _LETTERS[label] for label in labels])

    tensors = list(operands[:-1:2]) if len(operands) % 2 else list(operands[::2])
    terms = ",".join([text(labels) for labels in operands[1 : 2 * len(tensors) : 2]])
    return f"{terms}->{text(operands[-1])}" if len(operands) % 2 else terms, tensors


def einsum(*args: Any) -> Tensor:
    """Return the sum of products that an equation such as ``"bij,bjk->bik"`` describes.

    Letters name axes; a repeated letter in one operand takes a diagonal; letters missing from the result are summed over; ``...``
    stands for broadcast axes. Without ``->`` the result has the letters that occur once, in alphabetical order. Instead of an equation,
    each operand may be followed by a list of axis numbers, with the result's at the end. Operands are contracted pair by pair in the
    order that needs the fewest multiplications.

    Raises:
        ArgumentError: the equation does not fit the operands. ShapeError: sizes of one letter differ.

    Example:
        >>> import trine
        >>> trine.einsum("ij,jk->ik", trine.tensor([[1., 2.]]), trine.tensor([[3.], [4.]]))
        tensor([[11.]])
        >>> trine.einsum(trine.tensor([1., 2.]), [0], trine.tensor([3., 4.]), [0], [])
        tensor(11.)
    """
    if not args:
        raise ArgumentError(message("einsum: no operands", received="nothing", expected="an equation and tensors"))
    if isinstance(args[0], str):
        operands = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
        equation, tensors = args[0], list(operands)
    else:
        equation, tensors = _equation(args)
    if not tensors:
        raise ArgumentError(message("einsum: no operands", received=equation, expected="at least one tensor"))
    result: Tensor = record(_einsum, tuple(tensors), equation)
    return result
