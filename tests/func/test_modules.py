"""Modules as functions of their parameters, and ensembles of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import trine
from trine import nn
from trine.errors import ArgumentError
from trine.func import functional_call, grad, stack_module_state, vmap


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.second = nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("count", trine.zeros(1))

    def forward(self, x: Any, *, scale: float = 1.0) -> Any:
        self.count.add_(1)
        return self.second(self.first(x)) * scale


def test_functional_call() -> None:
    module, x = Tied(), trine.ones(1, 2)
    weight, count = module.first.weight, trine.zeros(1)
    given = {"first.weight": trine.eye(2) * 2, "count": count}
    assert functional_call(module, given, x, {"scale": 3.0}).tolist() == [[12.0, 12.0]]
    assert count.item() == 1.0 and module.count.item() == 0.0 and module.first.weight is weight
    untied = functional_call(module, ({"first.weight": trine.zeros(2, 2)}, {"count": count}), (x,), tie_weights=False)
    assert untied.tolist() == [[0.0, 0.0]]
    for wrong in ({"third": x}, ({"count": x}, {"count": x}), {"first.weight": x, "second.weight": x + 1}):
        with pytest.raises(ArgumentError):
            functional_call(module, wrong, x)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="missing keys: count"):
        functional_call(module, {"first.weight": weight}, x, strict=True)
    assert module.first.weight is weight


def test_gradients_for_each_sample_and_ensembles() -> None:
    x, t = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    made = []
    for lib in (trine, torch):
        lib.manual_seed(0)
        models = [lib.nn.Sequential(lib.nn.Linear(3, 5), lib.nn.Tanh(), lib.nn.Linear(5, 3)) for _ in range(2)]
        for k, model in enumerate(models):
            for i, p in enumerate(model.parameters()):
                p.data = lib.tensor(np.random.default_rng(10 * k + i).standard_normal(tuple(p.shape)).astype(np.float32))
        parameters, buffers = lib.func.stack_module_state(models)

        def loss(params: Any, x: Any, t: Any, lib: Any = lib, model: Any = models[0]) -> Any:
            return ((lib.func.functional_call(model, params, (x,)) - t) ** 2).mean()

        per_sample = lib.func.vmap(lib.func.grad(loss), (None, 0, 0))
        single = {k: v.detach() for k, v in models[0].named_parameters()}
        inputs = lib.tensor(x), lib.tensor(t)
        gradients = per_sample(single, *inputs)
        ensemble = lib.func.vmap(loss, (0, None, None))(parameters, *inputs)
        ensemble.sum().backward()
        made.append(([g.numpy() for g in gradients.values()], ensemble.detach().numpy(), [p.grad.numpy() for p in parameters.values()]))
    for ours, theirs in zip(*made, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


class Cube(trine.autograd.Function):
    @staticmethod
    def forward(x: Any, factor: Any) -> Any:
        return x**3 * factor

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        x, factor = ctx.saved_tensors
        return gradient * 3 * x**2 * factor, gradient * x**3


class CubeWithRules(Cube):
    calls: list[str] = []

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, factor: Any) -> Any:
        CubeWithRules.calls.append(f"vmap {info.batch_size} {in_dims}")
        factor = factor if in_dims[1] is None else factor.movedim(in_dims[1], 0)[:, None]
        return Cube.apply(x, factor.expand(x.shape)), 0

    @staticmethod
    def jvp(ctx: Any, t: Any, u: Any) -> Any:
        CubeWithRules.calls.append("jvp")
        x, factor = ctx.saved_tensors
        return t * 3 * x**2 * factor


@pytest.mark.parametrize("function", [Cube, CubeWithRules])
def test_custom_functions_inside_of_transformations(function: Any) -> None:
    x = trine.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    factor = trine.tensor([2.0, 2.0], requires_grad=True)
    expected = 6 * x.detach() ** 2
    apply = lambda v: function.apply(v, factor)  # noqa: E731
    assert vmap(lambda v: grad(lambda w: apply(w).sum())(v))(x).tolist() == expected.tolist()
    y = vmap(apply)(x)
    y.tolist()
    y.sum().backward()
    assert x.grad.tolist() == expected.tolist()
    assert factor.grad.tolist() == [28.0, 72.0]
    assert trine.func.jvp(apply, (x,), (trine.ones(2, 2),))[1].tolist() == expected.tolist()
    jacobian = trine.func.jacfwd(lambda v: apply(v))(x.detach()[0])
    assert jacobian.tolist() == [[6.0, 0.0], [0.0, 24.0]]
    if function is CubeWithRules:
        assert "vmap 2 (0, None)" in CubeWithRules.calls and "jvp" in CubeWithRules.calls


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="classes"):
        stack_module_state([nn.Linear(1, 1), nn.ReLU()])
    with pytest.raises(ArgumentError, match="modes"):
        stack_module_state([nn.Linear(1, 1), nn.Linear(1, 1).eval()])
    with pytest.raises(ArgumentError, match="at least one"):
        stack_module_state([])
