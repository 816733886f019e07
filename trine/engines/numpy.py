"""The reference engine: every node runs as its NumPy reference, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trine.core.graph import Graph, Node, topological_order
from trine.core.interpreter import evaluate
from trine.runtime.memory import Buffer, allocate


class NumpyExecutable:
    """A graph that is interpreted."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._inputs: dict[int, Node] = {n.attrs[0]: n for n in topological_order(graph.outputs) if n.op == "input"}
        self._donated = dict(graph.donations)

    def run(self, inputs: Sequence[Buffer], scalars: Sequence[float | int] = ()) -> list[Buffer]:
        """Run it; see `trine.engines.base.Executable`."""
        arrays = [
            buffer.array(self._inputs[i].dtype.numpy, self._inputs[i].shape) if i in self._inputs else np.empty(0)
            for i, buffer in enumerate(inputs)
        ]
        outputs = []
        for position, array in enumerate(evaluate(self._graph.outputs, arrays, scalars)):
            source = self._donated.get(position)
            if source is not None and not inputs[source].readonly:
                buffer = inputs[source]
            else:
                buffer = allocate(array.nbytes)
            np.copyto(buffer.array(array.dtype, array.shape), array)
            outputs.append(buffer)
        return outputs


class NumpyEngine:
    """The engine called "numpy"."""

    name = "numpy"

    def compile(self, graph: Graph) -> NumpyExecutable:
        """Return what interprets a graph."""
        return NumpyExecutable(graph)
