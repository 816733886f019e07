"""What a function becomes: its graph, what was fused and what was not and why, the loops, and the commands of the plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine import config
from trine.core.graph import format_graph
from trine.errors import ArgumentError, message
from trine.tensor import Tensor, flush
from trine.tensor.execution import graph_of
from trine.tree import flatten


def explain(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Return how a call of `function` is compiled, as text: graph, groups, loop nests and commands, each with the user's lines.

    The function is called and recorded; nothing is run here, what it recorded stays pending.

    Raises:
        ArgumentError: the function returns no pending tensor.

    >>> import trine
    >>> x = trine.ones(4, 8)
    >>> text = trine.explain(lambda x: trine.softmax(x, -1), x)
    >>> "exp" in text and "command" in text
    True
    """
    from trine.compiler import explain as text
    from trine.compiler.pipeline import compile_stages
    from trine.compiler.target import host_target

    flush()
    result = function(*args, **kwargs)
    leaves = flatten(result)[0]
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    graph = graph_of(tensors)
    if graph is None:
        fix = "return the tensors that are to be explained, before they are observed"
        raise ArgumentError(message("explain: the function left nothing to run", received=type(result).__name__, fix=fix))
    compilation = compile_stages(graph, host_target(), config.settings.num_threads, explain_decisions=True)
    parts = ["graph", format_graph(compilation.graph.outputs), "", "groups", text.format_groups(compilation), "", "loop nests"]
    parts += [text.format_nest(nest) for nest in compilation.lowering.nests]
    parts += ["", "commands", text.format_program(compilation.program), *text.format_fallbacks(compilation)]
    return "\n".join(parts)
