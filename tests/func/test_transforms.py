"""Derivatives of functions against PyTorch's, nested in every order, and tangents against it for every primitive."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import trine
from tests.func.func_cases import CASES
from trine.autograd import forward_ad
from trine.errors import ArgumentError, GradientError

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")
X = np.random.default_rng(1).uniform(0.2, 0.9, (2, 3))


def pair(array: Any) -> tuple[Any, Any]:
    return trine.tensor(array), torch.tensor(array)


def compare(ours: Any, theirs: Any, rtol: float = 1e-5) -> None:
    if isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            compare(a, b, rtol)
    elif isinstance(theirs, dict):
        for name, value in theirs.items():
            compare(ours[name], value, rtol)
    else:
        assert tuple(ours.shape) == tuple(theirs.shape) and ours.requires_grad == theirs.requires_grad
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=rtol, atol=1e-6)


def scalar(lib: Any) -> Callable[[Any], Any]:
    return lambda x: (x.sin() * x.exp()).sum() + (x[..., 0] * x[..., 1] ** 2).sum() + x.std()


def vector(lib: Any) -> Callable[[Any], Any]:
    return lambda x: lib.cumsum(x**3, -1) * lib.softmax(x, -1)


@pytest.mark.parametrize("name", ["jacrev", "jacfwd"])
def test_jacobians(name: str) -> None:
    ours, theirs = pair(X)
    compare(getattr(trine.func, name)(vector(trine))(ours), getattr(torch.func, name)(vector(torch))(theirs))

    def several(lib: Any) -> Any:
        return lambda a, b, c=1.0: {"product": a["x"] * b * c, "sums": (b.sum(), a["x"].mean(0))}

    for argnums in (0, (0, 1), (1,)):
        found = getattr(trine.func, name)(several(trine), argnums)({"x": ours}, ours[0], c=2.0)
        plain = several(torch)
        compare(found, getattr(torch.func, name)(lambda a, b, plain=plain: plain(a, b, c=2.0), argnums)({"x": theirs}, theirs[0]))
    found, aux = getattr(trine.func, name)(lambda x: (x * 2, x.sum()), has_aux=True)(ours)
    assert aux.shape == () and found.shape == (2, 3, 2, 3)


def test_chunks_of_a_jacobian() -> None:
    compare(trine.func.jacrev(vector(trine), chunk_size=4)(trine.tensor(X)), torch.func.jacrev(vector(torch))(torch.tensor(X)))


@pytest.mark.parametrize("order", list(itertools.permutations(["jacfwd", "jacrev", "vmap"])), ids="-".join)
def test_orders(order: tuple[str, ...]) -> None:
    def composed(lib: Any) -> Any:
        function = scalar(lib)
        for name in reversed(order):
            function = getattr(lib.func, name)(function)
        return function

    x = X if order[-1] != "vmap" else np.stack([X, X + 0.1])
    ours, theirs = pair(x)
    compare(composed(trine)(ours), composed(torch)(theirs), 1e-4)


def test_third_derivatives_and_hessians() -> None:
    ours, theirs = pair(X)
    compare(trine.func.hessian(scalar(trine))(ours), torch.func.hessian(scalar(torch))(theirs))
    third = [lib.func.vmap(lib.func.jacfwd(lib.func.hessian(scalar(lib)))) for lib in (trine, torch)]
    compare(third[0](ours[:, None]), third[1](theirs[:, None]), 1e-4)


def test_values_gradients_and_auxiliary_results() -> None:
    ours, theirs = pair(X)
    weights: list[Any] = []
    for lib, x in ((trine, ours), (torch, theirs)):
        gradient, (value, aux) = lib.func.grad_and_value(lambda a, b: ((a * b).sum(), a * 2), (1,), has_aux=True)(x, x)
        assert isinstance(gradient, tuple) and aux.tolist() == (x * 2).tolist() and not value.requires_grad
        compare(gradient[0], torch.tensor(X))
        w = lib.ones(3, requires_grad=True, dtype=x.dtype)
        g = lib.func.grad(lambda v, w=w: (v * w).sum() ** 2)(x)
        assert g.requires_grad
        g.sum().backward()
        weights.append(w.grad)
        with lib.no_grad():
            assert not lib.func.grad(lambda v, w=w: (v * w).sum())(x).requires_grad
    compare(*weights)


def test_gradient_of_a_function_that_observes_its_value() -> None:
    def branching(lib: Any) -> Any:
        return lambda x: (x * 2).sum() if x.sum().item() > 0 else (x**2).sum()

    for x in (X, -X):
        ours, theirs = pair(x)
        compare(trine.func.grad(branching(trine))(ours), torch.func.grad(branching(torch))(theirs))
        given = trine.func.jvp(branching(trine), (ours,), (ours,)), torch.func.jvp(branching(torch), (theirs,), (theirs,))
        compare(*given)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_tangents_agree_with_gradients(case: Callable[..., Any]) -> None:
    """<g, J t> = <J^T g, t> for every result of the cases that use every primitive."""
    rng = np.random.default_rng(3)
    x, y, t, u = (trine.tensor(rng.uniform(0.1, 0.9, (3, 4))) for _ in range(4))
    if case.__name__ in ("integer_functions", "indices", "convolutions", "products", "movements"):
        x, y, t, u = (v.float() for v in (x, y, t, u))

    def differentiable(x: Any, y: Any) -> Any:
        return [r for r in case(x, y) if r.dtype.is_floating_point]

    results, tangents = trine.func.jvp(differentiable, (x, y), (t, u))
    _, pull = trine.func.vjp(differentiable, x, y)
    for i, (result, tangent) in enumerate(zip(results, tangents, strict=True)):
        seeds = [trine.zeros_like(r) for r in results]
        seeds[i] = trine.tensor(rng.uniform(0.5, 1.0, tuple(result.shape)), dtype=result.dtype)
        gx, gy = pull(seeds)
        expected = (gx * t).sum() + (gy * u).sum()
        rtol = 1e-7 if x.dtype is trine.float64 else 2e-3
        np.testing.assert_allclose(
            (seeds[i] * tangent).sum().item(), expected.item(), rtol=rtol, atol=1e-4 if rtol > 1e-5 else 1e-8, err_msg=str(i)
        )


def test_complex_tangents() -> None:
    z = X[0] + 1j * X[1]
    for name in ("abs", "exp", "real", "imag", "sqrt", "angle"):
        made = []
        for lib, tensor in ((trine, trine.tensor), (torch, torch.tensor)):
            made.append(lib.func.jvp(lambda v, lib=lib, name=name: getattr(lib, name)(v * v), (tensor(z),), (tensor(z * (1 - 2j)),)))
        np.testing.assert_allclose(made[0][1].numpy(), made[1][1].numpy(), rtol=1e-6, err_msg=name)


def test_linearize_and_strict() -> None:
    x = trine.tensor(X)
    value, push = trine.func.linearize(vector(trine), x)
    value.tolist()
    np.testing.assert_allclose(push(x).numpy(), trine.func.jvp(vector(trine), (x,), (x,))[1].numpy(), rtol=1e-6)
    with pytest.raises(GradientError, match="does not depend"):
        trine.func.jvp(lambda v: trine.ones(2), (x,), (x,), strict=True)
    for wrong in (
        lambda: trine.func.grad(lambda v: v * 2)(x),
        lambda: trine.func.jvp(lambda v: v, x, x),
        lambda: trine.func.grad(vector, 3)(x),
    ):
        with pytest.raises((RuntimeError, ArgumentError)):
            wrong()


def test_dual_tensors() -> None:
    for lib in (trine, torch):
        module = lib.autograd.forward_ad
        with module.dual_level():
            x = module.make_dual(lib.tensor([1.0, 2.0]), lib.tensor([1.0, 0.5]))
            y = x * x
            assert y.sum().item() == 5.0
            primal, tangent = module.unpack_dual(y.exp() if y[0].item() > 0 else y)
            assert module.unpack_dual(lib.ones(2)).tangent is None
        np.testing.assert_allclose(tangent.numpy(), [2 * np.exp(1.0), 2 * np.exp(4.0)], rtol=1e-6)
        np.testing.assert_allclose(primal.numpy(), np.exp([1.0, 4.0]), rtol=1e-6)
    with pytest.raises(RuntimeError, match="dual"):
        forward_ad.make_dual(trine.ones(1), trine.ones(1))


FUNCTIONAL = ("vjp", "jvp", "vhp", "hvp", "jacobian", "hessian")


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_functional(name: str) -> None:
    ours, theirs = pair(X)
    for create_graph in (False, True):
        made = []
        for lib, x in ((trine, ours), (torch, theirs)):
            function = vector(lib) if name in ("vjp", "jvp", "jacobian") else scalar(lib)
            x = x.detach().requires_grad_(create_graph)
            arguments = (x,) if name in ("jacobian", "hessian") else (x, x.detach() * 0.5)
            result = getattr(lib.autograd.functional, name)(function, *arguments, create_graph=create_graph)
            made.append(result)
            if create_graph:
                last = result[1] if isinstance(result, tuple) else result
                (g,) = lib.autograd.grad(last.sum(), x)
                made[-1] = (result, g)
        compare(*made, 1e-4)
    several = [
        getattr(lib.autograd.functional, "hessian" if name == "hessian" else "jacobian")(lambda a, b: (a * b[0]).sum() ** 2, (x, x))
        for lib, x in ((trine, ours), (torch, theirs))
    ]
    compare(*several)
    with pytest.raises(RuntimeError):
        getattr(trine.autograd.functional, name)(lambda x: trine.ones(()), ours, *([ours] if name == "jvp" else []), strict=True)


def test_jacobian_strategies() -> None:
    ours, theirs = pair(X)
    for strategy in ("forward-mode", "reverse-mode"):
        found = trine.autograd.functional.jacobian(vector(trine), ours, vectorize=True, strategy=strategy)
        compare(found, torch.autograd.functional.jacobian(vector(torch), theirs))


def test_batched_gradients() -> None:
    for lib in (trine, torch):
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        unused = lib.ones(1, requires_grad=True)
        y = x**2
        found = lib.autograd.grad(y, (x, unused), lib.eye(2), is_grads_batched=True, allow_unused=True)
        assert found[0].tolist() == [[2.0, 0.0], [0.0, 4.0]] and found[1] is None
