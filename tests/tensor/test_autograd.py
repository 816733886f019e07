"""Gradients of recorded programs: modes, hooks, higher orders, custom functions, checkpoints, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from trine.errors import GradientError, InPlaceError, TrineError
from trine.utils.checkpoint import checkpoint

FLUSH = pytest.mark.parametrize("flush", [False, True])


def leaf(*values: float) -> trine.Tensor:
    return trine.tensor(list(values), requires_grad=True)


def flushed(flush: bool) -> None:
    if flush:
        trine.synchronize()


@FLUSH
def test_accumulation(flush: bool) -> None:
    x = leaf(1.0, 2.0)
    for _ in range(3):
        y = (x * x).sum()
        flushed(flush)
        y.backward()
    assert x.grad.tolist() == [6.0, 12.0]


@FLUSH
def test_second_backward(flush: bool) -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    flushed(flush)
    y.backward()
    with pytest.raises(GradientError, match="(?s)second time.*retain_graph=True"):
        y.backward()
    z = (x * x).sum()
    flushed(flush)
    z.backward(retain_graph=True)
    z.backward()
    assert x.grad.tolist() == [6.0, 12.0]


@FLUSH
def test_second_backward_where_nothing_was_saved(flush: bool) -> None:
    x = leaf(1.0, 2.0)
    y = (x + 1).sum()
    flushed(flush)
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]


@FLUSH
def test_three_orders(flush: bool) -> None:
    x = leaf(2.0)
    y = (x**4).sum()
    flushed(flush)
    (first,) = trine.autograd.grad(y, x, create_graph=True)
    flushed(flush)
    (second,) = trine.autograd.grad(first.sum(), x, create_graph=True)
    flushed(flush)
    (third,) = trine.autograd.grad(second.sum(), x)
    assert [first.item(), second.item(), third.item()] == pytest.approx([32.0, 48.0, 48.0])


@FLUSH
def test_hooks(flush: bool) -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10)
    handle = x.register_hook(lambda g: g + 1)
    z = (y * y).sum()
    flushed(flush)
    z.backward(retain_graph=True)
    assert seen == [[6.0, 12.0]]
    assert x.grad.tolist() == [181.0, 361.0]
    handle.remove()
    x.grad = None
    z.backward()
    assert x.grad.tolist() == [180.0, 360.0]


@FLUSH
def test_retain_grad_and_inputs(flush: bool) -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = x * w
    y.retain_grad()
    z = (y * y).sum()
    flushed(flush)
    z.backward(inputs=[w], retain_graph=True)
    assert x.grad is None and w.grad.tolist() == [6.0, 32.0]
    z.backward()
    assert y.grad.tolist() == [6.0, 16.0] and x.grad.tolist() == [18.0, 64.0]


def test_modes() -> None:
    x = leaf(1.0)
    with trine.no_grad():
        assert not (x * 2).requires_grad
        with trine.enable_grad():
            assert (x * 2).requires_grad
        with trine.set_grad_enabled(True):
            assert (x * 2).requires_grad
        assert not trine.is_grad_enabled()
    with trine.inference_mode():
        assert not (x * 2).requires_grad

    @trine.no_grad()
    def double(t: Any) -> Any:
        return t * 2

    @trine.inference_mode()
    def triple(t: Any) -> Any:
        return t * 3

    @trine.set_grad_enabled(False)
    def quadruple(t: Any) -> Any:
        return t * 4

    assert not any(f(x).requires_grad for f in (double, triple, quadruple))
    assert (x * 2).requires_grad
    assert not x.detach().requires_grad


class Scale(trine.autograd.Function):
    """Two results, three arguments, one of them no tensor."""

    needs: Any = None

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, factor: float) -> Any:
        ctx.save_for_backward(x, y)
        ctx.factor = factor
        Scale.needs = ctx.needs_input_grad
        count = (x > 0).sum()
        ctx.mark_non_differentiable(count)
        return x * y * factor, x + y, count

    @staticmethod
    def backward(ctx: Any, product: Any, total: Any, count: Any) -> Any:
        x, y = ctx.saved_tensors
        return product * y * ctx.factor + total, None, None


@FLUSH
def test_custom_function(flush: bool) -> None:
    x, y = leaf(1.0, 2.0), trine.tensor([3.0, 4.0])
    product, total, count = Scale.apply(x * 1, y, 2.0)
    assert Scale.needs == (True, False, False)
    assert not count.requires_grad
    loss = (product * 5).sum() + total.sum()
    flushed(flush)
    loss.backward()
    assert x.grad.tolist() == [31.0, 41.0]


@FLUSH
def test_checkpoint(flush: bool) -> None:
    trine.manual_seed(1)
    w = leaf(0.5, -1.0, 2.0)

    def block(x: Any) -> Any:
        return trine.nn.functional.dropout((x * w).tanh(), 0.5) * x

    def run(function: Any) -> tuple[list[float], list[float], list[float]]:
        trine.manual_seed(5)
        w.grad = None
        x = leaf(1.0, 2.0, 3.0)
        y = function(x)
        flushed(flush)
        y.sum().backward()
        return y.tolist(), x.grad.tolist(), w.grad.tolist()

    expected, found = run(block), run(lambda x: checkpoint(block, x, use_reentrant=False))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_errors() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(GradientError, match="(?s)scalar outputs.*gradient="):
        (x * 2).backward()
    with pytest.raises(GradientError, match="does not require grad"):
        trine.ones(1).backward()
    with pytest.raises(GradientError, match="(?s)not used.*allow_unused=True"):
        trine.autograd.grad((x * 2).sum(), leaf(1.0))
    assert trine.autograd.grad((x * 2).sum(), leaf(1.0), allow_unused=True) == (None,)
    with pytest.raises(TrineError, match="wrong shape"):
        (x * 2).backward(trine.ones(3))
    with pytest.raises(InPlaceError, match="(?s)leaf.*no_grad"):
        x.add_(1)
    with pytest.raises(InPlaceError, match="view of a leaf"):
        x[0] = 1.0
    with pytest.raises(GradientError, match="floating-point"):
        trine.tensor([1]).requires_grad_()
    with pytest.raises(GradientError, match="leaf"):
        (x * 2).requires_grad_(False)
    with pytest.raises(GradientError, match="detach"):
        x.numpy()
    assert x.grad is None and x.tolist() == [1.0, 2.0]


@FLUSH
def test_modified_in_place(flush: bool) -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    z = (y * y).sum()
    flushed(flush)
    y.add_(1)
    with pytest.raises(InPlaceError, match="(?s)modified by an inplace operation.*fix"):
        z.backward()
    y = x * 2
    z = (y + 1).sum()
    flushed(flush)
    y.mul_(3)
    z.backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_leaf_written_through_another_tensor_stays_a_leaf() -> None:
    weight = trine.nn.Parameter(trine.zeros(3))
    weight.data.add_(1)
    assert weight.is_leaf
    optimizer = trine.optim.SGD([weight], lr=1.0)
    weight.data.mul_(3)
    (weight * weight).sum().backward()
    optimizer.step()
    assert weight.is_leaf and weight.tolist() == [-3.0] * 3
    computed = weight * 2
    view = computed[:2]
    computed.add_(1)
    assert not computed.is_leaf and not view.is_leaf
