"""The automaton of recorded programs: states, and what each remembers so that nothing is inferred twice."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from trine import config
from trine.core.graph import Node
from trine.dtypes import DType

if TYPE_CHECKING:
    from trine.tensor.execution import PlanEntry
    from trine.tensor.segments import Cut, Loop


class Meta:
    """Shape, dtype and requires_grad of a tensor; interned, so that identity is equality."""

    __slots__ = ("shape", "dtype", "requires_grad")
    _interned: dict[tuple[tuple[int, ...], DType, bool], Meta] = {}

    shape: tuple[int, ...]
    dtype: DType
    requires_grad: bool

    @classmethod
    def of(cls, shape: tuple[int, ...], dtype: DType, requires_grad: bool = False) -> Meta:
        """Return the one Meta with these properties."""
        key = (shape, dtype, requires_grad)
        meta = cls._interned.get(key)
        if meta is None:
            if len(cls._interned) > 1 << 18:
                cls._interned.clear()
            meta = cls()
            meta.shape, meta.dtype, meta.requires_grad = shape, dtype, requires_grad
            cls._interned[key] = meta
        return meta


PlanKey = tuple[tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...], tuple[str, str | None]]
"""What a plan was made for: live slots, donations, slots where gradients stop, engine and target."""


class EagerTransitions(dict[Hashable, "State"]):
    """Transitions of a program that runs op by op: hidden from the hot path, so that every operation passes through `record`."""

    def get(self, key: Hashable, default: Any = None) -> Any:
        return None


class State:
    """One step of a program's path.

    Attributes:
        next: transitions, from a key to the next State.
        parent: the State before, or None for a root.
        nodes: result nodes of this step (none for a change of mode).
        slot: number of its first result in the trace.
        end: number of results so far, this step included.
        meta: Meta of the first result (None without results); metas of all of them.
        grad_enabled: whether gradients are recorded after this step.
        overwritten: nodes whose tensor was written in place.
        freed: nodes that a backward pass has consumed (without retain_graph).
        plans: plans of flushes in this State, by (live slots, donations).
        info: what a backward step remembers: (slot of a leaf, slot of its gradient) pairs.
        segment: if not 0, recordings are run when they go on from here, and have so many results in their last segment
            (`trine.tensor.segments`); cut: what is known of the loop, where it is cut first.
    """

    __slots__ = (
        "next",
        "parent",
        "nodes",
        "slot",
        "end",
        "meta",
        "metas",
        "grad_enabled",
        "overwritten",
        "freed",
        "plans",
        "info",
        "segment",
        "cut",
    )

    def __init__(self, parent: State | None, nodes: tuple[Node, ...], grad_enabled: bool, eager: bool = False) -> None:
        self.next: dict[Hashable, State] = EagerTransitions() if eager else {}
        self.parent = parent
        self.nodes = nodes
        self.slot: int = parent.end if parent is not None else 0
        self.end: int = self.slot + len(nodes)
        self.metas = tuple(Meta.of(n.shape, n.dtype, n.requires_grad) for n in nodes)
        self.meta = self.metas[0] if nodes else None
        self.grad_enabled = grad_enabled
        self.overwritten: frozenset[Node] = parent.overwritten if parent is not None else frozenset()
        self.freed: frozenset[Node] = parent.freed if parent is not None else frozenset()
        self.plans: dict[PlanKey, PlanEntry] = {}
        self.info: Any = None
        self.segment = 0
        self.cut: Cut | None = None

    def find(self, key: Hashable) -> State | None:
        """Return the State after a transition, or None if it is new."""
        return dict.get(self.next, key)


class Automaton:
    """All states and plans of the process, bounded.

    When the number of states passes `max_states` the automaton starts afresh (running traces keep what they hold);
    plans are dropped least recently used first.
    """

    def __init__(self, max_states: int = 200_000, max_plans: int = 1024) -> None:
        self.max_states = max_states
        self.max_plans = max_plans
        self.num_states = 0
        self.num_plans_built = 0
        self._roots: dict[tuple[bool, bool], State] = {}
        self._plans: OrderedDict[tuple[State, PlanKey], None] = OrderedDict()
        self.loops: dict[Hashable, Loop] = {}

    def root(self, grad_enabled: bool, eager: bool) -> State:
        """Return the State in which a recording begins."""
        found = self._roots.get((grad_enabled, eager))
        if found is None:
            found = self._roots[grad_enabled, eager] = State(None, (), grad_enabled, eager)
        return found

    def add_state(self, state: State, key: Hashable, following: State) -> None:
        """Add a transition."""
        self.num_states += 1
        if self.num_states > self.max_states:
            self.clear()
        state.next[key] = following

    def add_plan(self, state: State, key: PlanKey, entry: PlanEntry) -> None:
        """Keep a plan, dropping the least recently used one when there are too many."""
        self.num_plans_built += 1
        state.plans[key] = entry
        self._plans[(state, key)] = None
        while len(self._plans) > self.max_plans:
            (old, old_key), _ = self._plans.popitem(last=False)
            old.plans.pop(old_key, None)

    def touch_plan(self, state: State, key: PlanKey) -> None:
        """Mark a plan as just used."""
        if (state, key) in self._plans:
            self._plans.move_to_end((state, key))

    def clear(self) -> None:
        """Forget all states and plans."""
        self.num_states = 0
        self._roots.clear()
        self._plans.clear()
        self.loops.clear()

    def info(self) -> dict[str, int]:
        """Return counts for `trine.cache_info()`."""
        return {
            "states": self.num_states,
            "max_states": self.max_states,
            "plans": len(self._plans),
            "max_plans": self.max_plans,
            "plans_built": self.num_plans_built,
        }


automaton = Automaton()

_PACKAGE = __file__.rsplit("tensor", 1)[0]


def user_source() -> str | None:
    """Return ``"file.py:12 in function"`` of the innermost frame outside Trine (called on a miss only)."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return None
    name = frame.f_code.co_name
    where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return where if name == "<module>" else f"{where} in {name}"


def max_records() -> int:
    """Return the number of results after which a recording is flushed."""
    return config.settings.max_records
