"""`trine.compile`: what a replay gives is what the function gives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trine
from trine import nn
from trine.nn import functional as F
from trine.tensor.compiled import CompiledFunction
from trine.tensor.recorder import local

pytestmark = pytest.mark.skipif(local.eager, reason="nothing is captured in eager mode")

SCALE = 2.0


def draw(*shape: int, seed: int = 0) -> Any:
    return trine.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def network() -> nn.Module:
    trine.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.3), nn.BatchNorm1d(8), nn.Linear(8, 3))


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: trine.optim.SGD(p, lr=0.1),
    "momentum": lambda p: trine.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: trine.optim.Adam(p, lr=0.01),
    "adamw": lambda p: trine.optim.AdamW(p, lr=0.01, amsgrad=True),
}


def train(name: str, compiled: bool, zero_first: bool) -> list[Any]:
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())

    def step(x: Any, y: Any) -> Any:
        if zero_first:
            optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if not zero_first:
            optimizer.zero_grad()
        return loss.detach()

    function = trine.compile(step) if compiled else step
    rng = np.random.default_rng(1)
    losses = []
    for number in range(7):
        x, y = trine.tensor(rng.normal(size=(6, 5)).astype(np.float32)), trine.tensor(rng.integers(0, 3, 6))
        losses.append(function(x, y).item())
        if number == 3:
            optimizer.param_groups[0]["lr"] *= 0.5
        if number == 4:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    if compiled:
        assert isinstance(function, CompiledFunction) and function.num_retraces < 6, function.reasons
        assert not function._is_off, function.reasons
    values = {k: v.tolist() for k, v in model.state_dict().items()}
    return [losses, values, [p.grad if p.grad is None else p.grad.tolist() for p in model.parameters()]]


@pytest.mark.parametrize("zero_first", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_steps(name: str, zero_first: bool) -> None:
    assert train(name, True, zero_first) == train(name, False, zero_first)


def captured(function: Any, times: int = 1) -> None:
    assert not function._is_off, function.reasons
    assert function.num_retraces == times, function.reasons


def test_shapes_dtypes_and_constants_are_guarded() -> None:
    @trine.compile
    def scaled(x: Any, factor: float = 1.0, *, name: str = "a") -> Any:
        return x * factor + (1 if name == "a" else 2)

    x = draw(3)
    for _ in range(3):
        np.testing.assert_array_equal(scaled(x, 2.0).numpy(), (x * 2.0 + 1).numpy())
    captured(scaled, 1)
    assert scaled(x, 3.0).tolist() == (x * 3.0 + 1).tolist()
    assert scaled(x, 2.0, name="b").tolist() == (x * 2.0 + 2).tolist()
    assert scaled(draw(4), 2.0).shape == (4,)
    assert scaled(x.double(), 2.0).dtype is trine.float64
    captured(scaled, 5)
    assert scaled(x, 3.0).tolist() == (x * 3.0 + 1).tolist()
    captured(scaled, 5)
    assert "arguments of another kind" in scaled.reasons[1]


def equal(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.tolist(), b.tolist(), rtol=1e-6)


def test_globals_closures_and_attributes_are_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    offset = 1.0

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = 2.0

        def forward(self, x: Any) -> Any:
            return x * self.gain * SCALE if self.training else x

    layer = Layer()

    @trine.compile
    def function(x: Any) -> Any:
        return layer(x) + offset

    x = draw(3)
    equal(function(x), x * 4 + 1)
    equal(function(x), x * 4 + 1)
    captured(function, 1)
    offset = 5.0
    equal(function(x), x * 4 + 5)
    layer.gain = 3.0
    equal(function(x), x * 6 + 5)
    monkeypatch.setitem(globals(), "SCALE", 10.0)
    equal(function(x), x * 30 + 5)
    layer.eval()
    equal(function(x), x + 5)
    layer.train()
    equal(function(x), x * 30 + 5)
    captured(function, 5)
    assert any("gain" in reason for reason in function.reasons) and any("offset" in reason for reason in function.reasons)


def test_a_replaced_parameter_is_used() -> None:
    layer = nn.Linear(3, 3)
    fast = trine.compile(layer)
    x = draw(2, 3)
    fast(x), fast(x)
    layer.weight = nn.Parameter(draw(3, 3, seed=5))
    np.testing.assert_array_equal(fast(x).detach().numpy(), layer(x).detach().numpy())
    with trine.no_grad():
        layer.weight.mul_(2)
    np.testing.assert_array_equal(fast(x).detach().numpy(), layer(x).detach().numpy())


def test_gradients_outside() -> None:
    model = network().eval()
    fast = trine.compile(model)
    for seed in range(3):
        x = draw(4, 5, seed=seed).requires_grad_()
        gradients = []
        for function in (model, fast):
            model.zero_grad()
            x.grad = None
            function(x).square().sum().backward()
            gradients.append([x.grad.tolist(), *(p.grad.tolist() for p in model.parameters())])
        for a, b in zip(*gradients, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    captured(fast.forward, 1)


def test_gradients_are_accumulated() -> None:
    weight = draw(3).requires_grad_()

    @trine.compile
    def accumulate(x: Any) -> None:
        (weight * x).sum().backward()

    x = draw(3, seed=2)
    for count in range(1, 5):
        accumulate(x)
        np.testing.assert_allclose(weight.grad.numpy(), count * x.numpy(), rtol=1e-6)
    weight.grad = None
    accumulate(x)
    np.testing.assert_allclose(weight.grad.numpy(), x.numpy(), rtol=1e-6)
    captured(accumulate, 2)


def test_inference_leaves_gradients_alone() -> None:
    layer = nn.Linear(2, 2)
    fast = trine.compile(layer)
    x = draw(1, 2)
    with trine.no_grad():
        fast(x)
    layer(x).sum().backward()
    before = layer.weight.grad
    with trine.no_grad():
        fast(x), fast(x)
    assert layer.weight.grad is before


def test_random_numbers_go_on() -> None:
    @trine.compile
    def noise(x: Any) -> Any:
        return x + trine.rand(3) + F.dropout(x, 0.5)

    x = draw(3)
    trine.manual_seed(7)
    found = [noise(x).tolist() for _ in range(4)]
    trine.manual_seed(7)
    expected = [noise.function(x).tolist() for _ in range(4)]
    assert found == expected and found[1] != found[2]
    captured(noise)


def test_writes_reach_buffers_and_arguments() -> None:
    total = trine.zeros(3)

    @trine.compile
    def add(x: Any, out: Any) -> Any:
        total.add_(x)
        out.copy_(total * 2)
        return {"sum": total.sum(), "parts": (x, [out]), "label": "text"}

    x = trine.ones(3)
    for count in range(1, 4):
        out = trine.zeros(3)
        result = add(x, out)
        assert total.tolist() == [count] * 3 and out.tolist() == [2 * count] * 3
        assert result["sum"].item() == 3 * count and result["label"] == "text"
        assert result["parts"][0] is x and result["parts"][1][0] is out
    captured(add)


def test_memory_that_others_hold_is_not_written_over() -> None:
    weight = trine.zeros(3)

    @trine.compile
    def step() -> Any:
        with trine.no_grad():
            weight.add_(1)
        return weight.sum()

    step(), step()
    kept = weight.clone()
    trine.synchronize()
    shared = weight.numpy().copy()
    assert step().item() == 9
    assert kept.tolist() == [2, 2, 2] == shared.tolist() and weight.tolist() == [3, 3, 3]


def test_shared_views_are_seen() -> None:
    base = trine.zeros(4)

    @trine.compile
    def fill(x: Any) -> Any:
        base.add_(x)
        return base * 1

    view = base[:2]
    for count in range(1, 4):
        assert fill(trine.ones(4)).tolist() == [count] * 4
        assert view.tolist() == [count] * 2


def test_what_observes_values_is_called_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    calls = []

    @trine.compile
    def branch(x: Any) -> Any:
        calls.append(1)
        return x * 2 if x.sum() > 0 else -x

    for value in (1.0, -1.0, 2.0):
        assert branch(trine.tensor([value])).item() == (2 * value if value > 0 else -value)
    assert len(calls) == 3 and "observed" in branch.reasons[-1] and "test_compile.py" in branch.reasons[-1]

    @trine.compile(fullgraph=True)
    def strict(x: Any) -> Any:
        return x if x.sum() > 0 else -x

    with pytest.raises(RuntimeError, match="cannot be captured"):
        strict(trine.ones(2))


def test_values_kept_elsewhere_are_not_lost() -> None:
    kept = []

    @trine.compile
    def keep(x: Any) -> Any:
        y = x * 2
        kept.append(y)
        return y + 1

    for value in (1.0, 2.0, 3.0):
        keep(trine.tensor([value]))
    assert [k.item() for k in kept] == [2, 4, 6]


def test_errors() -> None:
    table = draw(4, 2)

    @trine.compile
    def look_up(index: Any) -> Any:
        return table[index]

    good, bad = trine.tensor([0, 3]), trine.tensor([0, 9])
    look_up(good)
    with pytest.raises(IndexError, match="9"):
        look_up(bad).numpy()
    np.testing.assert_array_equal(look_up(good).numpy(), table.numpy()[[0, 3]])

    @trine.compile
    def wrong(x: Any) -> Any:
        return x @ trine.ones(7, 7)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="7"):
            wrong(draw(2, 3))
    with pytest.raises(TypeError, match="expected"):
        trine.compile(3)  # type: ignore[arg-type]


def test_hooks_take_part() -> None:
    weight = draw(3).requires_grad_()

    @trine.compile
    def step(x: Any) -> None:
        weight.grad = None
        (weight * x).sum().backward()

    x = draw(3, seed=1)
    step(x), step(x)
    handle = weight.register_hook(lambda g: g * 10)
    step(x)
    np.testing.assert_allclose(weight.grad.numpy(), 10 * x.numpy(), rtol=1e-6)
    handle.remove()
    step(x)
    np.testing.assert_allclose(weight.grad.numpy(), x.numpy(), rtol=1e-6)


def test_autocast() -> None:
    fast = trine.compile(lambda x, y: x @ y)
    x, y = draw(2, 3), draw(3, 2)
    for _ in range(2):
        assert fast(x, y).dtype is trine.float32
        with trine.autocast("cpu", dtype=trine.bfloat16):
            assert fast(x, y).dtype is trine.bfloat16
    captured(fast, 2)


def test_forms() -> None:
    layer = nn.Linear(3, 2)
    fast = trine.compile(layer, dynamic=True, mode="reduce-overhead", backend="inductor")
    assert isinstance(fast, nn.Module) and fast._orig_mod is layer and fast.weight is layer.weight
    assert sorted(fast.state_dict()) == ["_orig_mod.bias", "_orig_mod.weight"]
    assert trine.compile(layer, disable=True) is layer
    copied = copy.deepcopy(fast)
    x = draw(2, 3)
    np.testing.assert_array_equal(copied(x).detach().numpy(), fast(x).detach().numpy())
    fast.eval()
    assert not layer.training and not fast.training
    layer.compile()
    np.testing.assert_array_equal(layer(x).detach().numpy(), fast(x).detach().numpy())

    class Model:
        factor = 3.0

        @trine.compile
        def call(self, x: Any) -> Any:
            return x * self.factor

    model = Model()
    assert model.call(x).tolist() == model.call(x).tolist() == (x * 3).tolist()
    model.factor = 4.0
    assert model.call(x).tolist() == (x * 4).tolist()


def test_calls_inside_and_many_kinds_of_arguments() -> None:
    inner = trine.compile(lambda x: x.tanh())
    outer = trine.compile(lambda x: inner(x) * 2)
    for size in range(1, 70):
        x = draw(size)
        np.testing.assert_allclose(outer(x).numpy(), (x.tanh() * 2).numpy(), rtol=1e-6)
    assert outer._num_captures <= 64


def test_the_steps_of_several_optimizers_go_on_together() -> None:
    def run(compiled: bool) -> list[Any]:
        first, second = nn.Parameter(trine.ones(3)), nn.Parameter(trine.ones(3))
        optimizers = [trine.optim.Adam([first], lr=0.1), trine.optim.Adam([second], lr=0.1)]

        def step(x: Any) -> Any:
            loss = ((first + second) * x).sum()
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            return loss.detach()

        function = trine.compile(step) if compiled else step
        losses = []
        for number in range(6):
            losses.append(function(trine.ones(3)).item())
            if number == 3:  # the second step is made of other updates from now on, when the first has gone on already
                optimizers[1].param_groups[0]["amsgrad"] = True
        return [losses, first.tolist(), second.tolist(), *(o.state[p]["step"] for o, p in zip(optimizers, (first, second), strict=True))]

    found = run(True)
    assert found == run(False) and found[-2:] == [6, 6]


def test_hooks_around_a_step_are_called() -> None:
    weight, calls = nn.Parameter(trine.ones(2)), []
    optimizer = trine.optim.SGD([weight], lr=0.1)

    @trine.compile
    def step(x: Any) -> None:
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()

    for _ in range(3):
        step(trine.ones(2))
    handle = optimizer.register_step_post_hook(lambda *_: calls.append(1))
    step(trine.ones(2)), step(trine.ones(2))
    handle.remove()
    assert len(calls) == 2
    np.testing.assert_allclose(weight.tolist(), [0.5, 0.5], rtol=1e-6)
