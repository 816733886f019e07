"""What the stages of a compilation leave behind, for checkers and for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trine.compiler.passes.commands import Lowering
from trine.compiler.passes.fuse import FusionPlan
from trine.compiler.passes.groups import Group
from trine.compiler.program import Program
from trine.core.graph import Graph, Node


@dataclass(eq=False, slots=True)
class Compilation:
    """What every stage made of a graph.

    Attributes:
        graph: after simplification.
        order: its nodes, operands first.
        plan: the groups.
        schedule: the groups in the order in which they run.
        lowering: values, nests and commands.
        program: the result.
    """

    graph: Graph
    order: Sequence[Node]
    plan: FusionPlan
    schedule: list[Group]
    lowering: Lowering
    program: Program
