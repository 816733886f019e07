"""Groups: the commands in the making, each a loop nest or a heavy primitive, and which of them depend on which."""

from __future__ import annotations

from trine.compiler.passes.views import Index
from trine.core.graph import Node

# An entry of a group: a node evaluated at an index, and the indices of its operands there; None for a stored array that is loaded.
Entry = tuple[Node, Index, tuple[Index, ...] | None]


class Group:
    """One loop nest in the making.

    Attributes:
        number: its bit in `reach` sets.
        extents: sizes of its axes, by axis number.
        reduced: numbers of the reduced axes, in the row-major order of the reduced operands.
        trailing: whether the reduced axes are the last ones of those operands (a row kernel, which may have several passes).
        entries: in reverse order of evaluation.
        roots: what it stores, and where in the nest.
        count: number of instructions that compute.
        loads: number of arrays that it reads.
        reach: bit set of the groups that depend on it, directly or not.
        has_sources: whether it depends on another group.
        broadcasts: row-level nodes that are used at every point.
        node: the heavy primitive that it stands for, None for a nest.
        merged: the group that took its place.
        position: place of its last root in the topological order of the graph.
    """

    __slots__ = (
        "number",
        "extents",
        "reduced",
        "trailing",
        "entries",
        "roots",
        "count",
        "loads",
        "reach",
        "has_sources",
        "broadcasts",
        "node",
        "merged",
        "position",
        "owner",
    )

    def __init__(self, number: int, extents: tuple[int, ...], position: int, node: Node | None = None) -> None:
        self.number = number
        self.extents = extents
        self.reduced: tuple[int, ...] = ()
        self.trailing = True
        self.entries: list[Entry] = []
        self.roots: dict[Node, Index] = {}
        self.count = 0
        self.loads = 0
        self.reach = 0
        self.has_sources = False
        self.broadcasts: set[Node] = set()
        self.node = node
        self.merged: Group | None = None
        self.position = position
        self.owner: Group = self

    @property
    def size(self) -> int:
        """Return the number of points."""
        count = 1
        for extent in self.extents:
            count *= extent
        return count

    def covers(self, index: Index, shape: tuple[int, ...]) -> int:
        """Return 2 if the points visit each element of an array at `index` once, 1 if the points of the parallel axes do, else 0."""
        if index.bounds:
            return 0
        axes = simple_axes(index, shape, self.extents)
        if axes is None:
            return 0
        rank = len(self.extents)
        if len(axes) == rank:
            return 2
        if self.reduced and len(axes) == rank - len(self.reduced) and not axes & set(self.reduced):
            return 1
        return 0


class Port:
    """An operand of a heavy primitive: its nest is the array itself.

    Attributes:
        owner: the heavy primitive's group.
        operand: the operand's number.
        whole: shape under which all of the source's memory is seen, row-major; None for a primitive that reads any strided view.
        extents: sizes of the axes of `identity` of the operand.
        source: the stored node that is read, once it is known.
        index: where: in the source, or in an array of the shape `whole` over the same memory; None for all of it.
    """

    __slots__ = ("owner", "operand", "whole", "extents", "source", "index", "merged")

    def __init__(self, owner: Group, operand: int, whole: tuple[int, ...] | None, extents: tuple[int, ...]) -> None:
        self.owner = owner
        self.operand = operand
        self.whole = whole
        self.extents = extents
        self.source: Node | None = None
        self.index: Index | None = None
        self.merged: Group | None = None


def simple_axes(index: Index, shape: tuple[int, ...], extents: tuple[int, ...]) -> set[int] | None:
    """Return the axes of the nest that walk the array from end to end, one for each axis of the array; None if it is not that simple."""
    axes: set[int] = set()
    for (offset, terms), size in zip(index.expressions, shape, strict=True):
        if not terms:
            if size != 1 or offset:
                return None
            continue
        if offset or len(terms) != 1:
            return None
        axis, coefficient = terms[0]
        if coefficient != 1 or extents[axis] != size or axis in axes:
            return None
        axes.add(axis)
    return axes


class Dependencies:
    """All groups, and which reach which; exact after every change."""

    def __init__(self) -> None:
        self.groups: list[Group] = []

    def new(self, extents: tuple[int, ...], position: int, node: Node | None = None) -> Group:
        """Add a group."""
        group = Group(len(self.groups), extents, position, node)
        self.groups.append(group)
        return group

    def add(self, source: Group, user: Group) -> None:
        """Record that `user` reads what `source` stores."""
        bit = 1 << user.number
        if source.reach & bit:
            return
        new = user.reach | bit
        source.reach |= new
        user.has_sources = True
        if source.has_sources:
            self._spread(1 << source.number, new)

    def _spread(self, mask: int, new: int) -> None:
        for group in self.groups:
            if group.reach & mask:
                group.reach |= new

    def reaches(self, first: Group, second: Group) -> bool:
        """Return whether `second` depends on `first`."""
        return bool(first.reach >> second.number & 1)

    def merge(self, kept: Group, gone: Group) -> None:
        """Let `kept` take the place of `gone`; neither depends on the other."""
        gone.merged = kept
        kept.reach |= gone.reach
        if kept.has_sources or gone.has_sources:
            self._spread(1 << kept.number | 1 << gone.number, kept.reach | 1 << kept.number)
        kept.has_sources = kept.has_sources or gone.has_sources
        gone.reach = 0
        kept.position = max(kept.position, gone.position)
