"""Hooks of optimizers, optimizers of the user, names, pickles."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import trine
from trine.optim import SGD, Adam, Optimizer
from trine.optim.optimizer import (
    _default_to_fused_or_foreach,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
    required,
)
from trine.tensor.recorder import local


def parameter() -> Any:
    w = trine.nn.Parameter(trine.ones(2))
    w.grad = trine.ones(2)
    return w


def test_step_hooks() -> None:
    optimizer = SGD([parameter()], lr=0.5)
    calls: list[Any] = []
    everywhere = register_optimizer_step_pre_hook(lambda o, args, kwargs: calls.append(("all", o is optimizer, args[0] is o)))
    after = register_optimizer_step_post_hook(lambda o, args, kwargs: calls.append("all after"))
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 7.0), kwargs))
    optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append(o.param_groups[0]["params"][0].tolist()))
    assert optimizer.step() == 7.0
    assert calls == [("all", True, True), [0.5, 0.5], "all after"]
    for handle in (everywhere, after, before):
        handle.remove()
    assert optimizer.step() is None and len(calls) == 4
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match="pre-hook"):
        optimizer.step()


def test_state_hooks() -> None:
    optimizer = Adam([parameter()])
    optimizer.step()
    order: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda o: order.append("second"))
    optimizer.register_state_dict_pre_hook(lambda o: order.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda o, s: {**s, "extra": 1})
    saved = optimizer.state_dict()
    assert order == ["first", "second"] and saved["extra"] == 1
    optimizer.register_load_state_dict_pre_hook(lambda o, s: order.append("load") or {k: v for k, v in s.items() if k != "extra"})
    optimizer.register_load_state_dict_post_hook(lambda o: order.append("loaded"))
    optimizer.load_state_dict(saved)
    assert order[2:] == ["load", "loaded"] and saved["extra"] == 1


class Signed(Optimizer):
    """As people write optimizers for PyTorch."""

    def __init__(self, params: Any, lr: Any = required) -> None:
        super().__init__(params, {"lr": lr})

    @trine.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state.setdefault("count", 0)
                state.setdefault("moments", [trine.zeros_like(p)])
                state["moments"][0].mul_(0.5).add_(p.grad)
                p.add_(state["moments"][0].sign(), alpha=-group["lr"])
                state["count"] += 1
        return None


def test_an_optimizer_of_the_user() -> None:
    w = parameter()
    optimizer = Signed([{"params": [w], "lr": 0.25}])
    optimizer.step()
    assert not local.trace.handles and w.tolist() == [0.75, 0.75]  # the step ended with a flush
    other = Signed([parameter()], lr=1.0)
    other.load_state_dict(optimizer.state_dict())
    (state,) = other.state.values()
    assert state["count"] == 1 and state["moments"][0].tolist() == [1.0, 1.0] and other.param_groups[0]["lr"] == 0.25
    with pytest.raises(ValueError, match="required"):
        Signed([parameter()])
    assert repr(required) == "<required parameter>"
    assert _default_to_fused_or_foreach([w], False) == (False, False)


def test_names_of_parameters() -> None:
    net = trine.nn.Linear(2, 2)
    optimizer = Adam(net.named_parameters())
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="names"):
        optimizer.add_param_group({"params": [parameter()]})
    with pytest.raises(ValueError, match="names"):
        SGD([("a", parameter()), parameter()], lr=0.1)  # type: ignore[list-item]


def test_copies_and_pickles() -> None:
    optimizer = Adam([parameter()], lr=0.25)
    optimizer.step()
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        (p,) = other.param_groups[0]["params"]
        assert p is not optimizer.param_groups[0]["params"][0] and other.state[p]["step"] == 1
        p.grad = trine.ones(2)
        other.step()
        assert p.tolist() == pytest.approx([0.5, 0.5], abs=1e-4)


def test_options_that_exclude_each_other() -> None:
    for options in ({"fused": True, "foreach": True}, {"fused": True, "differentiable": True}):
        with pytest.raises(RuntimeError, match="cannot be True together"):
            Adam([parameter()], **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1-element"):
        SGD([parameter()], lr=trine.ones(2))
    groups = Optimizer._group_tensors_by_device_and_dtype([[trine.ones(1), trine.ones(1).long()], [1, 2]], with_indices=True)
    assert [v[1] for v in groups.values()] == [[0], [1]] and [v[0][1] for v in groups.values()] == [[1], [2]]


def test_half_precision_updates_are_computed_in_float32() -> None:
    for kind in ("Adam", "RMSprop", "NAdam", "Adadelta"):
        w = trine.nn.Parameter(trine.ones(3, dtype=trine.bfloat16))
        optimizer = getattr(trine.optim, kind)([w], lr=0.125)
        w.grad = trine.ones(3, dtype=trine.bfloat16)
        for _ in range(2):
            optimizer.step()
        assert w.dtype is trine.bfloat16 and w.isfinite().all().item()
