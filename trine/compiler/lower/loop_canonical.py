"""Canonical nests: few axes, in the order and numbering of `trine.compiler.templates.loop_structure`."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from trine.compiler.nest import Access, Instruction, LoopNest


@dataclass(slots=True)
class Walk:
    """An access on canonical axes: element strides, bounds by canonical axis; `access` is the nest's."""

    access: Access
    strides: list[int]
    bounds: list[tuple[int, int, int]]


@dataclass(slots=True)
class Canonical:
    """A nest on canonical axes.

    `extents` and `reduced` are per axis, `walks` per access, `coefficients` per iota instruction (its number -> one per axis).
    """

    extents: list[int]
    reduced: list[bool]
    walks: list[Walk]
    instructions: list[Instruction]
    coefficients: dict[int, list[int]]
    stores: list[tuple[int, int]]

    def rows(self) -> int:
        """Return the number of points of the parallel axes."""
        return prod(e for e, r in zip(self.extents, self.reduced, strict=True) if not r)

    def row_size(self) -> int:
        """Return the number of points of the reduced axes."""
        return prod(e for e, r in zip(self.extents, self.reduced, strict=True) if r)

    def permuted(self, order: list[int]) -> Canonical:
        """Return the same nest with its axes in another order."""
        if order == list(range(len(order))):
            return self
        position = {k: n for n, k in enumerate(order)}
        return Canonical(
            [self.extents[k] for k in order],
            [self.reduced[k] for k in order],
            [Walk(w.access, [w.strides[k] for k in order], [(position[k], low, high) for k, low, high in w.bounds]) for w in self.walks],
            self.instructions,
            {i: [c[k] for k in order] for i, c in self.coefficients.items()},
            self.stores,
        )


def canonical(nest: LoopNest) -> Canonical:
    """Return the nest without axes of size 1, and with neighbours of one kind merged where every access allows it."""
    extents = [a.extent for a in nest.axes]
    bounds = []
    for access in nest.accesses:
        # A bound that no position violates is none.
        bounds.append([b for b in access.bounds if b[1] > 0 or b[2] < extents[b[0]]] if access.bounds else [])
    bounded = {b[0] for group in bounds for b in group}
    axes = [k for k, extent in enumerate(extents) if extent != 1 or k in bounded]
    iotas = [i for i, instruction in enumerate(nest.instructions) if instruction.op == "iota"]
    columns = [[a.strides[k] for a in nest.accesses] + [nest.instructions[i].attrs[0][k] for i in iotas] for k in axes]
    sizes = [extents[k] for k in axes]
    reduced = [nest.axes[k].reduced for k in axes]
    free = [k not in bounded for k in axes]
    n = len(axes) - 1
    while n > 0:
        size = sizes[n]
        if reduced[n - 1] is reduced[n] and free[n - 1] and free[n] and columns[n - 1] == [s * size for s in columns[n]]:
            sizes[n - 1 : n + 1] = [sizes[n - 1] * size]
            columns.pop(n - 1)
            del reduced[n], axes[n - 1], free[n]
        n -= 1
    number = {k: n for n, k in enumerate(axes)}
    count = len(nest.accesses)
    walks = [
        Walk(access, [column[a] for column in columns], [(number[k], low, high) for k, low, high in bounds[a]])
        for a, access in enumerate(nest.accesses)
    ]
    coefficients = {i: [column[count + j] for column in columns] for j, i in enumerate(iotas)}
    return Canonical(sizes, reduced, walks, nest.instructions, coefficients, nest.stores)
