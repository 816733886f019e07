"""Exceptions in the middle of a step: nothing is lost that had been computed, and the program goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from trine import nn
from trine.core.graph import Node
from trine.errors import IndexOutOfRangeError, ShapeError, TrineError
from trine.tensor import record
from trine.tensor.recorder import local


def make() -> tuple[Any, Any, Any, Any]:
    trine.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = trine.optim.Adam(model.parameters(), lr=0.1)
    generator = np.random.default_rng(0)
    x = trine.tensor(generator.standard_normal((6, 4)).astype(np.float32))
    y = trine.tensor(generator.integers(0, 3, 6))
    return model, optimizer, x, y


def step(model: Any, optimizer: Any, x: Any, y: Any) -> float:
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def reference(steps: int = 5) -> list[float]:
    setting = make()
    return [step(*setting) for _ in range(steps)]


def test_an_error_at_record_time_leaves_the_recording_as_it_was() -> None:
    x = trine.ones(2, 3) * 2
    scalars = list(local.trace.scalars)
    for bad in (lambda: x + trine.ones(4), lambda: x @ x, lambda: x.reshape(4), lambda: x.sum(5), lambda: x[3], lambda: x.to("no")):
        with pytest.raises(TrineError):
            bad()
    assert local.trace.scalars == scalars
    assert (x + 1).tolist() == [[3.0] * 3] * 2


@pytest.mark.recorded
def test_an_error_in_a_builder() -> None:
    def fails(node: Node) -> Node:
        raise ValueError("no")

    x = trine.ones(3) * 2
    state = local.trace.state
    with pytest.raises(ValueError, match="no"):
        record(fails, (x, 1.5)[:1])
    assert local.trace.state is state
    assert (x * 1.5).tolist() == [3.0] * 3


def test_an_error_in_a_builder_with_numbers() -> None:
    def fails(node: Node, number: Node) -> Node:
        raise ValueError("no")

    x = trine.ones(3) * 2.0
    with pytest.raises(ValueError, match="no"):
        record(fails, (x, 1.5))
    assert (x * 3.5 + 0.25).tolist() == [7.25] * 3


def test_an_error_between_forward_and_backward() -> None:
    model, optimizer, x, y = make()
    losses = []
    for i in range(5):
        if i == 2:
            with pytest.raises(ShapeError):
                nn.functional.cross_entropy(model(x), y)
                model(x[:, :2])
        losses.append(step(model, optimizer, x, y))
    assert losses == reference()


def test_an_error_inside_forward() -> None:
    model, optimizer, x, y = make()

    class Fails(nn.Module):
        active = False

        def forward(self, x: Any) -> Any:
            if self.active:
                raise RuntimeError("inside forward")
            return x

    fails = Fails()
    model = nn.Sequential(model, fails)
    losses = []
    for i in range(5):
        if i == 3:
            fails.active = True
            with pytest.raises(RuntimeError, match="inside forward"):
                step(model, optimizer, x, y)
            fails.active = False
        losses.append(step(model, optimizer, x, y))
    assert losses == reference()


def test_an_error_inside_a_gradient_hook() -> None:
    model, optimizer, x, y = make()

    def fails(gradient: Any) -> None:
        raise RuntimeError("inside the hook")

    losses = []
    for i in range(5):
        if i == 1:
            handle = model[0].weight.register_hook(fails)
            with pytest.raises(RuntimeError, match="inside the hook"):
                step(model, optimizer, x, y)
            handle.remove()
        losses.append(step(model, optimizer, x, y))
    assert trine.is_grad_enabled()
    assert losses == reference()


def test_an_error_inside_a_custom_function() -> None:
    class Fails(trine.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            raise RuntimeError("inside backward")

    x = trine.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="inside backward"):
        Fails.apply(x).sum().backward()
    assert trine.is_grad_enabled()
    assert x.grad is None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_an_error_inside_no_grad() -> None:
    with pytest.raises(RuntimeError, match="stop"), trine.no_grad():
        raise RuntimeError("stop")
    assert (trine.ones(2, requires_grad=True) * 2).requires_grad


def test_bad_labels_in_a_training_step() -> None:
    """The error names the line, parameters keep their values, training goes on as if the step had not been."""
    model, optimizer, x, y = make()
    losses = [step(model, optimizer, x, y), step(model, optimizer, x, y)]
    before = [p.detach().numpy().copy() for p in model.parameters()]
    bad = trine.tensor([0, 1, 2, 3, 0, 1])
    with pytest.raises(IndexOutOfRangeError) as caught:
        step(model, optimizer, x, bad)
    assert "received" in str(caught.value) and "3" in str(caught.value)
    assert "test_errors.py" in str(caught.value) and "in step" in str(caught.value)
    for p, old in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), old)
        assert p.is_leaf and p.requires_grad
    assert all(np.isfinite(p.detach().numpy()).all() for p in model.parameters())
    assert len(losses) == 2
    assert np.isfinite(step(model, optimizer, x, y))


@pytest.mark.recorded
@pytest.mark.parametrize("engine", ["native", "numpy"])
def test_results_of_a_failed_recording_are_lost_and_say_so(engine: str) -> None:
    trine.set_engine(engine)
    try:
        table = trine.arange(5.0)
        innocent = table * 2
        bad = table[trine.tensor([1, 7])]
        dependent = bad + 1
        with pytest.raises(IndexOutOfRangeError, match="7"):
            dependent.tolist()
        assert innocent.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
        for lost in (bad, dependent):
            with pytest.raises(TrineError, match="(?s)no value.*index"):
                lost.tolist()
            with pytest.raises(TrineError, match="(?s)no value.*index"):
                lost + 1
        assert table.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert (table * 2).tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    finally:
        trine.set_engine("native")


@pytest.mark.recorded
def test_the_line_that_recorded_an_operation_is_named() -> None:
    table = trine.arange(5.0)
    index = trine.tensor([9])
    found = table[index]  # named in the message
    other = found * 2
    with pytest.raises(IndexOutOfRangeError) as caught:
        other.tolist()
    first = test_the_line_that_recorded_an_operation_is_named.__code__.co_firstlineno
    assert f"test_errors.py:{first + 4} in test_the_line_that_recorded" in str(caught.value)


@pytest.mark.recorded
def test_a_view_of_a_failed_recording() -> None:
    table = trine.arange(5.0)
    whole = table[trine.tensor([1, 7])]
    view = whole[:1]
    with pytest.raises(IndexOutOfRangeError):
        view.tolist()
    with pytest.raises(TrineError, match="no value"):
        whole.tolist()
    with pytest.raises(TrineError, match="no value"):
        view.tolist()


@pytest.mark.recorded
def test_written_tensors_keep_their_values_after_a_failed_recording() -> None:
    x = trine.tensor([1.0, 2.0])
    row = trine.zeros(2, 2)
    trine.synchronize()
    view = row[0]
    view.add_(trine.arange(5.0)[trine.tensor([1, 7])])
    x.add_(1.0)
    with pytest.raises(IndexOutOfRangeError):
        trine.synchronize()
    assert row.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert view.tolist() == [0.0, 0.0]
    assert x.tolist() in ([1.0, 2.0], [2.0, 3.0])
    view.add_(1.0)
    assert row.tolist() == [[1.0, 1.0], [0.0, 0.0]]


@pytest.mark.recorded
def test_updates_of_a_failed_step_happen_all_or_none() -> None:
    first, second = trine.ones(3, requires_grad=True), trine.ones(5, 2, requires_grad=True)
    optimizer = trine.optim.SGD([{"params": [first]}, {"params": [second]}], lr=1.0)
    ((first * first).sum() + second[trine.tensor([1, 7])].sum()).backward()
    with pytest.raises(IndexOutOfRangeError):
        optimizer.step()
    assert first.tolist() == [1.0] * 3
    assert second.sum().item() == 10.0
    optimizer.zero_grad()
    ((first * first).sum() + second[trine.tensor([1, 4])].sum()).backward()
    optimizer.step()
    assert first.tolist() == [-1.0] * 3
    assert second.sum().item() == 6.0


def test_an_allocation_that_cannot_be() -> None:
    x = trine.ones(4)
    y = x * 2
    with pytest.raises(TrineError):
        x.expand(1 << 40, 4).contiguous().add(1.0).numpy()
    assert (x + 1).tolist() == [2.0] * 4
    assert y.tolist() == [2.0] * 4


def test_parameters_that_were_pending_when_a_recording_failed_keep_their_values() -> None:
    trine.manual_seed(3)
    table = nn.Embedding(5, 2)
    with pytest.raises(IndexOutOfRangeError):
        table(trine.tensor([5])).sum().item()
    assert table.weight.abs().sum().item() > 0
    table(trine.tensor([4])).sum().backward()
    assert table.weight.grad.sum().item() == 2.0
