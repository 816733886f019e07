"""Views as PyTorch has them: strides, contiguity, what shares memory and what is a copy; views by strides and by dtype."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trine.namespace
from tests.ops.parity import check, randn, torch


def step(t: Any, rng: random.Random) -> Callable[[Any], Any]:
    """Return a random view."""
    kind, n = rng.randrange(7), t.dim()
    if kind == 0 and n > 1:
        order = rng.sample(range(n), n)
        return lambda x: x.permute(*order)
    if kind == 1 and n:
        d = rng.randrange(n)
        start = rng.randrange(0, max(t.shape[d], 1))
        return lambda x: x.narrow(d, start, t.shape[d] - start)
    if kind == 2 and n and t.shape[0]:
        return lambda x: x.select(0, t.shape[0] - 1)
    if kind == 3:
        d = rng.randrange(n + 1)
        return lambda x: x.unsqueeze(d)
    if kind == 4 and n > 1:
        return lambda x: x.diagonal(0, 0, n - 1)
    if kind == 5 and n > 1:
        return lambda x: x.flatten(0, 1)
    if kind == 6 and n:
        return lambda x: x[(slice(None, None, 2),) * n]
    return lambda x: x


@pytest.mark.parametrize("seed", range(40))
def test_random_views(seed: int) -> None:
    rng = random.Random(seed)
    theirs = torch.arange(48.0).reshape([(2, 4, 6), (3, 16), (4, 3, 2, 2), (48,)][seed % 4])
    ours = trine.tensor(theirs.numpy().copy())
    their_base, our_base = theirs, ours
    for _ in range(4):
        view = step(theirs, rng)
        theirs, ours = view(theirs), view(ours)
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.is_contiguous() == theirs.is_contiguous() and ours.storage_offset() == theirs.storage_offset()
    for size, found, want in zip(theirs.shape, ours.stride(), theirs.stride(), strict=True):
        assert size == 1 or found == want
    theirs.fill_(-1)
    ours.fill_(-1)
    np.testing.assert_array_equal(our_base.numpy(), their_base.numpy())


def test_what_strides_cannot_express() -> None:
    x = trine.arange(6).reshape(2, 3)
    with pytest.raises(RuntimeError):
        x.T.view(-1)
    flat = x.T.reshape(-1)
    flat[0] = 50
    assert x[0, 0].item() == 0
    copied = x.T.contiguous()
    copied[0, 0] = 60
    assert x[0, 0].item() == 0 and copied.is_contiguous() and x.contiguous() is x
    x.view(3, 2)[0, 0] = 70
    assert x[0, 0].item() == 70


def test_memory_formats_are_accepted() -> None:
    x = trine.zeros(2, 3, 4, 5)
    assert x.contiguous(memory_format=trine.channels_last).shape == x.shape
    assert not x.is_contiguous(memory_format=trine.channels_last)
    assert x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).is_contiguous(memory_format=trine.channels_last)


def test_as_strided() -> None:
    for arguments in (((3, 2), (1, 1)), ((2, 2), (3, 1), 1), ((4,), (2,)), ((), ()), ((2, 3), (0, 1))):
        check(lambda x, a=arguments: trine.as_strided(x, *a), lambda x, a=arguments: torch.as_strided(x, *a), randn(8))
    x = trine.zeros(6)
    x[2:].as_strided((2, 2), (2, 1), 1).fill_(4)
    assert x.tolist() == [0, 4, 4, 4, 4, 0]
    with pytest.raises(RuntimeError):
        x.as_strided((3, 3), (3, 1))


def test_bytes_as_another_dtype() -> None:
    x = np.array([[1.0, -2.5, 3.0, 4.0], [0.5, 7.0, -8.0, 9.0]], np.float32)
    for name in ("int32", "uint8", "int16", "float64", "complex64", "int64", "bfloat16"):
        ours, theirs = trine.tensor(x).view(getattr(trine, name)), torch.tensor(x).view(getattr(torch, name))
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert ours.view(trine.uint8).tolist() == theirs.view(torch.uint8).tolist()
    values = trine.tensor([1.0, 2.0])
    values.view(trine.int32)[0] = 0
    assert values.tolist() == [0, 2]
    with pytest.raises(RuntimeError):
        trine.tensor([1.0]).view(trine.float64)


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("select_scatter", (3,), (0, 1)),
        ("slice_scatter", (2, 2), (1, 0, 3, 2)),
        ("diagonal_scatter", (2,), (1,)),
        ("as_strided_scatter", (2, 2), ((2, 2), (3, 1), 1)),
    ],
)
def test_a_region_replaced(name: str, shape: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
    def call(module: Any) -> Callable[..., Any]:
        return lambda x, y: getattr(module, name)(x, y, *arguments)

    # PyTorch's gradient of as_strided_scatter lies where the region is instead of where it is not
    check(call(trine), call(torch), randn(2, 3), randn(*shape), grad=name != "as_strided_scatter")


def test_copies_share_no_memory() -> None:
    x = trine.zeros(2, 2)
    for copy in (trine.permute_copy(x, (1, 0)), trine.diagonal_copy(x), *trine.unbind_copy(x), *trine.unsafe_chunk(x, 2), trine.t_copy(x)):
        copy.fill_(1)
    assert x.sum().item() == 0


def test_resize() -> None:
    x = trine.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.resize_(3) is x and x.tolist() == [1, 2, 3]
    assert x.resize_(2, 2).tolist() == [[1, 2], [3, 0]]
    x += 1
    assert x.resize_as_(trine.zeros(1)).tolist() == [2]
    with pytest.raises(RuntimeError):
        trine.zeros(2, requires_grad=True).resize_(1)


def test_shapes_changed_in_place() -> None:
    x = trine.arange(6).reshape(2, 3).clone()
    row = x[0]
    assert x.t_() is x and tuple(x.shape) == (3, 2) and x.stride() == (1, 3)
    x[0, 0] = 50
    assert row.tolist() == [50, 1, 2]
    assert tuple(x.unsqueeze_(0).shape) == (1, 3, 2) and tuple(x.squeeze_().transpose_(0, 1).shape) == (2, 3)
    leaf = trine.ones(2, 3, requires_grad=True)
    computed = leaf * 2
    computed.t_()
    (computed * trine.arange(6).reshape(3, 2)).sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [[0, 4, 8], [2, 6, 10]]
    with pytest.raises(RuntimeError):
        leaf.t_()


def test_fill_diagonal() -> None:
    for shape, wrap in (((3, 3), False), ((7, 3), True), ((7, 3), False), ((2, 5), True), ((3, 3, 3), False)):
        ours, theirs = trine.zeros(shape).fill_diagonal_(2, wrap), torch.zeros(shape).fill_diagonal_(2, wrap)
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_complex_numbers_as_pairs() -> None:
    z = trine.tensor([1 + 2j, 3j])
    trine.view_as_real(z)[0, 1] = 9
    assert z.tolist() == [1 + 9j, 3j]
    pairs = trine.zeros(2, 2)
    trine.view_as_complex(pairs)[1] = 5 + 1j
    assert pairs.tolist() == [[0, 0], [5, 1]]
