"""The names of `torch.fx` that models use around their code. Programs are recorded while they run (`trine.explain` shows how), so
there is nothing to trace symbolically.
"""

from __future__ import annotations

from typing import Any

from trine.errors import UnsupportedError, message

__all__ = ["Graph", "GraphModule", "Node", "Proxy", "Tracer", "symbolic_trace", "wrap"]


def wrap(fn_or_name: Any) -> Any:
    """Return the function (or its name): every function is a leaf already.

    >>> import trine
    >>> @trine.fx.wrap
    ... def half(x):
    ...     return x / 2
    >>> half(trine.ones(1))
    tensor([0.5000])
    """
    return fn_or_name


class _NeverMade:
    """A class of PyTorch's tracer, which code asks for with `isinstance`; there are no objects of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fix = "trine.explain(function, *args) shows what a function becomes"
        raise UnsupportedError(message(f"fx.{type(self).__name__}: programs are not traced symbolically", fix=fix))


class Proxy(_NeverMade):
    """Stands for a value while PyTorch traces; never made here."""


class Node(_NeverMade):
    """A step of a PyTorch graph; never made here."""


class Graph(_NeverMade):
    """A PyTorch graph; never made here."""


class GraphModule(_NeverMade):
    """A module made of a PyTorch graph; never made here."""


class Tracer(_NeverMade):
    """PyTorch's symbolic tracer; never made here."""


def symbolic_trace(root: Any, concrete_args: Any = None) -> Any:
    """Raise: programs are recorded while they run.

    Raises:
        UnsupportedError: always.
    """
    fix = "trine.explain(function, *args) shows what a function becomes"
    raise UnsupportedError(message("fx.symbolic_trace: programs are not traced symbolically", received=type(root).__name__, fix=fix))
