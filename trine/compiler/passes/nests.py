"""From a group of nodes to a loop nest: instructions in SSA form, accesses, and the order of the axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine import dtypes
from trine.compiler.nest import Access, Axis, Instruction, LoopNest
from trine.compiler.passes.groups import Group
from trine.compiler.passes.tables import KIND
from trine.compiler.passes.views import Index, element_strides, row_major
from trine.compiler.program import Value
from trine.core.graph import Node

Store = tuple[Node, Value, tuple[int, ...] | None]


class Builder:
    """Makes the loop nest of one group.

    `place[node]` is the value that a load reads; `stores` are (node, value, shape) triples: what the nest writes, and the shape whose
    row-major order is that of the value where it is not the value's own.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.rank = len(group.extents)
        self.reduced = frozenset(group.reduced)
        self.accesses: list[Access] = []
        self.instructions: list[Instruction] = []
        self._access_number: dict[Any, int] = {}
        self._number: dict[Any, int] = {}
        self._slots: dict[tuple[Node, Index], int] = {}

    def build(self, place: dict[Node, Value], stores: Sequence[Store]) -> LoopNest:
        """Return the nest, its axes in the order that suits its arrays."""
        nest = self._nest(place, stores)
        arrange(nest, self.group)
        return nest

    def build_epilogue(self, place: dict[Node, Value], stores: Sequence[Store], node: Node, index: Index) -> LoopNest:
        """Return the nest over the axes of `node`, which is its access 0; what is stored in the same memory goes through that access."""
        self._load(place[node], index, node)
        nest = self._nest(place, stores)
        first = nest.accesses[0]
        for k, (instruction, number) in enumerate(nest.stores):
            access = nest.accesses[number]
            if access.value is first.value and number == len(nest.accesses) - 1 - (len(nest.stores) - 1 - k):
                nest.stores[k] = (instruction, 0)
        used = sorted({0, *[i.attrs[0] for i in nest.instructions if i.op == "load"], *[number for _, number in nest.stores]})
        renumbered = {old: new for new, old in enumerate(used)}
        nest.accesses = [nest.accesses[old] for old in used]
        nest.stores = [(instruction, renumbered[number]) for instruction, number in nest.stores]
        nest.axes = [Axis(size) for size in node.shape]
        _rewrite(nest, [[e[1][0][0]] if e[1] else [] for e in index.expressions])
        return nest

    def _nest(self, place: dict[Node, Value], stores: Sequence[Store]) -> LoopNest:
        nodes = []
        slots = self._slots
        for node, index, operands in reversed(self.group.entries):
            if operands is None:
                slots[node, index] = self._load(place[node], index, node)
                continue
            kind = KIND[node.op]
            if kind == "movement":
                slots[node, index] = self._slot(node.inputs[0], operands[0])
            elif kind == "source":
                slots[node, index] = self._source(node, index, operands)
            else:
                args = tuple([self._slot(n, i) for n, i in zip(node.inputs, operands, strict=True)])
                if kind == "reduce":
                    slots[node, index] = self._reduce(node, args)
                else:
                    slots[node, index] = self._emit(node.op, args, node.dtype, node.attrs, self._all_row(args), node)
            nodes.append(node)
        written = [(self._stored(node, value, shape), len(self.accesses) - 1) for node, value, shape in stores]
        return LoopNest([], self.accesses, self.instructions, written, tuple(nodes))

    def _stored(self, node: Node, value: Value, shape: tuple[int, ...] | None) -> int:
        """Add the access of a store; return the instruction that it stores."""
        index = self.group.roots[node]
        offset, strides = element_strides(index, row_major(shape) if shape is not None else value.strides, self.rank)
        self.accesses.append(Access(value, offset, strides))
        number = self._slots[node, index]
        if self.reduced and self.instructions[number].row and any(strides[a] for a in self.reduced):
            # A value that is the same along a row, stored at every point of it.
            number = self._emit("stop_gradient", (number,), node.dtype, (), False, node)
        return number

    def _slot(self, node: Node, index: Index) -> int:
        return self._slots[node, index]

    def _all_row(self, args: tuple[int, ...]) -> bool:
        if not self.reduced:
            return False
        instructions = self.instructions
        for a in args:
            if not instructions[a].row:
                return False
        return True

    def _emit(self, op: str, args: tuple[int, ...], dtype: Any, attrs: tuple[Any, ...], row: bool, node: Node | None) -> int:
        key = (op, args, dtype, attrs if op != "const" else repr(attrs))
        number = self._number.get(key)
        if number is None:
            number = self._number[key] = len(self.instructions)
            self.instructions.append(Instruction(op, args, dtype, attrs, row, node))
        return number

    def _load(self, value: Value, index: Index, node: Node) -> int:
        offset, strides = element_strides(index, value.strides, self.rank)
        key = (value, offset, strides, index.bounds, repr(index.fill))
        number = self._access_number.get(key)
        if number is None:
            number = self._access_number[key] = len(self.accesses)
            fill = index.fill if index.bounds else 0
            self.accesses.append(Access(value, offset, strides, index.bounds, fill))
        row = bool(self.reduced) and not any(strides[a] for a in self.reduced) and not any(b[0] in self.reduced for b in index.bounds)
        return self._emit("load", (), value.dtype, (number,), row, node)

    def _source(self, node: Node, index: Index, operands: tuple[Index, ...]) -> int:
        op = node.op
        if op == "iota":
            return self._iota(index.expressions[node.attrs[1]], node)
        if op == "random_bits":
            _, strides = 0, row_major(node.shape)
            offset, coefficients = element_strides(index, strides, self.rank)
            linear = self._iota((offset, tuple(enumerate(coefficients))), node)
            args = (*[self._slot(n, i) for n, i in zip(node.inputs, operands, strict=True)], linear)
            return self._emit(op, args, node.dtype, (), self._all_row(args), node)
        return self._emit(op, (), node.dtype, node.attrs, bool(self.reduced), node)

    def _iota(self, expression: tuple[int, tuple[tuple[int, int], ...]], node: Node) -> int:
        coefficients = [0] * self.rank
        for axis, coefficient in expression[1]:
            coefficients[axis] += coefficient
        row = bool(self.reduced) and not any(coefficients[a] for a in self.reduced)
        return self._emit("iota", (), dtypes.int64, (tuple(coefficients), expression[0]), row, node)

    def _reduce(self, node: Node, args: tuple[int, ...]) -> int:
        axes = node.attrs[0] if type(node.attrs[0]) is tuple else (node.attrs[0],)
        shape = node.inputs[0].shape
        if all(shape[a] == 1 for a in axes):
            # Nothing to reduce: the element itself, or position 0.
            if node.op in ("argmax", "argmin"):
                return self._emit("const", (), node.dtype, (0,), bool(self.reduced), node)
            return args[0]
        return self._emit("reduce", args, node.dtype, (node.op,), True, node)


# --- axes ---------------------------------------------------------------------------------------------------------------------------


def arrange(nest: LoopNest, group: Group) -> None:
    """Choose the order of the axes, merge those that every array walks as one, and set `nest.axes`."""
    extents, reduced = group.extents, set(group.reduced)
    rank = len(extents)
    if rank == 0:
        nest.axes = [Axis(1)]
        _rewrite(nest, [[]])
        return
    order = _order(nest, rank)
    iotas = [i.attrs[0] for i in nest.instructions if i.op == "iota"]
    bounded = {b[0] for a in nest.accesses for b in a.bounds}
    walks = [a.strides for a in nest.accesses] + iotas
    runs: list[list[int]] = [[order[0]]]
    for axis in order[1:]:
        outer = runs[-1][-1]
        extent = extents[axis]
        if (
            (outer in reduced) == (axis in reduced)
            and outer not in bounded
            and axis not in bounded
            and all([w[outer] == w[axis] * extent for w in walks])
        ):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    axes = []
    for run in runs:
        size = 1
        for axis in run:
            size *= extents[axis]
        axes.append(Axis(size, run[0] in reduced))
    nest.axes = axes
    _rewrite(nest, runs)


def _order(nest: LoopNest, rank: int) -> list[int]:
    """Return the axes, outermost first: in the order in which the array with the most axes lies in memory, results before operands."""
    best: tuple[int, ...] | None = None
    most = -1
    stores = {access for _, access in nest.stores}
    for prefer_stores in (True, False):
        for number, access in enumerate(nest.accesses):
            if (number in stores) is prefer_stores:
                walked = sum([1 for s in access.strides if s])
                if walked > most:
                    best, most = access.strides, walked
    if best is None or rank == 1:
        return list(range(rank))
    strides = best
    return sorted(range(rank), key=lambda axis: -abs(strides[axis]) if strides[axis] else -(1 << 62))


def _rewrite(nest: LoopNest, runs: list[list[int]]) -> None:
    """Renumber the axes: each run becomes one axis, which steps as its last member does."""
    last = [run[-1] if run else None for run in runs]
    if last == list(range(len(last))) and (not nest.accesses or len(nest.accesses[0].strides) == len(last)):
        return
    number = {axis: k for k, run in enumerate(runs) for axis in run}
    for access in nest.accesses:
        strides = access.strides
        access.strides = tuple([0 if a is None else strides[a] for a in last])
        if access.bounds:
            access.bounds = tuple([(number[a], low, high) for a, low, high in access.bounds])
    for instruction in nest.instructions:
        if instruction.op == "iota":
            coefficients, offset = instruction.attrs
            instruction.attrs = (tuple([0 if a is None else coefficients[a] for a in last]), offset)
