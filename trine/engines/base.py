"""What an engine is: it compiles graphs, and runs what it compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trine.core.graph import Graph
from trine.runtime.memory import Buffer


class Executable(Protocol):
    """A compiled graph."""

    def run(self, inputs: Sequence[Buffer], scalars: Sequence[float | int] = (), finished: list[Buffer] | None = None) -> list[Buffer]:
        """Run it and return its outputs.

        Args:
            inputs: row-major arrays, by position. A donated one becomes the output that is written over it.
            scalars: run-time scalars, by position.
            finished: gets the outputs too, once everything has run: a caller that is interrupted can tell by it.

        Raises:
            IndexOutOfRangeError: an index is out of range.
            AllocationError: no memory is left.
        """


class Engine(Protocol):
    """Something that can run graphs.

    Attributes:
        name: by which `trine.engines.get` finds it.
    """

    name: str

    def prepare(self) -> None:
        """Load what every plan needs, so that the first one is not late."""

    def compile(self, graph: Graph) -> Executable:
        """Return what runs a graph."""
