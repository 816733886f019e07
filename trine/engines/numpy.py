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

    def run(self, inputs: Sequence[Buffer], scalars: Sequence[float | int] = (), finished: list[Buffer] | None = None) -> list[Buffer]:
        """Run it; see `trine.engines.base.Executable`."""
        arrays = [
            buffer.array(self._inputs[i].dtype.numpy, self._inputs[i].shape) if i in self._inputs else np.empty(0)
            for i, buffer in enumerate(inputs)
        ]
        results = evaluate(self._graph.outputs, arrays, scalars)
        outputs = []
        for position, array in enumerate(results):
            source = self._donated.get(position)
            is_written = source is not None and not inputs[source].readonly
            outputs.append(inputs[source] if is_written else allocate(array.nbytes))  # type: ignore[index]
            outputs[-1].writes += 1
        if self._donated:  # a result may be a view of an input that is written
            results = [array.copy() for array in results]
        pairs = list(zip(outputs, results, strict=True))
        interrupt: BaseException | None = None
        while True:
            try:
                for buffer, array in pairs:
                    np.copyto(buffer.array(array.dtype, array.shape), array)
                break
            except KeyboardInterrupt as error:  # all inputs are written, or none
                interrupt = error
        if finished is not None:
            finished += outputs
        if interrupt is not None:
            raise interrupt
        return outputs


class NumpyEngine:
    """The engine called "numpy"."""

    name = "numpy"

    def prepare(self) -> None:
        """Do nothing: all is there."""

    def compile(self, graph: Graph) -> NumpyExecutable:
        """Return what interprets a graph."""
        return NumpyExecutable(graph)
