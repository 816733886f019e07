"""Heavy primitives: which lowering serves which, and how its operands are handed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trine.compiler.lower.conv import lower_conv, lower_conv_input_grad
from trine.compiler.lower.conv_geometry import ConvAttributes
from trine.compiler.lower.dot import Matrix, lower_dot
from trine.compiler.program import Command, Value
from trine.compiler.target import Target
from trine.core.graph import Node
from trine.dtypes import DType


@dataclass(eq=False, slots=True)
class View:
    """A strided view of a value, in elements; one stride for each axis of `shape` (0 for sizes of 1 or broadcasting)."""

    value: Value
    offset: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]


class Context(Protocol):
    """What a lowering needs of the compilation."""

    target: Target
    threads: int

    def temporary(self, shape: tuple[int, ...], dtype: DType) -> Value:
        """Return a new row-major temporary."""


Lowerer = Callable[[Any, Node, Sequence[View], Value], list[Command]]


def _dot(context: Context, node: Node, operands: Sequence[View], output: Value) -> list[Command]:
    a, b = operands
    batch, (m, n), k = node.shape[:-2], node.shape[-2:], a.shape[-1]
    c = Matrix(output, 0, output.strides[:-2], output.strides[-2], output.strides[-1])
    return lower_dot(
        *(context.target, batch, m, n, k, _matrix(a), _matrix(b), c, node.dtype),
        temporaries=context.temporary,
        threads=context.threads,
        nodes=(node,),
    )


def _matrix(view: View) -> Matrix:
    return Matrix(view.value, view.offset, view.strides[:-2], view.strides[-2], view.strides[-1])


def _conv(context: Context, node: Node, operands: Sequence[View], output: Value) -> list[Command]:
    x, w = operands
    attributes = ConvAttributes(*node.attrs)
    return lower_conv(context.target, x.value, w.value, output, attributes, context.temporary, context.threads, nodes=(node,))


def _conv_input_grad(context: Context, node: Node, operands: Sequence[View], output: Value) -> list[Command]:
    gy, w = operands
    attributes = ConvAttributes(*node.attrs[1:])
    return lower_conv_input_grad(context.target, gy.value, w.value, output, attributes, context.temporary, context.threads, nodes=(node,))


LOWERERS: dict[str, Lowerer] = {
    "dot": _dot,
    "conv": _conv,
    "conv_input_grad": _conv_input_grad,
}
