"""Random programs of views and in-place writes, compared with PyTorch after every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trine

torch = pytest.importorskip("torch")

Pair = tuple[Any, Any]
Step = Callable[[Any], Any]

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def draw_slice(draw: Callable[..., Any], size: int) -> slice:
    start = draw(st.integers(0, size))
    return slice(start, draw(st.integers(start, size)), draw(st.integers(1, 2)))


def draw_view(draw: Callable[..., Any], theirs: Any) -> Step:
    """Return a function that makes a view, the same for both libraries."""
    shape = tuple(theirs.shape)
    rank = len(shape)
    kinds = ["unsqueeze", "view_as_self", "detach"]
    if rank:
        kinds += ["slice", "select", "narrow", "ellipsis"]
    if theirs.is_contiguous():
        kinds.append("flatten")
    if rank >= 2:
        kinds += ["transpose", "permute", "T"]
    if any(s == 1 for s in shape):
        kinds += ["expand", "squeeze"]
    kind = draw(st.sampled_from(kinds))
    if kind == "unsqueeze":
        axis = draw(st.integers(-rank - 1, rank))
        return lambda x: x.unsqueeze(axis)
    if kind == "detach":
        return lambda x: x.detach()
    if kind == "view_as_self":
        return lambda x: x.view(x.shape)
    if kind == "slice":
        index = tuple(draw_slice(draw, s) for s in shape[: draw(st.integers(1, rank))])
        return lambda x: x[index]
    if kind == "ellipsis":
        last = draw_slice(draw, shape[-1])
        return lambda x: x[..., None, last]
    axis = draw(st.integers(0, rank - 1)) if rank else 0
    if kind == "select":
        if not shape[axis]:
            return lambda x: x.unsqueeze(0)
        position = draw(st.integers(-shape[axis], shape[axis] - 1))
        return lambda x: x.select(axis, position)
    if kind == "narrow":
        start = draw(st.integers(0, shape[axis]))
        length = draw(st.integers(0, shape[axis] - start))
        return lambda x: x.narrow(axis, start, length)
    if kind == "flatten":
        return lambda x: x.view(-1)
    if kind == "transpose":
        other = draw(st.integers(0, rank - 1))
        return lambda x: x.transpose(axis, other)
    if kind == "T":
        return lambda x: x.transpose(-1, -2)
    if kind == "permute":
        axes = tuple(draw(st.permutations(range(rank))))
        return lambda x: x.permute(*axes)
    if kind == "squeeze":
        return lambda x: x.squeeze()
    sizes = tuple(draw(st.integers(1, 3)) if s == 1 else s for s in shape)
    return lambda x: x.expand(*sizes)


def draw_write(draw: Callable[..., Any], shape: tuple[int, ...]) -> Step:
    """Return a function that writes in place."""
    number = float(draw(st.integers(-3, 3)))
    kinds = ["add_", "mul_", "zero_", "fill_", "copy_", "iadd", "imul", "masked_fill_"]
    if shape and shape[0]:
        kinds += ["set_item", "set_slice", "set_row", "add_row", "set_mask", "set_index", "out"]
    kind = draw(st.sampled_from(kinds))
    if kind in ("add_", "mul_", "fill_"):
        return lambda x: getattr(x, kind)(number)
    if kind == "zero_":
        return lambda x: x.zero_()
    if kind == "copy_":
        values = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape) + number
        return lambda x: x.copy_(module(x).tensor(values))
    if kind == "iadd":
        return lambda x: x.__iadd__(x * 2)
    if kind == "imul":
        return lambda x: x.__imul__(number)
    if kind == "masked_fill_":
        return lambda x: x.masked_fill_(x > 2, number)
    position = draw(st.integers(-shape[0], shape[0] - 1)) if shape and shape[0] else 0
    if kind == "set_item":
        return lambda x: x.__setitem__(position, number)
    if kind == "set_slice":
        where = draw_slice(draw, shape[0])
        return lambda x: x.__setitem__(where, number)
    if kind == "set_row":
        return lambda x: x.__setitem__(position, x[0] * 2 + 1)
    if kind == "add_row":

        def add_row(x: Any) -> None:
            x[position] += number

        return add_row
    if kind == "set_mask":
        return lambda x: x.__setitem__(x > 1, number)
    if kind == "set_index":
        return lambda x: x.__setitem__(module(x).tensor([position]), number)
    return lambda x: module(x).add(x, number, out=x)


def module(x: Any) -> Any:
    return torch if isinstance(x, torch.Tensor) else trine


def apply(step: Step, pair: Pair) -> tuple[Any, Any, bool]:
    """Apply a step to both; both raise, or neither does."""
    ours, theirs = None, None
    try:
        theirs = step(pair[1])
    except RuntimeError:
        with pytest.raises(trine.TrineError):
            ours = step(pair[0])
        return None, None, False
    ours = step(pair[0])
    return ours, theirs, True


def write(draw: Callable[..., Any], pair: Pair) -> None:
    """Write to both (not to expanded tensors: PyTorch allows some of these writes, with a warning)."""
    theirs = pair[1]
    if all(stride or size <= 1 for stride, size in zip(theirs.stride(), theirs.shape, strict=True)):
        apply(draw_write(draw, tuple(theirs.shape)), pair)


def same(handles: list[Pair]) -> None:
    for ours, theirs in handles:
        assert tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())


@SETTINGS
@given(st.data())
def test_views_and_writes(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(3,), (2, 3), (3, 1), (2, 1, 3), (1,), ()]))
    values = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    handles: list[Pair] = [(trine.tensor(values), torch.tensor(values))]
    pending = data.draw(st.booleans())
    if pending:
        handles = [(handles[0][0] * 1, handles[0][1] * 1)]
    look = data.draw(st.sampled_from(["always", "never", "sometimes"]))
    for number in range(data.draw(st.integers(2, 9))):
        pair = data.draw(st.sampled_from(handles))
        if data.draw(st.booleans()):
            ours, theirs, done = apply(draw_view(data.draw, pair[1]), pair)
            if done:
                handles.append((ours, theirs))
        else:
            write(data.draw, pair)
        if look == "always" or (look == "sometimes" and number % 3 == 1):
            same(handles)
        if len(handles) > 3 and data.draw(st.booleans()):
            handles.pop(data.draw(st.integers(0, len(handles) - 1)))
    same(handles)


@SETTINGS
@given(st.data())
def test_gradients_through_views_and_writes(data: st.DataObject) -> None:
    """y is computed from a leaf, then views of it are written; the gradients of what is left are PyTorch's."""
    shape = data.draw(st.sampled_from([(3,), (2, 3), (2, 1, 3)]))
    values = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape) / 4 - 1
    leaves = trine.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    handles: list[Pair] = [(leaves[0] * 2, leaves[1] * 2)]
    look = data.draw(st.booleans())
    for _ in range(data.draw(st.integers(1, 6))):
        pair = data.draw(st.sampled_from(handles))
        if data.draw(st.booleans()):
            ours, theirs, done = apply(draw_view(data.draw, pair[1]), pair)
            if done and theirs.requires_grad:
                handles.append((ours, theirs))
        else:
            write(data.draw, pair)
        if look:
            same(handles)
    ours, theirs = data.draw(st.sampled_from(handles))
    assert ours.requires_grad == theirs.requires_grad
    if not theirs.requires_grad:
        return
    try:
        (theirs * theirs).sum().backward()
    except RuntimeError:
        with pytest.raises(trine.TrineError):
            (ours * ours).sum().backward()
        return
    (ours * ours).sum().backward()
    np.testing.assert_allclose(leaves[0].grad.numpy(), leaves[1].grad.numpy(), rtol=1e-5, atol=1e-6)


@SETTINGS
@given(st.data())
def test_arrays_share_memory_with_views(data: st.DataObject) -> None:
    """The same with memory that NumPy owns: every write is seen in the array at once, and a write to the array in every handle."""
    shape = data.draw(st.sampled_from([(3,), (2, 3), (3, 1)]))
    values = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    arrays = values.copy(), values.copy()
    handles: list[Pair] = [(trine.from_numpy(arrays[0]), torch.from_numpy(arrays[1]))]
    for _ in range(data.draw(st.integers(2, 8))):
        pair = data.draw(st.sampled_from(handles))
        action = data.draw(st.sampled_from(["view", "write", "array"]))
        if action == "view":
            ours, theirs, done = apply(draw_view(data.draw, pair[1]), pair)
            if done:
                handles.append((ours, theirs))
        elif action == "write":
            write(data.draw, pair)
        else:
            position = data.draw(st.integers(0, shape[0] - 1))
            for array in arrays:
                array[position] = 7.5
        np.testing.assert_array_equal(arrays[0], arrays[1])
        same(handles)


def test_a_base_written_through_a_view_is_computed_with_the_recording() -> None:
    for lib in (trine, torch):
        x, y = lib.arange(12.0).reshape(3, 4), lib.ones(2, 2)
        part = x.clone()
        part[1:, ::2] = y
        assert (x * 2).tolist()[0] == [0.0, 2.0, 4.0, 6.0]
        assert part.tolist() == [[0.0, 1.0, 2.0, 3.0], [1.0, 5.0, 1.0, 7.0], [1.0, 9.0, 1.0, 11.0]]
