"""The order of the commands: dependencies first, otherwise as the graph was recorded, so that values die young."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from trine.compiler.passes.fuse import FusionPlan
from trine.compiler.passes.groups import Group
from trine.core.graph import Graph, Node


def schedule(plan: FusionPlan, graph: Graph) -> list[Group]:
    """Return the groups in an order in which they can run."""
    users: dict[Group, list[Group]] = {group: [] for group in plan.groups}
    waiting: dict[Group, int] = dict.fromkeys(plan.groups, 0)
    readers: dict[int, set[Group]] = {i: set() for _, i in graph.donations}
    stored = plan.stored
    for group in plan.groups:
        sources: list[Node | None] = [entry[0] for entry in group.entries if entry[2] is None]
        if group.node is not None:
            sources += [port.source for port in plan.ports[group]]
        seen = set()
        for node in sources:
            if node is None:
                continue
            if node.op == "input":
                if node.attrs[0] in readers:
                    readers[node.attrs[0]].add(group)
                continue
            source = _resolve(stored[node])
            if source is not group and source not in seen:
                seen.add(source)
                users[source].append(group)
                waiting[group] += 1
    _readers_first(graph, stored, readers, users, waiting)
    return _kahn(plan.groups, users, waiting)


def _readers_first(
    graph: Graph, stored: dict[Node, Group], readers: dict[int, set[Group]], users: dict[Group, list[Group]], waiting: dict[Group, int]
) -> None:
    """Let the groups that read a donated input run before the one that writes over it, where that is possible."""
    added: dict[Group, set[Group]] = {}
    for output, position in graph.donations:
        writer = stored.get(graph.outputs[output])
        if writer is None:
            continue
        writer = _resolve(writer)
        for reader in readers[position]:
            if reader is writer or writer.reach >> reader.number & 1 or _depends(added, reader, writer):
                continue
            added.setdefault(reader, set()).add(writer)
            users[reader].append(writer)
            waiting[writer] += 1


def _depends(added: dict[Group, set[Group]], reader: Group, writer: Group) -> bool:
    """Return whether the reader would have to wait for the writer, by dependencies and the edges `added` so far."""
    if not added:
        return False
    pending, seen = [writer], {writer}
    while pending:
        group = pending.pop()
        if group is reader or group.reach >> reader.number & 1:
            return True
        for first, seconds in added.items():
            if first is group or group.reach >> first.number & 1:
                for second in seconds:
                    if second not in seen:
                        seen.add(second)
                        pending.append(second)
    return False


def _kahn(groups: Sequence[Group], users: dict[Group, list[Group]], waiting: dict[Group, int]) -> list[Group]:
    ready = [(group.position, group.number, group) for group in groups if not waiting[group]]
    heapq.heapify(ready)
    order = []
    while ready:
        group = heapq.heappop(ready)[2]
        order.append(group)
        for user in users[group]:
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, (user.position, user.number, user))
    return order


def _resolve(group: Group) -> Group:
    while group.merged is not None:
        group = group.merged
    return group
