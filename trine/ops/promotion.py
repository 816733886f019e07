"""How operands of different dtypes meet: PyTorch's promotion rules over nodes."""

from __future__ import annotations

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node, context
from trine.dtypes import DIMENSIONED, WEAK, ZERO_DIM, DType
from trine.tensor.convert import defaults


def category(node: Node) -> int:
    """Return how much the node counts in promotion: a Python number is weak, a 0-d tensor counts less than one with axes.

    Python's complex numbers come as constants of complex128 (real ones as run-time scalars).
    """
    if node.op == "scalar" or (node.op == "const" and node.dtype is dtypes.complex128):
        return WEAK
    return DIMENSIONED if node.shape else ZERO_DIM


def result_dtype(*nodes: Node) -> DType:
    """Return the common dtype of nodes, as `torch.result_type`."""
    first = nodes[0].dtype
    if all(node.dtype is first and node.op != "scalar" for node in nodes):
        return first
    return dtypes.result_type(*[(node.dtype, category(node)) for node in nodes], default=defaults.dtype)


def as_dtype(node: Node, dtype: DType) -> Node:
    """Return the node cast to `dtype`, or itself."""
    return node if node.dtype is dtype else b.cast(node, dtype)


def promote(*nodes: Node) -> tuple[Node, ...]:
    """Cast all nodes to their common dtype."""
    dtype = result_dtype(*nodes)
    return tuple([as_dtype(node, dtype) for node in nodes])


def promote_pair(x: Node, y: Node) -> tuple[Node, Node]:
    """Cast two nodes to their common dtype."""
    if x.dtype is y.dtype and x.op != "scalar" and y.op != "scalar":
        return x, y
    dtype = result_dtype(x, y)
    return as_dtype(x, dtype), as_dtype(y, dtype)


def as_float(node: Node) -> Node:
    """Return the node; integers and bool become the default dtype."""
    if node.dtype.is_differentiable and node.op != "scalar":
        return node
    return as_dtype(node, dtypes.result_type((node.dtype, category(node)), (dtypes.float64, WEAK), default=defaults.dtype))


def promote_float(*nodes: Node) -> tuple[Node, ...]:
    """Cast all nodes to their common dtype, integers to the default dtype."""
    dtype = result_dtype(*nodes)
    if not dtype.is_differentiable:
        dtype = defaults.dtype
    return tuple([as_dtype(node, dtype) for node in nodes])


def number(value: float | int | bool | complex, like: Node) -> Node:
    """Return the 0-d constant `value` with the dtype of `like`."""
    return b.const(value, like.dtype)


def with_zero_gradient(result: Node, x: Node) -> Node:
    """Return `result`, which does not depend on the values of `x`, as a node whose gradient for `x` is zero instead of missing."""
    if not x.requires_grad or not context.grad_enabled or not result.dtype.is_differentiable:
        return result
    total = b.sum(b.real(x) if x.dtype.is_complex and not result.dtype.is_complex else x, tuple(range(len(x.shape))))
    total = as_dtype(b.reshape(total, ()), result.dtype)
    return b.where(b.const(False, dtypes.bool_), b.expand(total, result.shape), result)


def size(extent: int, dtype: DType) -> Node:
    """Return a number that follows from shapes (how many elements a mean has) as a 0-d node.

    The end of an iota instead of a constant: its value is a parameter of the kernel, so that one kernel serves every size.
    """
    end = b.slice(b.iota((extent + 1,), 0), (extent,), (extent + 1,), (1,))
    return as_dtype(b.reshape(end, ()), dtype)
