"""Derivatives of functions: `grad`, `vjp`, `jvp`, `jacrev`, `jacfwd`, `hessian`, `linearize`. All of them nest, with `vmap` too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from trine import tree
from trine.autograd.forward import PASSED
from trine.core.graph import Node, substitute
from trine.errors import ArgumentError, DTypeError, GradientError, ShapeError, message
from trine.tensor import autograd, recorder
from trine.tensor.alias import take_value
from trine.tensor.fragment import gradient_leaves
from trine.tensor.levels import JvpLevel, standing_for
from trine.tensor.recorder import held_back, local, record
from trine.tensor.tensor import Tensor
from trine.tensor.vmap import vmap

Function = Callable[..., Any]
Argnums = int | tuple[int, ...]


class _Enabled:
    """Context manager: gradients are recorded inside, whatever the mode is; `before` is the mode outside."""

    def __enter__(self) -> _Enabled:
        self.before = recorder.set_grad_enabled(True)
        return self

    def __exit__(self, *_: object) -> None:
        recorder.set_grad_enabled(self.before)


def _fresh(op: str, leaf: Any) -> Any:
    """Return a tensor with the same value that requires grad: what the derivative is taken with respect to."""
    if not isinstance(leaf, Tensor):
        received = type(leaf).__name__
        raise ArgumentError(message(f"{op}: an argument to differentiate is not a tensor", received=received, expected="Tensors"))
    if not (leaf.dtype.is_floating_point or leaf.dtype.is_complex):
        received, fix = f"a {leaf.dtype.name} tensor", "x.float()"
        raise DTypeError(message(f"{op}: only floating-point tensors have derivatives", received=received, fix=fix))
    fresh = record(standing_for, (leaf,))
    if not fresh.requires_grad:
        take_value(fresh, record(_leaf, (fresh,)))
        if fresh._trace is not None:
            local.trace.leaf_tensors[fresh._slot] = fresh
    return fresh


def _leaf(node: Node) -> Node:
    return Node("stop_gradient", (node,), PASSED, node.shape, node.dtype, True, node.source)


def _closed(results: Sequence[Any], fresh: Sequence[Tensor]) -> list[Any]:
    """Return results that do not require grad because of the tensors that were made to (what else they need stays)."""
    trace = local.trace
    mine = {id(f) for f in fresh if f.is_leaf}
    closing = [r for r in results if isinstance(r, Tensor) and r.requires_grad and mine]
    if not closing:
        return list(results)
    pending = [r for r in closing if r._buffer is None and (r._alias is None or trace.slot_of(r) >= 0) and r._trace is trace]
    changed: dict[int, Any] = {}
    slots = tuple(r._slot for r in pending)
    own = tuple(f._slot for f in fresh if id(f) in mine and f._trace is trace)
    if pending:
        key = ("close", slots, own)
        state = trace.state.find(key)
        if state is None:
            nodes = trace.nodes()
            made = recorder.build_nodes(trace.state, lambda: _closed_nodes([nodes[s] for s in slots], [nodes[s] for s in own]), (), ())
            state = trace.advance(key, recorder.distinct(tuple(made), [nodes[s] for s in slots], trace.state.grad_enabled))
        trace.state = state
        for i, (r, meta) in enumerate(zip(pending, state.metas, strict=True)):
            changed[id(r)] = trace.result(state.slot + i, meta)
    for r in closing:  # values that were observed
        if id(r) not in changed and r._fragment is not None:
            receivers = getattr(r._fragment[0], "leaf_tensors", ())
            if all(id(t) in mine for t in receivers):
                changed[id(r)] = r.detach()
    return [changed.get(id(r), r) if isinstance(r, Tensor) else r for r in results]


def _closed_nodes(nodes: list[Node], own: list[Node]) -> list[Node]:
    """Return the nodes with the leaves `own` replaced by what they stand for, which does not require grad."""
    mapping = {leaf: leaf.inputs[0] for leaf in own if leaf.inputs}
    mine = set(own)
    made = []
    for node in nodes:
        leaves, _ = gradient_leaves([node])
        if node in mapping:
            made.append(mapping[node])
        elif all(leaf in mine for leaf in leaves):
            made.append(Node("stop_gradient", (node,), PASSED, node.shape, node.dtype, False, node.source))
        else:
            found = substitute([node], mapping)[0]
            made.append(node if found is None else found)
    return made


def _split(argnums: Argnums, args: tuple[Any, ...], op: str) -> tuple[int, ...]:
    """Return the positions of the arguments to differentiate, from 0 on."""
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers or not all(isinstance(n, int) and -len(args) <= n < len(args) for n in numbers):
        raise ArgumentError(message(f"{op}: argnums", received=argnums, expected=f"numbers of the {len(args)} positional arguments"))
    positions = tuple(n % len(args) for n in numbers)
    if len(set(positions)) != len(positions):
        raise ArgumentError(message(f"{op}: argnums", received=argnums, expected="each argument once"))
    return positions


def _with(args: tuple[Any, ...], positions: Sequence[int], values: Sequence[Any]) -> list[Any]:
    changed = list(args)
    for position, value in zip(positions, values, strict=True):
        changed[position] = value
    return changed


def _unaux(results: Any, has_aux: bool, op: str) -> tuple[Any, Any]:
    """Return (results, auxiliary data)."""
    if not has_aux:
        return results, None
    if not isinstance(results, tuple) or len(results) != 2:
        raise ArgumentError(message(f"{op}: has_aux", received=type(results).__name__, expected="a function that returns (results, aux)"))
    return results


def grad_and_value(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return a function that gives the gradient of `func`, whose result is a scalar tensor, and its value.

    Args:
        func: from tensors (or containers of them) to one tensor of one element.
        argnums: which arguments to differentiate: a number, or a tuple of them for a tuple of gradients.
        has_aux: `func` returns (value, anything); the result is then (gradient, (value, anything)).

    >>> import trine
    >>> trine.func.grad_and_value(lambda x: x ** 2)(trine.tensor(3.0))
    (tensor(6.), tensor(9.))
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        positions = _split(argnums, args, "grad")
        with _Enabled() as mode:
            leaves, structure = tree.flatten([args[p] for p in positions])
            fresh = [_fresh("grad", leaf) for leaf in leaves]
            value, aux = _unaux(func(*_with(args, positions, tree.unflatten(structure, fresh)), **kwargs), has_aux, "grad")
            if not isinstance(value, Tensor) or value.numel() != 1 or value.dim():
                received = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise GradientError(message("grad: the function must return a scalar", received=received, expected="a 0-d tensor"))
            found = _gradients([value], fresh, [None])
        recorder.set_grad_enabled(mode.before)
        auxiliary, aux_structure = tree.flatten(aux)
        closed = _closed([*found, value, *auxiliary], fresh)
        gradients = tree.unflatten(structure, closed[: len(found)])
        result = closed[len(found)]
        if has_aux:
            result = (result, tree.unflatten(aux_structure, closed[len(found) + 1 :]))
        return (tuple(gradients) if isinstance(argnums, tuple) else gradients[0]), result

    return wrapper


def _gradients(roots: Sequence[Tensor], fresh: Sequence[Tensor], seeds: Sequence[Any]) -> list[Tensor]:
    """Return the gradients with respect to tensors that require grad, zeros where a root does not depend on them."""
    pairs = [(r, s) for r, s in zip(roots, seeds, strict=True) if r.requires_grad]
    if not pairs:
        return [record(zeros_like, (f.detach(),)) for f in fresh]
    found = autograd.grad(
        [r for r, _ in pairs], list(fresh), [s for _, s in pairs], retain_graph=True, create_graph=local.grad_enabled, allow_unused=True
    )
    return [record(zeros_like, (f.detach(),)) if g is None else g for f, g in zip(fresh, found, strict=True)]


def grad(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """Return a function that gives the gradient of `func`, whose result is a scalar tensor; see `grad_and_value`.

    >>> import trine
    >>> cosine = trine.func.grad(trine.sin)
    >>> round(cosine(trine.tensor(0.5)).item(), 4), round(trine.func.grad(cosine)(trine.tensor(0.5)).item(), 4)
    (0.8776, -0.4794)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        gradients, value = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return wrapper


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> Any:
    """Return `func(*primals)` and a function from gradients of the results to those of the primals.

    Args:
        func: from tensors (or containers of them) to tensors (or containers of them).
        has_aux: `func` returns (results, anything), and the result is (results, function, anything).

    Raises:
        ArgumentError: the function gets gradients of another structure.

    >>> import trine
    >>> y, pull = trine.func.vjp(trine.sin, trine.zeros(2))
    >>> pull(trine.ones(2))
    (tensor([1., 1.]),)
    """
    with _Enabled() as mode:
        leaves, structure = tree.flatten(primals)
        fresh = [_fresh("vjp", leaf) for leaf in leaves]
        results, aux = _unaux(func(*tree.unflatten(structure, fresh)), has_aux, "vjp")
    recorder.set_grad_enabled(mode.before)
    outputs, out_structure = _tensors(results, "vjp")

    def pull(cotangents: Any, *more: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given, given_structure = tree.flatten((cotangents, *more) if more else cotangents)
        if given_structure != out_structure:
            expected = "a gradient for each result, in the same containers"
            raise ArgumentError(message("vjp: the gradients do not fit the results", received=f"{len(given)} values", expected=expected))
        _check_shapes("vjp", outputs, given)
        found = _gradients(outputs, fresh, given)
        return tree.unflatten(structure, _closed(found, fresh))

    auxiliary, aux_structure = tree.flatten(aux)
    closed = _closed([*outputs, *auxiliary], fresh)
    value = tree.unflatten(out_structure, closed[: len(outputs)])
    return (value, pull, tree.unflatten(aux_structure, closed[len(outputs) :])) if has_aux else (value, pull)


def _tensors(results: Any, op: str) -> tuple[list[Tensor], tree.Structure]:
    outputs, structure = tree.flatten(results)
    for output in outputs:
        if not isinstance(output, Tensor):
            raise ArgumentError(message(f"{op}: the function must return tensors", received=type(output).__name__, expected="Tensors"))
    return outputs, structure


def _check_shapes(op: str, tensors: Sequence[Tensor], given: Sequence[Any]) -> None:
    for tensor, value in zip(tensors, given, strict=True):
        if not isinstance(value, Tensor):
            raise ArgumentError(message(f"{op}: not a tensor", received=type(value).__name__, expected="Tensors"))
        if value._meta.shape != tensor._meta.shape:
            raise ShapeError(message(f"{op}: wrong shape", received=value._meta.shape, expected=tensor._meta.shape))


def jvp(func: Function, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """Return `func(*primals)` and its directional derivative along `tangents` (forward mode).

    Args:
        func: from tensors to tensors (or containers of them).
        primals, tangents: tuples of the same structure and shapes.
        strict: raise where a result does not depend on the primals, instead of giving zeros.
        has_aux: `func` returns (results, anything), and the result is (results, tangents, anything).

    >>> import trine
    >>> trine.func.jvp(trine.sin, (trine.zeros(2),), (trine.ones(2),))
    (tensor([0., 0.]), tensor([1., 1.]))
    """
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple | list) or not value:
            raise ArgumentError(message(f"jvp: {name}", received=type(value).__name__, expected="a tuple with one entry per argument"))
    values, structure = tree.flatten(tuple(primals))
    directions, other = tree.flatten(tuple(tangents))
    if other != structure:
        raise ArgumentError(
            message("jvp: primals and tangents differ in structure", received=f"{len(values)} and {len(directions)} tensors")
        )
    _check_shapes("jvp", values, directions)
    with held_back():
        level = JvpLevel()
        duals = [level.dual(v, d) for v, d in zip(values, directions, strict=True)]
        local.levels.append(level)
        try:
            results, aux = _unaux(func(*tree.unflatten(structure, duals)), has_aux, "jvp")
            outputs, out_structure = _tensors(results, "jvp")
            found = level.tangents(outputs)
        finally:
            local.levels.pop()
        if strict and any(t is None for t in found):
            received = f"result {next(i for i, t in enumerate(found) if t is None)}"
            raise GradientError(message("jvp: a result does not depend on the primals", received=received, fix="strict=False gives zeros"))
        full = [record(zeros_like, (o,)) if t is None else t for o, t in zip(outputs, found, strict=True)]
    if local.eager and not local.in_pass:
        recorder.flush()
    made = tree.unflatten(out_structure, outputs), tree.unflatten(out_structure, full)
    return (*made, aux) if has_aux else made


def zeros_like(node: Node) -> Node:
    """Return zeros of the same shape and dtype."""
    from trine.core import build

    return build.zeros_like(node)


def linearize(func: Function, *primals: Any) -> tuple[Any, Function]:
    """Return `func(*primals)` and the linear function from tangents to tangents at this point, which does not run `func` again.

    >>> import trine
    >>> y, push = trine.func.linearize(trine.sin, trine.zeros(2))
    >>> push(trine.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    with _Enabled() as mode:
        leaves, structure = tree.flatten(primals)
        fresh = [_fresh("linearize", leaf) for leaf in leaves]
        outputs, out_structure = _tensors(func(*tree.unflatten(structure, fresh)), "linearize")
        seeds = [record(zeros_like, (o,)).requires_grad_() for o in outputs]
        transposed = _gradients(outputs, fresh, seeds)
    recorder.set_grad_enabled(mode.before)

    def push(*tangents: Any) -> Any:
        given, given_structure = tree.flatten(tangents)
        if given_structure != structure:
            raise ArgumentError(message("linearize: tangents differ in structure from the primals", received=f"{len(given)} tensors"))
        _check_shapes("linearize", fresh, given)
        found = _gradients(transposed, seeds, given)
        return tree.unflatten(out_structure, _closed(found, [*seeds, *fresh]))

    return tree.unflatten(out_structure, _closed(outputs, fresh)), push


# --- Jacobians ----------------------------------------------------------------------------------------------------------------------------


def basis(like: Tensor) -> Tensor:
    """Return the unit tensors of a shape, one after the other along a new first axis."""
    return record(_basis_nodes, (like,))  # type: ignore[no-any-return]


def _basis_nodes(node: Node) -> Node:
    from trine.core import build
    from trine.shapes import size_of

    count = size_of(node.shape)
    hit = build.eq(build.iota((count, count), 0), build.iota((count, count), 1))
    return build.reshape(build.cast(hit, node.dtype), (count, *node.shape))


def jacrev(
    func: Function, argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None, _preallocate_and_copy: bool = False
) -> Function:
    """Return a function that gives the Jacobian of `func` by reverse mode: one gradient for each element of the results.

    Args:
        func, argnums, has_aux: as in `grad`; the results may be tensors of any shape, in containers.
        chunk_size: how many gradients to compute at once; None for all.

    Returns (from the function): for each result and each differentiated argument a tensor of shape ``(*result.shape, *argument.shape)``.

    >>> import trine
    >>> trine.func.jacrev(lambda x: x ** 2)(trine.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        positions = _split(argnums, args, "jacrev")

        def of_chosen(*chosen: Any) -> Any:
            return func(*_with(args, positions, chosen), **kwargs)

        made = vjp(of_chosen, *[args[p] for p in positions], has_aux=has_aux)
        outputs, out_structure = tree.flatten(made[0])
        rows = []
        for index, output in enumerate(outputs):
            zeros = [record(zeros_like, (o,)) for o in outputs]
            pull = functools.partial(_pull_one, made[1], out_structure, zeros, index)
            jacobians = vmap(pull, chunk_size=chunk_size)(basis(output)) if output.numel() else pull(basis(output))
            shape = tuple(output.shape)
            jacobians = tree.map_tree(lambda j, shape=shape: j.reshape((*shape, *j.shape[1:])), jacobians)
            rows.append(jacobians if isinstance(argnums, tuple) else jacobians[0])
        result = tree.unflatten(out_structure, rows)
        return (result, made[2]) if has_aux else result

    return wrapper


def _pull_one(pull: Function, structure: tree.Structure, zeros: list[Any], index: int, cotangent: Tensor) -> Any:
    return pull(tree.unflatten(structure, [cotangent if i == index else z for i, z in enumerate(zeros)]))


def jacfwd(func: Function, argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error") -> Function:
    """Return a function that gives the Jacobian of `func` by forward mode: one derivative for each element of the arguments.

    The arguments and the result are those of `jacrev`; `randomness` is that of `vmap`.

    >>> import trine
    >>> trine.func.jacfwd(lambda x: x ** 2)(trine.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        positions = _split(argnums, args, "jacfwd")
        leaves, structure = tree.flatten([args[p] for p in positions])
        columns = []
        aux: Any = None
        for index, leaf in enumerate(leaves):

            def along(direction: Tensor, index: int = index) -> Any:
                nonlocal aux
                tangents = [direction if i == index else record(zeros_like, (v,)) for i, v in enumerate(leaves)]

                def of_leaves(*values: Any) -> Any:
                    return func(*_with(args, positions, tree.unflatten(structure, list(values))), **kwargs)

                made = jvp(of_leaves, tuple(leaves), tuple(tangents), has_aux=has_aux)
                aux = made[2] if has_aux else None
                return made[1]

            found = vmap(along, out_dims=-1, randomness=randomness)(basis(leaf))
            shape = tuple(leaf.shape)
            columns.append(tree.map_tree(lambda j, shape=shape: j.reshape((*j.shape[:-1], *shape)), found))
        flat = [tree.flatten(c) for c in columns]
        rows = []
        for k in range(len(flat[0][0])):
            row = tree.unflatten(structure, [leaves_of[k] for leaves_of, _ in flat])
            rows.append(tuple(row) if isinstance(argnums, tuple) else row[0])
        result = tree.unflatten(flat[0][1], rows)
        return (result, aux) if has_aux else result

    return wrapper


def hessian(func: Function, argnums: Argnums = 0) -> Function:
    """Return a function that gives the second derivatives of `func`: forward mode over reverse mode.

    >>> import trine
    >>> trine.func.hessian(lambda x: (x ** 3).sum())(trine.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
