"""`vmap`: a function of one example becomes a function of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from trine import tree
from trine.autograd.batching import widened
from trine.core import build
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.tensor import recorder
from trine.tensor.alias import assign
from trine.tensor.function_batching import batch_calls
from trine.tensor.levels import RandomnessError, VmapLevel
from trine.tensor.recorder import held_back, local, record
from trine.tensor.tensor import Tensor

RANDOMNESS = ("error", "different", "same")


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Return a function that applies `func` to every example of a batch at once.

    `func` is recorded once, for one example; the operations on the whole batch are found by a table of rules, one for each primitive.
    Nests to any depth, and with the other transformations of `trine.func`.

    Args:
        func: takes and returns tensors, or nested containers of them.
        in_dims: which axis of each argument is the batch, None for an argument that is the same for all examples: an integer, or a
            structure of them like the arguments' or like its upper part.
        out_dims: where the batch goes in the results; None for a result that does not depend on the example.
        randomness: "error" forbids random operations, "different" gives each example numbers of its own, "same" the same to all.
        chunk_size: how many examples to take at once; None for all.

    Raises:
        ArgumentError: in_dims or out_dims do not fit, or no argument is mapped over. ShapeError: sizes of the batch differ.
        ObservedExampleError: `func` observes a value that differs between the examples. InPlaceError: it writes such a value to a tensor
            from outside.

    >>> import trine
    >>> dot = trine.vmap(trine.dot)
    >>> dot(trine.ones(3, 4), trine.ones(3, 4))
    tensor([4., 4., 4.])
    >>> trine.vmap(trine.func.grad(lambda x: (x ** 3).sum()))(trine.tensor([[1.0], [2.0]]))
    tensor([[ 3.],
            [12.]])
    """
    if randomness not in RANDOMNESS:
        expected = "'error', 'different' or 'same'"
        raise RandomnessError(message("vmap: randomness", received=randomness, expected=expected))
    if chunk_size is not None and chunk_size <= 0:
        raise ArgumentError(message("vmap: chunk_size", received=chunk_size, expected="None or a positive number"))

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten(args)
        dims = _dims_of_arguments(in_dims, args, leaves, structure)
        size = _batch_size(leaves, dims)
        call = functools.partial(_run, func, structure, dims, out_dims, randomness, kwargs)
        if chunk_size is None or size <= chunk_size:
            return call(leaves, size)
        return _in_chunks(call, leaves, dims, out_dims, size, chunk_size)

    return wrapped


def _dims_of_arguments(in_dims: Any, args: tuple[Any, ...], leaves: Sequence[Any], structure: tree.Structure) -> list[int | None]:
    if not isinstance(in_dims, int | tuple | list):
        expected = "an integer, or a structure like the arguments'"
        raise ArgumentError(message("vmap: in_dims", received=type(in_dims).__name__, expected=expected))
    if not args:
        raise ArgumentError(message("vmap: no arguments", received="nothing", expected="at least one argument to map over"))
    wanted = tuple(in_dims) if isinstance(in_dims, list) else in_dims
    dims = spread(wanted, structure, "in_dims")
    found: list[int | None] = []
    for leaf, dim in zip(leaves, dims, strict=True):
        if dim is None:
            found.append(None)
            continue
        if not isinstance(leaf, Tensor):
            received = f"in_dim {dim} for an argument of type {type(leaf).__name__}"
            raise ArgumentError(message("vmap: only tensors can be mapped over", received=received, expected="a Tensor", fix="in_dim None"))
        rank = leaf.dim()
        if not -rank <= dim < rank:
            received = f"in_dim {dim} for a tensor of shape {tuple(leaf.shape)}"
            raise ArgumentError(message("vmap: in_dim out of range", received=received, expected=f"from {-rank} to {rank - 1}"))
        found.append(dim % rank)
    if all(d is None for d in found):
        raise ArgumentError(message("vmap: at least one argument must be mapped over", received=f"in_dims {in_dims}", expected="an axis"))
    return found


def spread(dims: Any, structure: tree.Structure, what: str) -> list[int | None]:
    """Return one entry for each leaf of a structure, of which `dims` is like an upper part.

    Raises:
        ArgumentError: it is not.
    """
    if dims is None or (isinstance(dims, int) and not isinstance(dims, bool)):
        return [dims] * structure.num_leaves
    parts: list[Any] | None = None
    if structure.kind is not None and isinstance(dims, list | tuple) and issubclass(structure.kind, list | tuple):
        parts = list(dims)
    elif structure.kind is not None and isinstance(dims, dict) and issubclass(structure.kind, dict):
        keys: Any = structure.extra
        parts = [dims[k] for k in keys] if set(keys) == set(dims) else None
    if parts is None or len(parts) != len(structure.children):
        received = f"{what} {dims!r} for {structure.num_leaves} values"
        raise ArgumentError(message(f"vmap: {what} does not fit the structure", received=received, expected="the same containers"))
    return [d for part, child in zip(parts, structure.children, strict=True) for d in spread(part, child, what)]


def _batch_size(leaves: Sequence[Any], dims: Sequence[int | None]) -> int:
    sizes = [leaf.shape[d] for leaf, d in zip(leaves, dims, strict=True) if d is not None]
    if any(s != sizes[0] for s in sizes):
        received = f"sizes {sizes} along the axes that are mapped over"
        raise ShapeError(message("vmap: the sizes of the batch differ", received=received, expected="one size"))
    return int(sizes[0])


def _run(
    func: Callable[..., Any],
    structure: tree.Structure,
    dims: Sequence[int | None],
    out_dims: Any,
    randomness: str,
    kwargs: dict[str, Any],
    leaves: Sequence[Any],
    size: int,
) -> Any:
    with held_back():
        firsts = [leaf if d is None else leaf.movedim(d, 0) for leaf, d in zip(leaves, dims, strict=True)]
        level = VmapLevel(size, randomness)
        examples = [leaf if d is None else level.example(leaf) for leaf, d in zip(firsts, dims, strict=True)]
        places = [e._slot if d is not None else -1 for e, d in zip(examples, dims, strict=True)]
        local.levels.append(level)
        try:
            results = func(*tree.unflatten(structure, examples), **kwargs)
            outputs, out_structure = tree.flatten(results)
            _check_outputs(outputs)
            if level.trace.cuts:
                batch_calls(level)
            written = [i for i, (e, p) in enumerate(zip(examples, places, strict=True)) if p >= 0 and e._slot != p]
            batched = level.batched([*outputs, *(examples[i] for i in written)])
        finally:
            local.levels.pop()
        for i, value in zip(written, batched[len(outputs) :], strict=True):
            assign(leaves[i], (value if value is not None else record(_widened, (examples[i],), size)).movedim(0, dims[i]))
        where = spread(out_dims, out_structure, "out_dims")
        made = [_placed(o, over, d, size) for o, over, d in zip(outputs, batched, where, strict=False)]
    if local.eager and not local.in_pass:
        recorder.flush()
    return tree.unflatten(out_structure, made)


def _check_outputs(outputs: Sequence[Any]) -> None:
    for output in outputs:
        if not isinstance(output, Tensor):
            received = f"a result of type {type(output).__name__}"
            raise ArgumentError(message("vmap: the function must return tensors only", received=received, expected="Tensors"))


def _placed(output: Tensor, batched: Tensor | None, dim: int | None, size: int) -> Tensor:
    """Return a result with the batch at its place."""
    if dim is None:
        if batched is not None:
            received = "out_dims None for a result that differs between the examples"
            raise ArgumentError(message("vmap: out_dims", received=received, expected="an axis for the batch"))
        return output
    whole: Tensor = record(_widened, (output,), size) if batched is None else batched
    rank = whole.dim()
    if not -rank <= dim < rank:
        received = f"out_dim {dim} for a result of shape {tuple(output.shape)}"
        raise ArgumentError(message("vmap: out_dim out of range", received=received, expected=f"from {-rank} to {rank - 1}"))
    return whole if dim % rank == 0 else whole.movedim(0, dim)


def _widened(node: Node, size: int) -> Node:
    return widened(node, False, size)


def _in_chunks(
    call: Callable[..., Any], leaves: Sequence[Any], dims: Sequence[int | None], out_dims: Any, size: int, chunk_size: int
) -> Any:
    parts: list[list[Tensor]] = []
    structure = None
    for start in range(0, size, chunk_size):
        count = min(chunk_size, size - start)
        piece = [leaf if d is None else leaf.narrow(d, start, count) for leaf, d in zip(leaves, dims, strict=True)]
        flat, structure = tree.flatten(call(piece, count))
        parts.append(flat)
    if structure is None:
        return call(leaves, size)
    where = spread(out_dims, structure, "out_dims")
    joined = []
    for row, dim in zip(zip(*parts, strict=True), where, strict=True):
        if dim is None:
            joined.append(row[0])
        else:
            axis = dim % row[0].dim()
            joined.append(record(_concat, row, axis))
    return tree.unflatten(structure, joined)


def _concat(*arguments: Any) -> Node:
    *nodes, axis = arguments
    return build.concat(nodes, axis)
