"""`autograd.functional`: derivatives of functions at given inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trine.errors import ArgumentError, GradientError, message
from trine.tensor import recorder
from trine.tensor.autograd import grad
from trine.tensor.recorder import local, record
from trine.tensor.tensor import Tensor
from trine.tensor.transforms import basis, jacfwd, zeros_like

Function = Callable[..., Any]

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple(value: Any, what: str) -> tuple[tuple[Tensor, ...], bool]:
    """Return tensors as a tuple, and whether there were several."""
    several = isinstance(value, tuple | list)
    values = tuple(value) if several else (value,)
    if not values or not all(isinstance(v, Tensor) for v in values):
        raise ArgumentError(message(f"{what}: not tensors", received=type(value).__name__, expected="a tensor or a tuple of tensors"))
    return values, several


def _inputs(inputs: Sequence[Tensor], create_graph: bool) -> tuple[Tensor, ...]:
    """Return inputs that require grad, and lead back to the given ones if the results are to be differentiated."""
    return tuple(x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_() for x in inputs)


def _outputs(func: Function, inputs: Sequence[Tensor], what: str) -> tuple[tuple[Tensor, ...], bool]:
    enabled = recorder.set_grad_enabled(True)
    try:
        return _tuple(func(*inputs), f"{what}: the function's results")
    finally:
        recorder.set_grad_enabled(enabled)


def _grad(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], seeds: Sequence[Any], create_graph: bool, strict: bool, what: str
) -> tuple[Tensor, ...]:
    """Return gradients, zeros where there are none (an error if `strict`)."""
    enabled = recorder.set_grad_enabled(True)
    try:
        pairs = [(o, s) for o, s in zip(outputs, seeds, strict=True) if o.requires_grad]
        found: Sequence[Any] = [None] * len(inputs)
        if pairs:
            roots, given = [o for o, _ in pairs], [s for _, s in pairs]
            found = grad(roots, list(inputs), given, retain_graph=True, create_graph=create_graph, allow_unused=True)
    finally:
        recorder.set_grad_enabled(enabled)
    if strict and (any(g is None for g in found) or len(pairs) < len(outputs)):
        raise GradientError(
            message(f"{what}: a result does not depend on an input", received="strict=True", fix="strict=False gives zeros")
        )
    return tuple(record(zeros_like, (x.detach(),)) if g is None else g for x, g in zip(inputs, found, strict=True))


def _finished(values: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    return list(values) if create_graph else [v.detach() if v.requires_grad else v for v in values]


def _as(values: Sequence[Any], several: bool) -> Any:
    return tuple(values) if several else values[0]


def _directions(v: Any, like: Sequence[Tensor], what: str) -> tuple[Tensor, ...]:
    """Return the vectors of a product, ones for a single element.

    Raises:
        ArgumentError: they do not fit.
    """
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            received = f"no v, for tensors of shape {', '.join(str(tuple(t.shape)) for t in like)}"
            raise ArgumentError(message(f"{what}: v may be left out for a single element only", received=received))
        return (record(_ones_like, (like[0].detach(),)),)
    vectors, _ = _tuple(v, f"{what}: v")
    if len(vectors) != len(like) or any(a.shape != b.shape for a, b in zip(vectors, like, strict=True)):
        received = ", ".join(str(tuple(t.shape)) for t in vectors)
        expected = ", ".join(str(tuple(t.shape)) for t in like)
        raise ArgumentError(message(f"{what}: v has the wrong shape", received=received, expected=expected))
    return vectors


def _ones_like(node: Any) -> Any:
    from trine.core import build

    return build.ones_like(node)


def vjp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """Return `func(*inputs)` and the product of `v` with its Jacobian.

    Args:
        func: from tensors to a tensor or a tuple of tensors. inputs: a tensor or a tuple.
        v: one tensor for each result, of its shape; may be left out for a single element.
        create_graph: the results can be differentiated. strict: a result that does not depend on an input is an error.

    >>> import trine
    >>> trine.autograd.functional.vjp(lambda x: x ** 2, trine.tensor([1.0, 3.0]), trine.ones(2))[1]
    tensor([2., 6.])
    """
    given, several = _tuple(inputs, "vjp: inputs")
    used = _inputs(given, create_graph)
    outputs, several_out = _outputs(func, used, "vjp")
    found = _grad(outputs, used, _directions(v, outputs, "vjp"), create_graph, strict, "vjp")
    return _as(_finished(outputs, create_graph), several_out), _as(_finished(found, create_graph), several)


def jvp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """Return `func(*inputs)` and the product of its Jacobian with `v` (one tensor for each input, of its shape).

    The arguments are those of `vjp`. The product is the gradient of a gradient.

    >>> import trine
    >>> trine.autograd.functional.jvp(lambda x: x ** 2, trine.tensor([1.0, 3.0]), trine.ones(2))[1]
    tensor([2., 6.])
    """
    given, _ = _tuple(inputs, "jvp: inputs")
    used = _inputs(given, create_graph)
    vectors = _directions(v, used, "jvp")
    outputs, several = _outputs(func, used, "jvp")
    seeds = [record(zeros_like, (o.detach(),)).requires_grad_() for o in outputs]
    first = _grad(outputs, used, seeds, True, strict, "jvp")
    found = _grad(first, seeds, vectors, create_graph, False, "jvp")
    return _as(_finished(outputs, create_graph), several), _as(_finished(found, create_graph), several)


def _scalar(outputs: Sequence[Tensor], several: bool, what: str) -> Tensor:
    if several or outputs[0].numel() != 1:
        received = f"a result of shape {tuple(outputs[0].shape)}"
        raise GradientError(message(f"{what}: the function must return a single element", received=received, expected="one tensor"))
    return outputs[0]


def vhp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """Return `func(*inputs)`, a single element, and the product of `v` with its Hessian; the arguments are those of `vjp`.

    >>> import trine
    >>> trine.autograd.functional.vhp(lambda x: (x ** 3).sum(), trine.tensor([1.0, 2.0]), trine.ones(2))[1]
    tensor([ 6., 12.])
    """
    given, several = _tuple(inputs, "vhp: inputs")
    used = _inputs(given, create_graph)
    outputs, several_out = _outputs(func, used, "vhp")
    value = _scalar(outputs, several_out, "vhp")
    first = _grad([value], used, [None], True, strict, "vhp")
    found = _grad(first, used, _directions(v, used, "vhp"), create_graph, False, "vhp")
    return _finished([value], create_graph)[0], _as(_finished(found, create_graph), several)


def hvp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """Return `func(*inputs)`, a single element, and the product of its Hessian with `v`: the same as `vhp`, the Hessian being symmetric.

    >>> import trine
    >>> trine.autograd.functional.hvp(lambda x: (x ** 3).sum(), trine.tensor([1.0, 2.0]), trine.ones(2))[1]
    tensor([ 6., 12.])
    """
    return vhp(func, inputs, v, create_graph, strict)


def jacobian(
    func: Function, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False, strategy: str = "reverse-mode"
) -> Any:
    """Return the Jacobian of `func`: for each result and each input a tensor of shape ``(*result.shape, *input.shape)``.

    Args:
        func, inputs, create_graph, strict: as in `vjp`.
        vectorize: accepted for compatibility; all rows are computed at once.
        strategy: "reverse-mode", or "forward-mode" for few inputs and many results.

    Returns:
        A tensor; a tuple over results if `func` returns one; in it (or alone) a tuple over inputs if `inputs` is one.

    >>> import trine
    >>> trine.autograd.functional.jacobian(lambda x: x ** 2, trine.tensor([1.0, 3.0]))
    tensor([[2., 0.],
            [0., 6.]])
    """
    given, several = _tuple(inputs, "jacobian: inputs")
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ArgumentError(message("jacobian: strategy", received=strategy, expected="'reverse-mode' or 'forward-mode'"))
    if strategy == "forward-mode":
        if strict:
            raise ArgumentError(message("jacobian: strict", received="strategy='forward-mode'", expected="strict=False"))
        made = jacfwd(lambda *xs: func(*xs), tuple(range(len(given))), randomness="same")(*_inputs(given, create_graph))
        rows = made if isinstance(made[0], tuple) else (made,)
        several_out = isinstance(made[0], tuple)
    else:
        used = _inputs(given, create_graph)
        outputs, several_out = _outputs(func, used, "jacobian")
        rows = tuple(_row(output, used, create_graph, strict) for output in outputs)
    done = tuple(_as(_finished(row, create_graph), several) for row in rows)
    return _as(done, several_out)


def _row(output: Tensor, inputs: Sequence[Tensor], create_graph: bool, strict: bool) -> list[Tensor]:
    """Return the derivatives of one result with respect to each input."""
    from trine.tensor.vmap import vmap

    shape = tuple(output.shape)
    if not output.requires_grad or not output.numel():
        if strict and not output.requires_grad:
            raise GradientError(message("jacobian: a result does not depend on the inputs", received="strict=True"))
        return [record(_empty_rows, (x.detach(),), shape) for x in inputs]
    pull = lambda cotangent: _grad([output], inputs, [cotangent], create_graph, strict, "jacobian")  # noqa: E731 - one row
    return [g.reshape((*shape, *x.shape)) for g, x in zip(vmap(pull, randomness="same")(basis(output.detach())), inputs, strict=True)]


def _empty_rows(node: Any, shape: tuple[int, ...]) -> Any:
    from trine.core import build

    return build.full(0, (*shape, *node.shape), node.dtype)


def hessian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Return the Hessian of `func`, whose result is a single element: for each pair of inputs a tensor of second derivatives.

    The arguments are those of `jacobian`; `outer_jacobian_strategy` is its `strategy` for the outer derivative.

    >>> import trine
    >>> trine.autograd.functional.hessian(lambda x: (x ** 3).sum(), trine.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    given, several = _tuple(inputs, "hessian: inputs")

    def first(*xs: Tensor) -> tuple[Tensor, ...]:
        used = tuple(x if x.requires_grad else x.requires_grad_() for x in xs) if not local.levels else xs
        if local.levels:
            from trine.tensor.transforms import grad as grad_of

            return grad_of(lambda *ys: _scalar(*_outputs(func, ys, "hessian"), "hessian").reshape(()), tuple(range(len(xs))))(*xs)  # type: ignore[no-any-return]
        value = _scalar(*_outputs(func, used, "hessian"), "hessian")
        return _grad([value], used, [None], True, strict, "hessian")

    made = jacobian(first, given, create_graph, strict, vectorize, outer_jacobian_strategy)
    return made if several else made[0][0]
