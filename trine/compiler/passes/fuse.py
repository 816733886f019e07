"""Fusion: which nodes are stored, and which share a loop nest.

One sweep from the results to the inputs. Each node meets all its uses, (group, index) pairs that its users left behind, and is

- evaluated where it is used, at no memory traffic, if one group uses it or if evaluating it again is cheaper than a trip through memory;
- or stored by one of its users, which then computes several results in one pass (only the earliest user can do that);
- or stored by a new group of its own.

Where two groups with the same points read the same array and neither depends on the other, they become one. A reduction joins a group that
uses its result row by row (softmax) or that has exactly its result's points (a mean's division). Heavy primitives are groups of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from trine.compiler.passes.choices import is_cheap, is_repeated, is_trailing, most_summed, reduced_axes, stands_alone, summed_term
from trine.compiler.passes.groups import Dependencies, Group, Port, simple_axes
from trine.compiler.passes.tables import EPILOGUES, EXPENSIVE, HEAVY, KIND, STRIDED_OPERANDS
from trine.compiler.passes.views import Index, NotAffine, broadcast, extents, forget, identity, intern, operand_index, row_major
from trine.core.graph import Node

MAX_INSTRUCTIONS = 64
MAX_ARRAYS = 20
# A nest that passes several times over its rows has one parallel unit per row: more elements than this want more than one row.
MAX_SERIAL_ELEMENTS = 1 << 15

Uses = dict[Group | Port, list[Index]]


class FusionPlan:
    """The result of the pass.

    Attributes:
        groups: the nests and heavy primitives, in no particular order.
        stored: nodes that have memory of their own, by the group that writes them.
        ports: operands of each heavy group, in order.
        flat: reshapes that are written with the points of an array of another shape: that shape.
        views: heavy primitives that write their result into another node's memory: that node, and the strides of the result.
        epilogues: heavy primitives whose group goes on with each tile: the node in whose memory they work, and their index.
        decisions: lines of text that say why (only if asked for).
    """

    __slots__ = ("groups", "stored", "ports", "flat", "views", "epilogues", "decisions")

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.stored: dict[Node, Group] = {}
        self.ports: dict[Group, list[Port]] = {}
        self.flat: dict[Node, tuple[int, ...]] = {}
        self.views: dict[Node, tuple[Node, tuple[int, ...]]] = {}
        self.epilogues: dict[Node, tuple[Node, Index]] = {}
        self.decisions: list[str] = []


def fuse(order: Sequence[Node], outputs: Sequence[Node], unsupported: Callable[[Node], bool], explain: bool = False) -> FusionPlan:
    """Group the nodes of a graph.

    Args:
        order: all nodes, operands first.
        outputs: nodes that must be stored.
        unsupported: whether a node has no loop instruction: it becomes a command of its own.
        explain: whether to note why things were not fused.
    """
    forget()
    fusion = _Fusion(order, outputs, unsupported, explain)
    plan = fusion.run()
    if fusion.has_broken_prospects():
        fusion = _Fusion(order, outputs, unsupported, explain)
        fusion.foresees = False
        plan = fusion.run()
    return plan


class _Fusion:
    def __init__(self, order: Sequence[Node], outputs: Sequence[Node], unsupported: Callable[[Node], bool], explain: bool) -> None:
        self.order = order
        self.must = set(outputs)
        self.unsupported = unsupported
        self.explain = explain
        self.uses: dict[Node, Uses] = {}
        self.graph = Dependencies()
        self.plan = FusionPlan()
        self.position = 0
        self.foresees = True
        self.reduction_of: dict[Node, Node] = {}
        self.sums: dict[Group | Port, int] = {}
        self.num_users = Counter([operand for node in order for operand in node.inputs])

    def run(self) -> FusionPlan:
        kinds = KIND
        visit = {
            "elementwise": self._elementwise,
            "movement": self._movement,
            "reduce": self._reduction,
            "source": self._source,
            "input": self._input,
            "heavy": self._heavy,
        }
        order = self.order
        unsupported = self.unsupported
        if self.foresees:
            self._foresee()
        for position in range(len(order) - 1, -1, -1):
            node = order[position]
            self.position = position
            kind = kinds[node.op]
            if kind in ("elementwise", "reduce", "source") and unsupported(node):
                kind = HEAVY
            visit[kind](node, self._uses_of(node))
        self.plan.groups = [g for g in self.graph.groups if g.merged is None]
        return self.plan

    def _foresee(self) -> None:
        """Note which nodes are computed, element by element, from the result of a reduction over rows."""
        found = self.reduction_of
        for node in self.order:
            kind = KIND[node.op]
            if kind == "reduce":
                if is_trailing(node):
                    found[node] = node
            elif found and kind == "elementwise":
                for operand in node.inputs:
                    if operand in found and operand.shape == node.shape:
                        found[node] = found[operand]
                        break

    def _becomes_rows(self, node: Node, group: Group, index: Index) -> bool:
        """Make a nest a row kernel because the reduction that the node comes from will join it; return whether that is so."""
        reduction = self.reduction_of.get(node)
        if reduction is None or group.node is not None or group.reduced or index.bounds:
            return False
        axes = simple_axes(index, node.shape, group.extents)
        if axes is None or len(axes) == len(group.extents):
            return False
        free = tuple([a for a in range(len(group.extents)) if a not in axes])
        shape = reduction.inputs[0].shape
        sizes = tuple([shape[a] for a in reduced_axes(reduction) if shape[a] != 1])
        if tuple([group.extents[a] for a in free]) != sizes or 0 in sizes or not self._may_pass_again(group, free, True):
            return False
        group.reduced = free
        return True

    def has_broken_prospects(self) -> bool:
        """Return whether a nest became a row kernel, stores something per row, and the reduction did not come."""
        for group in self.plan.groups:
            if group.reduced and not any([KIND[entry[0].op] == "reduce" and entry[2] is not None for entry in group.entries]):
                if any([group.covers(index, node.shape) == 1 for node, index in group.roots.items()]):
                    return True
                group.reduced = ()
        return False

    # --- uses -------------------------------------------------------------------------------------------------------------------

    def _use(self, node: Node, group: Group | Port, index: Index) -> Index:
        """Note that `group` needs `node` at `index`; return the index object that stands for it."""
        uses = self.uses.get(node)
        if uses is None:
            self.uses[node] = {group: [index]}
            return index
        known = uses.get(group)
        if known is None:
            uses[group] = [index]
            return index
        if index not in known:
            known.append(index)
        return index

    def _uses_of(self, node: Node) -> Uses:
        """Return the uses of a node, with merged groups resolved."""
        uses = self.uses.pop(node, None)
        if uses is None:
            return {}
        for group in uses:
            if group.merged is not None:
                break
        else:
            return uses
        resolved: Uses = {}
        for group, indices in uses.items():
            while group.merged is not None:
                group = group.merged
            known = resolved.get(group)
            if known is None:
                resolved[group] = indices
                continue
            for index in indices:
                if index not in known:
                    known.append(index)
        return resolved

    def _note(self, text: str) -> None:
        if self.explain:
            self.plan.decisions.append(text)

    # --- evaluation inside a group ----------------------------------------------------------------------------------------------

    def _evaluate(self, node: Node, group: Group, index: Index) -> None:
        """Evaluate an elementwise node in a group."""
        shape = node.shape
        operands = []
        spread = node in group.broadcasts
        for operand in node.inputs:
            if operand.shape == shape:
                operands.append(self._use(operand, group, index))
                if spread:
                    group.broadcasts.add(operand)
            else:
                operands.append(self._use(operand, group, broadcast(index, operand.shape)))
                group.broadcasts.add(operand)
        group.entries.append((node, index, tuple(operands)))
        group.count += 1

    def _load(self, node: Node, source: Group | None, uses: Uses) -> None:
        """Let all users of a stored node load it; `source` is the group that stores it, None for an input."""
        for user, indices in uses.items():
            if user is source:
                continue
            if type(user) is Port:
                user.source = node
                if user.whole is None:
                    user.index = indices[0]
                owner: Group = user.owner
            else:
                owner = user  # type: ignore[assignment]
                for index in indices:
                    owner.entries.append((node, index, None))
                owner.loads += 1
            if source is not None:
                self.graph.add(source, owner)

    def _new_nest(self, node: Node) -> tuple[Group, Index]:
        """Return a new group with the points of a node, and the node's index in it."""
        index = identity(node.shape)
        group = self.graph.new(extents(node.shape), self.position)
        self._store(node, group, index)
        return group, index

    def _store(self, node: Node, group: Group, index: Index) -> None:
        group.roots[node] = index
        group.position = max(group.position, self.position)
        self.plan.stored[node] = group

    def _host(self, node: Node, uses: Uses) -> tuple[Group, Index] | None:
        """Return a user that can store the node as it computes it, and the node's index there."""
        reaches = self.graph.reaches
        for group, indices in uses.items():
            if type(group) is not Group or group.node is not None or len(indices) != 1:
                continue
            if group.count >= MAX_INSTRUCTIONS or group.loads + len(group.roots) >= MAX_ARRAYS:
                continue
            if any(user is not group and reaches(user.owner, group) for user in uses):
                continue
            index = indices[0]
            covered = group.covers(index, node.shape)
            if not covered and not self._becomes_rows(node, group, index):
                continue
            if covered == 2 and group.reduced and not self._may_pass_again(group, group.reduced, group.trailing):
                continue
            return group, index
        return None

    # --- the kinds of nodes -----------------------------------------------------------------------------------------------------

    def _elementwise(self, node: Node, uses: Uses) -> None:
        if len(uses) > 1:
            uses = self._merge_users(node, uses)
        term = summed_term(node, self.num_users) if node.op == "add" else None
        full = term is not None and any(self.sums.get(group, 0) >= most_summed(term) for group in uses)
        if not full and node not in self.must and self._inline(node, uses):
            if term is not None:
                self.sums.update({group: self.sums.get(group, 0) + 1 for group in uses})
            return
        hosted = self._host(node, uses) if uses and not full else None
        group, index = hosted or self._new_nest(node)
        if hosted is not None:
            self._store(node, group, index)
        self._load(node, group, uses)
        self._evaluate(node, group, index)
        if term is not None:
            self.sums[group] = self.sums.get(group, 0) + 1

    def _inline(self, node: Node, uses: Uses) -> bool:
        """Evaluate the node where it is used, if that is legal and pays."""
        several = len(uses) > 1
        if several and (not is_cheap(node) or self._continues_product(node)):
            return False
        for group, indices in uses.items():
            if type(group) is Port or group.count >= MAX_INSTRUCTIONS:  # type: ignore[union-attr]
                if type(group) is not Port:
                    self._note(f"{node.op} {node.shape}: not fused, its user has {MAX_INSTRUCTIONS} instructions")
                return False
            if any([index.bounds for index in indices]):
                self._note(f"{node.op} {node.shape}: not fused, its user pads it")
                return False
            if not group.reduced and node not in self.reduction_of and is_repeated(node, group.size):  # type: ignore[union-attr]
                return False
            if node.op in EXPENSIVE and not self._pays(node, group, indices, several):  # type: ignore[arg-type]
                self._note(f"{node.op} {node.shape}: not fused, its user would evaluate it many times")
                return False
        for group, indices in uses.items():
            for index in indices:
                self._evaluate(node, group, index)  # type: ignore[arg-type]
        return True

    def _continues_product(self, node: Node) -> bool:
        """Return whether the node is the only user of a product: stored, it is computed on the product's tiles."""
        for operand in node.inputs:
            if operand.op in STRIDED_OPERANDS and operand.shape == node.shape and self.num_users[operand] == 1:
                return True
        return False

    def _pays(self, node: Node, group: Group, indices: list[Index], several: bool) -> bool:
        """Return whether an expensive node is evaluated about once per element in a group."""
        if len(indices) == 1 and (node.shape == group.extents or group.covers(indices[0], node.shape)):
            return True
        if len(indices) == 1 and not several and self._becomes_rows(node, group, indices[0]):
            return True
        size = 1
        for extent in node.shape:
            size *= extent
        return group.size * len(indices) <= size

    def _movement(self, node: Node, uses: Uses) -> None:
        operand = node.inputs[0]
        stored = node in self.must
        remaining: Uses = {}
        for group, indices in uses.items():
            if type(group) is Port and group.whole is not None:
                if node.op == "reshape":
                    self._use_whole(operand, group)
                else:
                    remaining[group] = indices
                continue
            try:
                moved = [operand_index(node, index, group.extents) for index in indices]
                if type(group) is Port and moved[0].bounds:
                    raise NotAffine
            except NotAffine:
                if type(group) is Port and node.op == "reshape":
                    group.whole, group.index = node.shape, indices[0]
                    self._use_whole(operand, group)
                    continue
                self._note(f"{node.op} {node.inputs[0].shape} to {node.shape}: copied, not an affine view")
                remaining[group] = indices
                continue
            for index, inner in zip(indices, moved, strict=True):
                inner = self._use(operand, group, inner)
                if type(group) is Group:
                    group.entries.append((node, index, (inner,)))
                    if node in group.broadcasts:
                        group.broadcasts.add(operand)
        if not stored and not remaining:
            return
        group, index = self._new_nest(node)
        self._load(node, group, remaining)
        try:
            inner = operand_index(node, index, group.extents)
        except NotAffine:
            # A reshape across axes of an array that is stored: both are walked flat.
            self._flat_copy(node, group)
            return
        group.entries.append((node, index, (self._use(operand, group, inner),)))

    def _use_whole(self, node: Node, port: Port) -> None:
        """Let a port read all of a node's memory, under another shape."""
        port.extents = extents(node.shape)
        self._use(node, port, identity(node.shape))

    def _flat_copy(self, node: Node, group: Group) -> None:
        """A reshape that is not affine over its own axes: a group with the operand's points writes the same memory."""
        operand = node.inputs[0]
        group.extents = extents(operand.shape)
        inner = identity(operand.shape)
        group.roots[node] = inner
        self.plan.flat[node] = operand.shape
        group.entries.append((node, inner, (self._use(operand, group, inner),)))

    def _source(self, node: Node, uses: Uses) -> None:
        remaining: Uses = {}
        targets: list[tuple[Group, Index]] = []
        for group, indices in uses.items():
            if type(group) is Port or any(i.bounds for i in indices):
                remaining[group] = indices
            else:
                targets.extend((group, index) for index in indices)  # type: ignore[misc]
        if remaining or node in self.must:
            group, index = self._new_nest(node)
            self._load(node, group, remaining)
            targets.append((group, index))
        for group, index in targets:
            operands = tuple([self._use(operand, group, identity(())) for operand in node.inputs])
            group.entries.append((node, index, operands))

    def _input(self, node: Node, uses: Uses) -> None:
        if len(uses) > 1 and node.shape:
            uses = self._merge_users(node, uses)
        self._load(node, None, uses)

    def _heavy(self, node: Node, uses: Uses) -> None:
        if len(uses) > 1:
            uses = self._merge_users(node, uses)
        group = None
        if len(uses) == 1 and node.op in EPILOGUES and node not in self.must:
            group = self._written_as_view(node, uses) if node.op in STRIDED_OPERANDS else None
            group = group or self._with_epilogue(node, uses)
        if group is None:
            group = self.graph.new((), self.position, node)
            self._load(node, group, uses)
        self.plan.stored[node] = group
        ports = []
        strided = node.op in STRIDED_OPERANDS
        for number, operand in enumerate(node.inputs):
            port = Port(group, number, None if strided else operand.shape, extents(operand.shape))
            ports.append(port)
            self._use(operand, port, identity(operand.shape))
        self.plan.ports[group] = ports

    def _written_as_view(self, node: Node, uses: Uses) -> Group | None:
        """If a heavy primitive's only user just copies it to another order of axes, let it write that itself, in the user's place."""
        ((group, indices),) = uses.items()
        if type(group) is not Group or group.node is not None or group.count or group.loads or len(group.roots) != 1 or len(indices) != 1:
            return None
        ((root, root_index),) = group.roots.items()
        shape = self.plan.flat.get(root, root.shape)
        if group.covers(indices[0], node.shape) != 2 or group.covers(root_index, shape) != 2 or root.dtype is not node.dtype:
            return None
        if any([KIND[entry[0].op] != "movement" for entry in group.entries]):
            return None
        stride_of = {e[1][0][0]: stride for e, stride in zip(root_index.expressions, row_major(shape), strict=True) if e[1]}
        strides = tuple([stride_of[e[1][0][0]] if e[1] else 0 for e in indices[0].expressions])
        rows, columns = node.shape[-2:]
        if not ((strides[-1] == 1 and columns > 1) or (strides[-2] == 1 and rows > 1)):
            return None
        group.node = node
        group.entries, group.roots = [], {}
        self.plan.views[node] = (root, strides)
        return group

    def _with_epilogue(self, node: Node, uses: Uses) -> Group | None:
        """If a heavy primitive's only user goes on with its result point by point, it does so on each tile as soon as that is computed.

        The result lies where the user stores one of its own, and is overwritten.
        """
        ((group, indices),) = uses.items()
        if type(group) is not Group or group.node is not None or group.reduced or len(indices) != 1 or not group.count:
            return None
        if len(group.extents) != len(extents(node.shape)) or group.covers(indices[0], node.shape) != 2:
            return None
        for root, index in group.roots.items():
            if index is indices[0] and root.shape == node.shape and root.dtype is node.dtype and root not in self.plan.flat:
                break
        else:
            return None
        group.node = node
        group.entries.append((node, indices[0], None))
        self.plan.epilogues[node] = (root, indices[0])
        return group

    # --- reductions -------------------------------------------------------------------------------------------------------------

    def _reduction(self, node: Node, uses: Uses) -> None:
        if len(uses) > 1:
            uses = self._merge_users(node, uses)
        operand = node.inputs[0]
        group: Group | None = None
        inner, alone = None, stands_alone(node)
        if len(uses) == 1 and node not in self.must and not alone:
            (only, indices), *_ = uses.items()
            if type(only) is Group and len(indices) == 1:
                inner = self._bind(only, node, indices[0])
                if inner is not None:
                    group, index = only, indices[0]
        if inner is None and uses and not alone:
            hosted = self._host_reduction(node, uses)
            if hosted is not None:
                group, index, inner = hosted
                self._store(node, group, index)
                self._load(node, group, uses)
        if group is None or inner is None:
            inner = identity(operand.shape)
            index = broadcast(inner, node.shape)
            group = self.graph.new(extents(operand.shape), self.position)
            group.reduced = tuple([inner.expressions[a][1][0][0] for a in reduced_axes(node) if operand.shape[a] != 1])
            group.trailing = is_trailing(node)
            self._store(node, group, index)
            self._load(node, group, uses)
        group.entries.append((node, index, (self._use(operand, group, inner),)))
        group.count += 1

    def _host_reduction(self, node: Node, uses: Uses) -> tuple[Group, Index, Index] | None:
        reaches = self.graph.reaches
        for group, indices in uses.items():
            if type(group) is not Group or len(indices) != 1:
                continue
            if any(user is not group and reaches(user.owner, group) for user in uses):
                continue
            inner = self._bind(group, node, indices[0])
            if inner is not None:
                return group, indices[0], inner
        return None

    def _bind(self, group: Group, node: Node, index: Index) -> Index | None:
        """Let a group compute a reduction that it uses; return the operand's index, or None if it cannot."""
        if group.count >= MAX_INSTRUCTIONS or index.bounds or group.node is not None:
            return None
        covered = simple_axes(index, node.shape, group.extents)
        if covered is None:
            return None
        shape = node.inputs[0].shape
        axes = [a for a in reduced_axes(node) if shape[a] != 1]
        sizes = tuple([shape[a] for a in axes])
        free = tuple([a for a in range(len(group.extents)) if a not in covered])
        trailing = is_trailing(node)
        if group.reduced or free:
            if (group.reduced and group.reduced != free) or tuple([group.extents[a] for a in free]) != sizes or 0 in sizes:
                return None
            multi_pass = not group.reduced or node in group.broadcasts
            if multi_pass and not self._may_pass_again(group, free, trailing):
                self._note(f"{node.op} {shape}: not fused with its users, which would pass over columns again")
                return None
            if not group.reduced:
                group.trailing = trailing
            group.trailing = group.trailing and trailing
        else:
            if any(shape[a] == 0 for a in axes):
                return None
            free = tuple(range(len(group.extents), len(group.extents) + len(sizes)))
            group.extents = group.extents + sizes
            group.trailing = trailing
        group.reduced = free
        expressions = list(index.expressions)
        for axis, number in zip(axes, free, strict=True):
            expressions[axis] = (0, ((number, 1),))
        return intern(tuple(expressions))

    def _may_pass_again(self, group: Group, reduced: tuple[int, ...], trailing: bool) -> bool:
        """Return whether a nest may pass several times over its reduced axes: over rows, if there are many of them or they are small."""
        size = group.size
        if size <= 2048:
            return trailing
        rows = size
        for axis in reduced:
            rows //= group.extents[axis]
        return trailing and group.trailing and (rows >= 8 or size <= MAX_SERIAL_ELEMENTS)

    # --- groups that read the same array ------------------------------------------------------------------------------------------

    def _merge_users(self, node: Node, uses: Uses) -> Uses:
        """Merge the users that walk the node point by point and do not depend on each other."""
        candidates = [
            (g, indices[0])
            for g, indices in uses.items()
            if type(g) is Group and g.node is None and len(indices) == 1 and g.covers(indices[0], node.shape) == 2
        ]
        if len(candidates) < 2:
            return uses
        kept: list[tuple[Group, Index]] = []
        for group, index in candidates:
            for base, base_index in kept:
                if self._try_merge(base, base_index, group, index):
                    break
            else:
                kept.append((group, index))
        if len(kept) == len(candidates):
            return uses
        self.uses[node] = uses
        return self._uses_of(node)

    def _try_merge(self, base: Group, base_index: Index, group: Group, index: Index) -> bool:
        reaches = self.graph.reaches
        if base.count + group.count > MAX_INSTRUCTIONS or base.loads + group.loads + len(base.roots) + len(group.roots) > MAX_ARRAYS:
            return False
        if reaches(base, group) or reaches(group, base):
            return False
        if base_index is not index and base_index.expressions != index.expressions:
            return False  # the same points in another order of axes
        if not self._compatible(base, group):
            return False
        base.entries.extend(group.entries)
        base.roots.update(group.roots)
        base.broadcasts |= group.broadcasts
        base.count += group.count
        base.loads += group.loads
        if not base.reduced:
            base.reduced, base.trailing = group.reduced, group.trailing
        for root in group.roots:
            self.plan.stored[root] = base
        self.graph.merge(base, group)
        return True

    def _compatible(self, base: Group, group: Group) -> bool:
        """Return whether the reductions of two groups with the same points can share a nest."""
        if base.reduced and group.reduced:
            return base.reduced == group.reduced and base.trailing == group.trailing
        one = base if base.reduced else group
        return not one.reduced or self._may_pass_again(one, one.reduced, one.trailing)
