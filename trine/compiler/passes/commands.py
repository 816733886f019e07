"""From scheduled groups to commands: values for what is stored, a loop nest or a heavy primitive's lowering for each group."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from trine.compiler.lower.dot import Packed
from trine.compiler.lower.index import lower_box
from trine.compiler.lower.loop import lower_loop
from trine.compiler.nest import Access, Axis, Instruction, LoopNest
from trine.compiler.passes import heavy
from trine.compiler.passes.fuse import FusionPlan
from trine.compiler.passes.groups import Group, Port
from trine.compiler.passes.nests import Builder
from trine.compiler.passes.tables import CHANNEL_OPERANDS
from trine.compiler.passes.views import Index, channels_last, element_strides, row_major
from trine.compiler.program import Command, HostCommand, Value
from trine.compiler.target import Target
from trine.core.graph import Graph, Node
from trine.dtypes import DType
from trine.errors import UnsupportedError

AnyCommand = Command | HostCommand
SCALARS_SLOT = 3


class Lowering:
    """Makes the commands of one graph.

    Attributes:
        commands: in order.
        inputs: the value of each input position that is used; outputs: one for each output.
        aliases: values that lie inside another one: (the other, byte offset).
        nests: the loop nest of each group, in order of lowering.
        in_place: (input value, output value) pairs that one command reads and writes at the same positions.
        packed: operands of products that were packed.
        placed: (concatenation, number of an operand) where the operand is computed in its place.
        fallbacks: (nodes, reason) of what runs on the host.
        status_nodes: the nodes that kernels may report, by number.
    """

    def __init__(self, graph: Graph, plan: FusionPlan, channels_last_nodes: set[Node], target: Target, threads: int) -> None:
        self.graph = graph
        self.plan = plan
        self.channels_last_nodes = channels_last_nodes
        self.target = target
        self.threads = threads
        self.commands: list[AnyCommand] = []
        self.inputs: dict[int, Value] = {}
        self.outputs: list[Value] = []
        self.aliases: dict[Value, tuple[Value, int]] = {}
        self.nests: list[LoopNest] = []
        self.in_place: set[tuple[Value, Value]] = set()
        self.fallbacks: list[tuple[tuple[Node, ...], str]] = []
        self.status_nodes: list[Node] = []
        self._node_ids: dict[Node, int] = {}
        self._values: dict[Node, Value] = {}
        self._extra: dict[Node, list[Value]] = {}
        self._converted: dict[Value, Value] = {}
        self._copies: list[tuple[Node, Value]] = []
        self.packed: Packed = {}
        ports = [port for group, ports in plan.ports.items() if group.node is not None and group.node.op == "dot" for port in ports]
        self._num_products = Counter([(port.source, port.index) for port in ports])
        self.placed: set[tuple[Node, int]] = set()
        self._place_outputs()
        self._place_pieces()

    def run(self, groups: Sequence[Group]) -> None:
        """Lower the groups in order, then the copies that outputs need."""
        for group in groups:
            if group.node is not None:
                self._heavy(group, group.node)
            else:
                self._nest(group)
        for node, output in self._copies:
            self.commands += self.copy(self.value(node), output, (node,))

    # --- values -----------------------------------------------------------------------------------------------------------------

    def _place_outputs(self) -> None:
        seen: set[Node] = set()
        for position, node in enumerate(self.graph.outputs):
            value = Value(node.shape, node.dtype, row_major(node.shape), "output", position)
            self.outputs.append(value)
            if node.op == "input":
                if (position, node.attrs[0]) in self.graph.donations:
                    continue  # the memory has the result already
                self._copies.append((node, value))
            elif node not in seen:
                seen.add(node)
                self._values[node] = value
            elif self.plan.stored[node].node is None:
                self._extra.setdefault(node, []).append(value)
            else:
                self._copies.append((node, value))

    def _place_pieces(self) -> None:
        """Let operands of a concatenation whose place in it is one piece of memory be computed there; larger ones come first."""
        outputs = set(self.graph.outputs)
        for group, ports in self.plan.ports.items():
            node = group.node
            if node is None or node.op != "concat" or node.dtype.is_complex or node in outputs or node in self.channels_last_nodes:
                continue
            if math.prod(node.shape[: node.attrs[0]]) != 1:
                continue
            offset = 0
            for port in ports:
                source, size = port.source, math.prod(node.inputs[port.operand].shape)
                if source is not None and port.index is None and source in self.plan.stored and self._is_free(source, outputs):
                    piece = Value(source.shape, source.dtype, row_major(source.shape))
                    self.aliases[piece] = (self.value(node), offset * source.dtype.itemsize)
                    self._values[source] = piece
                    self.placed.add((node, port.operand))
                offset += size

    def _is_free(self, node: Node, outputs: set[Node]) -> bool:
        """Return whether a stored node may lie anywhere."""
        return node not in self._values and node not in outputs and node not in self.channels_last_nodes and node.op != "input"

    def value(self, node: Node) -> Value:
        """Return where a stored node or an input lives."""
        found = self._values.get(node)
        if found is not None:
            return found
        shape = node.shape
        if node.op == "input":
            position = node.attrs[0]
            known = self.inputs.get(position)
            if known is None or known.shape != shape or known.dtype is not node.dtype:
                alias = known
                known = Value(shape, node.dtype, row_major(shape), "input", position)
                if alias is not None:
                    self.aliases[known] = (alias, 0)
                else:
                    self.inputs[position] = known
            found = known
        else:
            strides = channels_last(shape) if node in self.channels_last_nodes and node not in self.plan.flat else row_major(shape)
            found = Value(shape, node.dtype, strides)
        self._values[node] = found
        return found

    def temporary(self, shape: tuple[int, ...], dtype: DType) -> Value:
        """Return a new row-major temporary."""
        return Value(shape, dtype, row_major(shape))

    def whole(self, value: Value, shape: tuple[int, ...], nodes: tuple[Node, ...]) -> Value:
        """Return a row-major value of `shape` over the memory of a value, which is copied if it is not row-major itself."""
        if value.strides != row_major(value.shape) and not _is_dense(value):
            copied = self._converted.get(value)
            if copied is None:
                copied = self._converted[value] = self.temporary(value.shape, value.dtype)
                self.commands += self.copy(value, copied, nodes)
            value = copied
        if value.shape == shape:
            return value
        alias = Value(shape, value.dtype, row_major(shape), value.kind, value.position)
        self.aliases[alias] = (value, 0)
        return alias

    # --- nests ------------------------------------------------------------------------------------------------------------------

    def _nest(self, group: Group) -> None:
        stores: list[tuple[Node, Value, tuple[int, ...] | None]] = []
        for root in group.roots:
            flat = self.plan.flat.get(root)
            stores.append((root, self.value(root), flat))
            stores.extend((root, extra, flat) for extra in self._extra.get(root, ()))
        stores = [store for store in stores if 0 not in store[1].shape]
        if not stores:
            return
        places = _Places(self)
        nest = Builder(group).build(places, stores)
        self.nests.append(nest)
        try:
            commands = self._lower_loop(nest)
        except UnsupportedError as error:
            self._on_host(group, stores, str(error))
            return
        self.commands += commands
        if not group.reduced:
            self._note_in_place(nest)

    def _lower_loop(self, nest: LoopNest) -> list[Command]:
        return lower_loop(self.target, nest, self.temporary, self.threads, self._node_id)

    def _node_id(self, node: Node | None) -> int:
        """Return the number by which the status block names a node."""
        if node is None:
            return -1
        number = self._node_ids.get(node)
        if number is None:
            number = self._node_ids[node] = len(self.status_nodes)
            self.status_nodes.append(node)
        return number

    def _note_in_place(self, nest: LoopNest) -> None:
        for _, number in nest.stores:
            store = nest.accesses[number]
            if store.value.kind != "output":
                continue
            reads: dict[Value, bool] = {}
            for instruction in nest.instructions:
                if instruction.op == "load":
                    load = nest.accesses[instruction.attrs[0]]
                    if load.value.kind == "input":
                        same = load.strides == store.strides and load.offset == store.offset and not load.bounds
                        base = self.base(load.value)
                        reads[base] = reads.get(base, True) and same
            self.in_place.update((value, store.value) for value, same in reads.items() if same)

    def base(self, value: Value) -> Value:
        """Return the value whose memory a value lies in."""
        while value in self.aliases:
            value = self.aliases[value][0]
        return value

    def copy(self, source: Value, target: Value, nodes: tuple[Node, ...]) -> list[AnyCommand]:
        """Return the commands that copy one value to another of the same shape; either may have any strides."""
        shape = source.shape
        return self._copy(heavy.View(source, 0, source.strides, shape), heavy.View(target, 0, target.strides, shape), nodes)

    def _copy(self, source: heavy.View, target: heavy.View, nodes: tuple[Node, ...]) -> list[AnyCommand]:
        """Return the commands that copy one view to another of the same shape."""
        shape = source.shape
        if 0 in shape:
            return []
        if source.value.dtype.is_complex:
            return [
                *lower_box(source.value, target.value, shape, source.strides, target.strides, source.offset, target.offset, nodes=nodes)
            ]
        kept = sorted([k for k, size in enumerate(shape) if size != 1], key=lambda k: -target.strides[k])
        nest = LoopNest(
            [Axis(shape[k]) for k in kept] or [Axis(1)],
            [Access(view.value, view.offset, tuple([view.strides[k] for k in kept]) or (0,)) for view in (source, target)],
            [Instruction("load", (), source.value.dtype, (0,))],
            [(0, 1)],
            nodes,
        )
        return [*self._lower_loop(nest)]

    def copied(self, view: heavy.View, nodes: tuple[Node, ...]) -> heavy.View:
        """Return a row-major copy of a view."""
        result = heavy.View(self.temporary(view.shape, view.value.dtype), 0, row_major(view.shape), view.shape)
        self.commands += self._copy(view, result, nodes)
        return result

    def _on_host(self, group: Group, stores: Sequence[tuple[Node, Value, tuple[int, ...] | None]], reason: str) -> None:
        """Run a group node by node with the NumPy reference."""
        nodes: list[Node] = []
        values: dict[Node, Value] = {}
        targets = {node: value for node, value, _ in reversed(stores)}
        for node, _, operands in reversed(group.entries):
            if node in values:
                continue
            if operands is None:
                values[node] = self.whole(self.value(node), node.shape, (node,))
            elif node.op == "scalar":
                values[node] = Value((), node.dtype, (), "scalar", node.attrs[0], SCALARS_SLOT, 8 * node.attrs[0])
                if node in targets:
                    identity = Node("reshape", (node,), ((),), (), node.dtype)
                    self.commands.append(HostCommand(identity, [values[node]], targets[node]))
            else:
                target = targets.get(node)
                direct = target is not None and target.strides == row_major(node.shape)
                values[node] = target if direct and target is not None else self.temporary(node.shape, node.dtype)
                self.commands.append(HostCommand(node, [values[n] for n in node.inputs], values[node]))
                nodes.append(node)
        for node, value, _ in stores:
            if value is not values[node]:
                self.commands += self.copy(values[node], value, (node,))
        self.fallbacks.append((tuple(nodes), reason))

    # --- heavy primitives -------------------------------------------------------------------------------------------------------

    def _heavy(self, group: Group, node: Node) -> None:
        ports = self.plan.ports[group]
        epilogue = self.plan.epilogues.get(node)
        if epilogue is not None:
            self._with_epilogue(group, node, *epilogue)
            return
        view = self.plan.views.get(node)
        output = self.value(view[0] if view is not None else node)
        result = heavy.View(output, 0, view[1] if view is not None else output.strides, node.shape)
        self._heavy_command(node, ports, result, is_view=view is not None)

    def _with_epilogue(self, group: Group, node: Node, root: Node, index: Index) -> None:
        """A heavy primitive that works in the memory of `root`, and what its group does with each tile."""
        output = self._values[node] = self.value(root)
        if 0 in node.shape:
            return
        stores = [(stored, self.value(stored), self.plan.flat.get(stored)) for stored in group.roots]
        nest = Builder(group).build_epilogue(_Places(self), stores, node, index)
        result = heavy.View(output, 0, output.strides, node.shape)
        lowerer = heavy.WITH_EPILOGUE.get(node.op)
        if lowerer is not None and not node.dtype.is_complex:
            try:
                self.commands += lowerer(self, node, [self._port(node, port) for port in self.plan.ports[group]], result, nest)
                self.nests.append(nest)
                return
            except UnsupportedError:
                pass  # in two steps, then
        self._heavy_command(node, self.plan.ports[group], result, is_view=False)
        self.nests.append(nest)
        try:
            self.commands += self._lower_loop(nest)
        except UnsupportedError as error:
            self._on_host(group, stores, str(error))

    def _heavy_command(self, node: Node, ports: Sequence[Port], result: heavy.View, is_view: bool) -> None:
        """Compute a heavy primitive into a view of a value."""
        output = result.value
        if 0 in node.shape:
            return
        is_complex = node.dtype.is_complex or any([operand.dtype.is_complex for operand in node.inputs])
        lowerer = heavy.LOWERERS.get(node.op) if not is_complex else None
        if lowerer is not None:
            try:
                self.commands += lowerer(self, node, [self._port(node, port) for port in ports], result)
                return
            except UnsupportedError as error:
                reason = str(error)
        else:
            reason = f"{node.op}: no native kernel{' for complex numbers' if is_complex else ''}"
        self.fallbacks.append(((node,), reason))
        operands = [self._materialized(node, port) for port in ports]
        direct = not is_view and output.strides == row_major(output.shape)
        computed = output if direct else self.temporary(node.shape, node.dtype)
        self.commands.append(HostCommand(node, operands, computed))
        if is_view:
            self.commands += self._copy(heavy.View(computed, 0, computed.strides, node.shape), result, (node,))
        elif not direct:
            self.commands += self.copy(computed, output, (node,))

    def _source(self, port: Port) -> Value:
        if port.source is None:
            raise UnsupportedError("an operand of a command has no value")
        return self.value(port.source)

    def _port(self, node: Node, port: Port) -> heavy.View:
        """Return an operand as a strided view."""
        value = self._source(port)
        shape = node.inputs[port.operand].shape
        if port.whole is not None:
            channels = CHANNEL_OPERANDS.get(node.op, ())
            if not (port.operand in channels and value.shape == port.whole):
                value = self.whole(value, port.whole, (node,))
        is_shared = self._num_products[port.source, port.index] > 1
        if port.index is None:
            return heavy.View(value, 0, value.strides, shape, is_shared)
        rank = sum([1 for size in shape if size != 1])
        offset, strides = element_strides(port.index, value.strides, rank)
        walked = iter(strides)
        return heavy.View(value, offset, tuple([0 if size == 1 else next(walked) for size in shape]), shape, is_shared)

    def _materialized(self, node: Node, port: Port) -> Value:
        """Return an operand as a row-major value, copying its view if it is not one."""
        view = self._port(node, port)
        shape, dtype = view.shape, view.value.dtype
        kept = [k for k in range(len(shape)) if shape[k] != 1]
        strides = row_major(shape)
        if all(view.strides[k] == strides[k] for k in kept):
            if view.offset == 0 and shape == view.value.shape:
                return view.value
            alias = Value(shape, dtype, strides, view.value.kind, view.value.position)
            self.aliases[alias] = (view.value, view.offset * dtype.itemsize)
            return alias
        result = self.temporary(shape, dtype)
        self.commands += self._copy(view, heavy.View(result, 0, strides, shape), (node,))
        return result


class _Places(dict[Node, Value]):
    """Values by node, made when they are first asked for."""

    def __init__(self, lowering: Lowering) -> None:
        super().__init__()
        self._lowering = lowering

    def __missing__(self, node: Node) -> Value:
        return self._lowering.value(node)


def _is_dense(value: Value) -> bool:
    """Return whether a value is row-major but for axes of size 1."""
    return all(a == b or size == 1 for a, b, size in zip(value.strides, row_major(value.shape), value.shape, strict=True))
