"""What every optimizer does: groups, options, states, memory, compiled steps."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import trine
from trine import nn
from trine.errors import ArgumentError
from trine.optim import SGD, Adam, AdamW, Optimizer
from trine.tensor.state import automaton

ALL = [(SGD, {"lr": 0.1}), (SGD, {"lr": 0.1, "momentum": 0.9}), (Adam, {}), (AdamW, {"amsgrad": True})]


def network() -> nn.Module:
    trine.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def train(net: nn.Module, optimizer: Optimizer, steps: int) -> list[float]:
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        x = trine.tensor(rng.standard_normal((6, 4)).astype(np.float32))
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), x[:, :2])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind,options", ALL)
def test_nothing_is_compiled_after_the_second_step_and_memory_is_reused(kind: Any, options: dict[str, Any]) -> None:
    net = network()
    optimizer = kind(net.parameters(), **options)
    train(net, optimizer, 2)
    before = automaton.info()["plans_built"]
    addresses = [p.data_ptr() for p in net.parameters()]
    states = [v.data_ptr() for s in optimizer.state.values() for v in s.values() if isinstance(v, trine.Tensor)]
    for i in range(5):
        optimizer.param_groups[0]["lr"] = 0.01 / (i + 1)
        train(net, optimizer, 1)
    assert automaton.info()["plans_built"] == before
    assert [p.data_ptr() for p in net.parameters()] == addresses
    assert [v.data_ptr() for s in optimizer.state.values() for v in s.values() if isinstance(v, trine.Tensor)] == states


@pytest.mark.parametrize("kind,options", ALL)
def test_learns(kind: Any, options: dict[str, Any]) -> None:
    net = network()
    losses = train(net, kind(net.parameters(), **(options | {"lr": 0.05})), 40)
    assert losses[-1] < 0.5 * losses[0]


def test_groups() -> None:
    net = network()
    optimizer = SGD([{"params": net[0].parameters(), "lr": 0.5}, {"params": net[2].weight}], lr=0.1, momentum=0.9)
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.1]
    assert [len(g["params"]) for g in optimizer.param_groups] == [2, 1]
    optimizer.add_param_group({"params": [net[2].bias], "momentum": 0.0})
    train(net, optimizer, 2)
    assert "momentum_buffer" in optimizer.state[net[2].weight] and net[2].bias not in optimizer.state
    named = Adam(net.named_parameters())
    assert named.param_groups[0]["params"][0] is net[0].weight
    assert "Parameter Group 0" in repr(named) and "lr: 0.001" in repr(named)


def test_bad_arguments() -> None:
    w = nn.Parameter(trine.ones(2))
    with pytest.raises(ValueError, match="empty parameter list"):
        SGD([], lr=0.1)
    with pytest.raises(TypeError, match="iterable"):
        SGD(w, lr=0.1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="can only optimize tensors"):
        SGD([3], lr=0.1)
    with pytest.raises(ValueError, match="non-leaf"):
        SGD([w * 2], lr=0.1)
    with pytest.raises(ValueError, match="more than one parameter group"):
        SGD([{"params": [w]}, {"params": [w]}], lr=0.1)
    with pytest.raises(ValueError, match="more than once"):
        SGD([w, w], lr=0.1)
    with pytest.raises(TypeError, match="dict"):
        SGD([w], lr=0.1).add_param_group([w])  # type: ignore[arg-type]
    for options in ({"lr": -1.0}, {"lr": 0.1, "momentum": -0.1}, {"lr": 0.1, "weight_decay": -1.0}, {"lr": math.nan}):
        with pytest.raises(ArgumentError, match="SGD: invalid"):
            SGD([w], **options)
    with pytest.raises(ArgumentError, match="Nesterov"):
        SGD([w], lr=0.1, nesterov=True)
    for options in ({"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}, {"eps": -1.0}, {"lr": -1.0}):
        with pytest.raises(ArgumentError, match="Adam: invalid"):
            Adam([w], **options)
    with pytest.raises(ArgumentError, match="AdamW: invalid"):
        AdamW([w], weight_decay=-1.0)
    with pytest.raises(NotImplementedError):
        optimizer = Optimizer([w], {})
        w.grad = trine.ones(2)
        optimizer.step()


def test_zero_grad() -> None:
    w = nn.Parameter(trine.ones(2))
    optimizer = SGD([w], lr=0.1)
    (w * 2).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0.0, 0.0]
    optimizer.step()
    assert w.tolist() == [1.0, 1.0]
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()
    assert w.tolist() == [1.0, 1.0]


def test_zero_grad_of_a_nan_gradient() -> None:
    w = nn.Parameter(trine.ones(1))
    for forget in (SGD([w], lr=0.1).zero_grad, nn.ParameterList([w]).zero_grad):
        w.grad = trine.tensor([math.nan])
        forget(set_to_none=False)
        assert w.grad.tolist() == [0.0]


def test_state_continues_after_a_round_trip() -> None:
    for kind, options in ALL:
        net = network()
        optimizer = kind(net.parameters(), **options)
        train(net, optimizer, 3)
        copied = copy.deepcopy(net)
        other = kind(copied.parameters(), **(options | {"lr": 7.0}))
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
        assert train(net, optimizer, 3) == train(copied, other, 3)


def test_loading_checks_the_groups_before_it_changes_anything() -> None:
    net = network()
    optimizer = Adam(net.parameters(), lr=0.25)
    train(net, optimizer, 1)
    good = optimizer.state_dict()
    broken = [
        ({"state": {}, "param_groups": []}, "different parameter groups"),
        ({"state": {}, "param_groups": [good["param_groups"][0] | {"params": [0]}]}, "different parameter groups"),
        ({"state": {9: {}}, "param_groups": good["param_groups"]}, "unknown parameter"),
        ({"state": {0: {"exp_avg": trine.ones(3)}}, "param_groups": good["param_groups"]}, "shape"),
        ({"param_groups": good["param_groups"]}, "state"),
        ([], "dict"),
    ]
    for state, text in broken:
        with pytest.raises(ArgumentError, match=text):
            optimizer.load_state_dict(state)  # type: ignore[arg-type]
        assert set(optimizer.state) == set(net.parameters()) and optimizer.param_groups[0]["lr"] == 0.25
    train(net, optimizer, 1)


def test_loaded_state_takes_the_dtype_of_its_parameter() -> None:
    w = nn.Parameter(trine.ones(2, dtype=trine.float64))
    optimizer = Adam([w])
    state = {"step": trine.tensor(3.0), "exp_avg": trine.ones(2), "exp_avg_sq": trine.ones(2)}
    optimizer.load_state_dict({"state": {0: state}, "param_groups": optimizer.state_dict()["param_groups"]})
    assert optimizer.state[w]["exp_avg"].dtype is trine.float64 and optimizer.state[w]["step"] == 3
    w.grad = trine.ones(2, dtype=trine.float64)
    optimizer.step()
    assert w.dtype is trine.float64


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_dtypes(dtype: str) -> None:
    for kind, options in ALL:
        w = nn.Parameter(trine.ones(3, dtype=getattr(trine, dtype)))
        optimizer = kind([w], **(options | {"lr": 0.125}))
        w.grad = trine.ones(3, dtype=getattr(trine, dtype))
        optimizer.step()
        assert w.dtype.name == dtype and w.requires_grad and w.is_leaf
        assert w.tolist() == pytest.approx([0.875] * 3, abs=0.02)


def test_aliases_of_a_parameter_see_the_step() -> None:
    w = nn.Parameter(trine.ones(2))
    view = w.detach()
    optimizer = SGD([w], lr=0.5)
    w.grad = trine.ones(2)
    optimizer.step()
    assert view.tolist() == [0.5, 0.5]
    array = view.numpy()
    optimizer.step()
    assert array.tolist() == [0.0, 0.0]


def test_a_failing_closure_changes_nothing() -> None:
    w = nn.Parameter(trine.ones(2))
    optimizer = SGD([w], lr=0.5)
    w.grad = trine.ones(2)

    def closure() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert w.tolist() == [1.0, 1.0]
    optimizer.step()
    assert w.tolist() == [0.5, 0.5]
