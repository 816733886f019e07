"""Custom functions: called once, in-place arguments, second derivatives, saved tensors and their hooks, the graph as it is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import trine
from trine.errors import GradientError, InPlaceError
from trine.utils.checkpoint import checkpoint, checkpoint_sequential

FLUSH = pytest.mark.parametrize("flush", [False, True])


def leaf(*values: float) -> Any:
    return trine.tensor(values, requires_grad=True)


class Split(trine.autograd.Function):
    calls: list[tuple[bool, ...]] = []

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    @staticmethod
    def backward(ctx: Any, a: Any, b: Any) -> Any:
        Split.calls.append((a is not None, b is not None))
        return sum(part for part in (None if a is None else a * 2, None if b is None else b * 3) if part is not None)


@FLUSH
def test_backward_is_called_once_for_results_of_separate_pieces(flush: bool) -> None:
    Split.calls = []
    x = leaf(1.0, 2.0)
    a, b = Split.apply(x * 1)
    if flush:
        trine.synchronize()
    first = (a * a).sum()
    if flush:
        first.item()
    second = (b * 5).sum()
    if flush:
        second.item()
    (first + second).backward()
    assert Split.calls == [(True, True)]
    assert x.grad.tolist() == [2 * 4 + 15.0, 4 * 4 + 15.0]


def test_backward_is_called_once_where_one_result_feeds_another_function() -> None:
    Split.calls = []
    x = leaf(1.0)
    a, b = Split.apply(x)
    c, d = Split.apply(a)
    loss = (b + c + d).sum()
    loss.item()
    loss.backward()
    assert Split.calls == [(True, True), (True, True)] and x.grad.tolist() == [13.0]


def test_hooks_of_a_flushed_result() -> None:
    x = leaf(1.0)
    a, b = Split.apply(x)
    a.register_hook(lambda gradient: gradient * 10)
    loss = (a + b).sum()
    loss.item()
    loss.backward()
    assert x.grad.tolist() == [23.0]


class Doubled(trine.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient * 2


def test_in_place_arguments() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    z = Doubled.apply(y)
    assert z is y and z.tolist() == [6.0, 12.0]
    (z * z).sum().backward()
    assert x.grad.tolist() == [2 * 6.0 * 6, 2 * 12.0 * 6]
    with pytest.raises(InPlaceError, match="leaf"):
        Doubled.apply(leaf(1.0))


def test_context_errors_and_second_derivatives() -> None:
    class Square(trine.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return x * x

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * 2 * ctx.saved_tensors[0]

    x = leaf(3.0)
    y = Square.apply(x)
    (g,) = trine.autograd.grad(y, x, create_graph=True)
    (gg,) = trine.autograd.grad(g, x)
    assert (g.item(), gg.item()) == (6.0, 2.0)
    y = Square.apply(x)
    y.backward()
    with pytest.raises(GradientError, match="second time"):
        y.backward()

    class Once(Square):
        @staticmethod
        @trine.autograd.function.once_differentiable
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient * 2 * ctx.saved_tensors[0]

    (g,) = trine.autograd.grad(Once.apply(x) * x, x, create_graph=True)
    assert g.item() == 27.0
    with pytest.raises(GradientError, match="once_differentiable"):
        trine.autograd.grad(g, x)


def test_gradients_are_brought_to_the_shape_of_the_argument() -> None:
    class Broad(trine.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.expand(3, 2) * 1

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient

    x = leaf(1.0, 2.0)
    Broad.apply(x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_versions_count_writes_through_views() -> None:
    for lib in (trine, torch):
        x = lib.zeros(4)
        view = x[1:]
        x.add_(1)
        view.add_(1)
        view[0] = 5.0
        part = view[:2]
        x.data.add_(1)
        assert (x._version, view._version, part._version) == (3, 3, 3), lib.__name__
        x.detach().add_(1)
        assert x._version == 4, lib.__name__


@pytest.mark.parametrize("write", ["view", "detached"])
def test_a_write_through_a_view_is_noticed_after_a_flush(write: str) -> None:
    for lib in (trine, torch):
        x = lib.ones(3, requires_grad=True)
        y = x * 2
        z = (y * y).sum()
        z.item()
        (y[1:] if write == "view" else y.detach()).mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.backward()


def test_hooks_of_saved_tensors() -> None:
    packed: list[Any] = []

    def pack(tensor: Any) -> Any:
        packed.append(tensor)
        return tensor.numpy().copy()

    x = leaf(0.5, 1.0)
    with trine.autograd.graph.saved_tensors_hooks(pack, lambda array: trine.from_numpy(array)):
        y = x.exp().sin()
    y.sum().backward()
    assert packed
    np.testing.assert_allclose(x.grad.tolist(), np.cos(np.exp([0.5, 1.0])) * np.exp([0.5, 1.0]), rtol=1e-6)
    with trine.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t * 0):
        y = x.exp()
    x.grad = None
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    with trine.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().copy(), trine.from_numpy):
        y = x * x  # the leaf itself is kept: hooks get its value
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 2.0]
    with trine.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = x * x * x
    (gradient,) = trine.autograd.grad(y.sum(), x, create_graph=True)
    assert trine.autograd.grad(gradient.sum(), x)[0].tolist() == [3.0, 6.0]
    with trine.autograd.graph.disable_saved_tensors_hooks("no hooks here"), pytest.raises(RuntimeError, match="no hooks here"):
        with trine.autograd.graph.save_on_cpu():
            pass


def test_hooks_on_several_gradients() -> None:
    x, y = leaf(1.0), leaf(2.0)
    seen: list[Any] = []
    handle = trine.autograd.graph.register_multi_grad_hook([x, y], seen.append)
    (x * y).sum().backward()
    handle.remove()
    (x * y).sum().backward()
    assert [[g.item() for g in gradients] for gradients in seen] == [[2.0, 1.0]]


@FLUSH
def test_the_graph_as_grad_fn_shows_it(flush: bool) -> None:
    x = leaf(1.0, 2.0)
    y = (x * x + 1).sum()
    if flush:
        y.item()
    names = []
    function = y.grad_fn
    while function is not None:
        names.append(function.name().replace("0", ""))
        function = function.next_functions[0][0] if function.next_functions else None
    assert "AddBackward" in names and "MulBackward" in names and names[-1] == "struct torch::autograd::AccumulateGrad"
    assert trine.autograd.graph.get_gradient_edge(x).node.variable is x
    assert str(y).endswith("Backward0>)")


def broken(x: Any) -> Any:
    return (x.sqrt() * 0.0).sum()  # the line that anomaly mode names


@FLUSH
def test_anomaly_mode_names_the_line(flush: bool) -> None:
    x = leaf(0.0, 1.0)
    with trine.autograd.detect_anomaly():
        y = broken(x)
        if flush:
            y.item()
        with pytest.raises(
            RuntimeError, match=r"(?s)'SqrtBackward0' returned nan values in its 0th output.*test_function.py:\d+ in broken"
        ):
            y.backward()
    y = broken(x)
    y.backward()
    assert np.isnan(x.grad.tolist()[0])


def test_anomaly_mode_says_where_a_custom_function_was_called() -> None:
    class Fails(trine.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            raise ZeroDivisionError("in the rule")

    with trine.autograd.set_detect_anomaly(True, check_nan=False):
        y = Fails.apply(leaf(1.0))
        with pytest.raises(ZeroDivisionError) as error:
            y.backward()
    assert "test_function.py" in error.value.__notes__[0]
    trine.autograd.set_detect_anomaly(False)


def test_checkpoint_arguments() -> None:
    x = leaf(0.5, 1.0)
    w = leaf(2.0, 3.0)
    events: list[str] = []

    class Note:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            events.append(self.name)

        def __exit__(self, *_: object) -> None:
            pass

    def block(x: Any, scale: float = 1.0) -> Any:
        return Split.apply(x * w)[0].exp() * scale, x.detach() * 2

    y, plain = checkpoint(block, x, use_reentrant=False, context_fn=lambda: (Note("forward"), Note("again")), scale=2.0)
    assert not plain.requires_grad
    y.sum().backward()
    assert events == ["forward", "again"]
    np.testing.assert_allclose(w.grad.numpy(), 4 * np.exp(2 * x.detach().numpy() * w.detach().numpy()) * x.detach().numpy(), rtol=1e-5)
    with pytest.raises(ValueError, match="unexpected keyword"):
        checkpoint(block, x, use_reentrant=True, scale=2.0)
    model = trine.nn.Sequential(trine.nn.Linear(2, 3), trine.nn.Tanh(), trine.nn.Linear(3, 2))
    for module in (lambda v: model(v), lambda v: checkpoint_sequential(model, 2, v, use_reentrant=False)):
        x.grad = None
        module(x).sum().backward()
        events.append(str(x.grad.tolist()))
    assert events[-1] == events[-2]


def test_checkpoint_notices_another_result() -> None:
    x = leaf(1.0, 2.0)
    sizes = iter([2, 1])
    y = checkpoint(lambda v: v[: next(sizes)] * v[0], x)
    with pytest.raises(GradientError, match="another result"):
        y.sum().backward()


@pytest.mark.parametrize("function", ["cross_entropy", "embedding"])
def test_a_negative_label_is_reported_as_it_is(function: str) -> None:
    with pytest.raises(IndexError, match=r"(?s)received: -1\s+expected: an index from 0 to 2"):
        if function == "cross_entropy":
            trine.nn.functional.cross_entropy(trine.zeros(2, 3), trine.tensor([0, -1])).item()
        else:
            trine.nn.functional.embedding(trine.tensor([0, -1]), trine.zeros(3, 2)).sum().item()
