"""What PyTorch's databases do not ask: modes, NumPy operands, index expressions, memory, kinds of errors."""

from __future__ import annotations

import copy
import os
import pickle

import numpy as np
import pytest
import torch

import trine

BOTH = (trine, torch)

# PyTorch's own: older index expressions, storages of elements, NumPy's way of calling __array_wrap__
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def outcome(function, module):
    """Return what a program gives: a comparable value, or the builtin kind of its exception."""
    try:
        found = function(module)
    except Exception as error:  # whatever PyTorch raises is the question here
        return next(c for c in type(error).__mro__ if c.__module__ == "builtins"), type(error)
    return repr(found).replace("torch", "trine")


def check(function):
    ours, theirs = outcome(function, trine), outcome(function, torch)
    if isinstance(theirs, tuple):
        assert isinstance(ours, tuple) and issubclass(ours[1], theirs[0]), (ours, theirs)
    else:
        assert ours == theirs


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode", "enable_grad"])
def test_generators_are_decorated(mode):
    for module in BOTH:
        seen = []

        @getattr(module, mode)()
        def numbers(module=module, seen=seen):
            seen.append(module.is_grad_enabled())
            try:
                seen.append((yield 1))
                seen.append(module.is_grad_enabled())
            except ValueError:
                yield 7
            return 3

        running = numbers()
        assert next(running) == 1 and module.is_grad_enabled()
        with pytest.raises(StopIteration) as end:
            running.send("sent")
        assert end.value.value == 3 and seen == [mode == "enable_grad", "sent", mode == "enable_grad"]
        running = numbers()
        next(running)
        assert running.throw(ValueError()) == 7
        running.close()
        assert module.is_grad_enabled()


def test_inference_mode_is_not_no_grad():
    for module in BOTH:
        with module.no_grad():
            assert not module.is_inference_mode_enabled()
        with module.inference_mode():
            assert module.is_inference_mode_enabled() and not module.is_grad_enabled()
            with module.inference_mode(False):
                assert not module.is_inference_mode_enabled() and module.is_grad_enabled()
        assert not module.is_inference_mode_enabled()
        with module.autograd.set_detect_anomaly(True):
            assert module.is_anomaly_enabled() and module.is_anomaly_check_nan_enabled()
        assert not module.is_anomaly_enabled()


ARRAY = np.arange(3.0)

NUMPY = {
    "left": lambda m: m.ones(3) + ARRAY,
    "equal": lambda m: m.arange(3) == ARRAY,
    "matmul": lambda m: m.ones(3, dtype=m.float64) @ ARRAY,
    "ufunc": lambda m: np.sin(m.ones(3)),
    "two": lambda m: np.add(m.ones(3), 1),
    "bfloat16": lambda m: m.ones(2, dtype=m.bfloat16).numpy(),
    "scalars": lambda m: m.tensor([np.float64(1.5), np.float64(2)]),
    "int32 scalars": lambda m: m.tensor([[np.int32(1)]]),
    "axis": lambda m: m.ones(2, 3).sum(np.int64(0)),
    "bool minus": lambda m: 1 - m.tensor([True]),
    "bool minus tensor": lambda m: m.tensor([True]) - m.tensor([1.0]),
    "too large": lambda m: m.tensor([300], dtype=m.uint8),
    "too small": lambda m: m.tensor([-129], dtype=m.int8),
    "wraps": lambda m: m.tensor([-1], dtype=m.uint8),
    "truth": lambda m: bool(m.ones(2)),
    "integers to a negative power": lambda m: m.tensor([2]) ** -1,
    "data of integers": lambda m: setattr(m.ones(2, requires_grad=True), "data", m.tensor([1, 2])),
    "cuda": lambda m: m.ones(1).cuda(),
    "device": lambda m: m.zeros(1, device="cuda:0"),
    "named device": lambda m: (m.device("cuda", 1), m.device("mps").type),
    "no such device": lambda m: m.device("toaster"),
}


@pytest.mark.parametrize("name", NUMPY)
def test_numbers_and_errors(name):
    check(NUMPY[name])


INDICES = {
    "nested list": lambda m: [[0, 1], [1, 0]],
    "list of slices": lambda m: [slice(0, 1), 0],
    "position and list": lambda m: (m.tensor(0), slice(None), [0, 1]),
    "positions": lambda m: (m.tensor(0), slice(None), m.tensor(1)),
    "position, new axis, mask": lambda m: (m.tensor(1), None, m.tensor([True, False, True])),
    "position and True": lambda m: (m.tensor(1), slice(None), True),
    "do not broadcast": lambda m: (m.tensor([0, 1]), m.tensor([0, 1, 2])),
}


@pytest.mark.parametrize("name", INDICES)
def test_index_expressions(name):
    check(lambda m: m.arange(24).reshape(2, 3, 4)[INDICES[name](m)])

    def write(m):
        x = m.zeros(2, 3, 4)
        x[INDICES[name](m)] = 1
        return x

    check(write)


def test_bfloat16_elements_are_numbers():
    values = [3.0, -1.0, -0.0, 3.0]
    for function in (
        lambda m, x: m.nonzero(x),
        lambda m, x: m.unique(x, return_counts=True),
        lambda m, x: m.unique_consecutive(x),
        lambda m, x: m.nonzero_static(x, size=2),
    ):
        check(lambda m, function=function: function(m, m.tensor(values, dtype=m.bfloat16)))


def test_views_lie_in_the_memory_of_their_base():
    for module in BOTH:
        x = module.arange(12.0).reshape(3, 4) + 0
        assert x.t().data_ptr() == x.data_ptr() and x[1, 2:].data_ptr() == x.data_ptr() + 24
        assert x[1].untyped_storage().data_ptr() == x.data_ptr() and x[1].untyped_storage().nbytes() == 48
        assert x[1].storage().tolist() == list(range(12)) and x.is_set_to(x) and not x.is_set_to(x[:1])
        y = module.zeros(3)
        y.set_(x)
        y[0, 0] = 7
        assert x[0, 0] == 7 and y.shape == (3, 4)
        assert (x.is_cpu, x.is_cuda, x.is_meta, x.is_pinned(), x.is_shared()) == (True, False, False, False, False)


def test_hooks_after_accumulation():
    for module in BOTH:
        weight = module.ones(2, requires_grad=True)
        seen = []
        handle = weight.register_post_accumulate_grad_hook(lambda w, seen=seen: seen.append(w.grad.tolist()))
        for _ in range(3):
            (weight * 2).sum().backward()
        ((weight * 3).sum() + (weight * weight).sum()).backward(inputs=[weight])
        handle.remove()
        (weight * 2).sum().backward()
        assert seen == [[2, 2], [4, 4], [6, 6], [11, 11]]
        with pytest.raises(RuntimeError):
            (weight * 2).register_post_accumulate_grad_hook(print)


def test_hook_after_accumulation_around_a_pass_inside():
    for module in BOTH:
        first, second, third = (module.ones(2, requires_grad=True) for _ in range(3))
        seen = []
        first.register_post_accumulate_grad_hook(lambda _, seen=seen: seen.append("first"))
        second.register_post_accumulate_grad_hook(lambda _, seen=seen: seen.append("second"))

        def inside(_, module=module, second=second):
            with module.enable_grad():
                (second * 3).sum().backward()

        middle = third * 2
        middle.register_hook(inside)
        ((first * 5).sum() + (middle * middle).sum()).backward()
        assert sorted(seen) == ["first", "second"]


def test_optimizer_in_the_backward_pass():
    results = []
    for module in BOTH:
        weight = module.nn.Parameter(module.tensor([1.0, 2.0]))
        optimizer = module.optim.SGD([weight], lr=0.1, momentum=0.9)

        def step(_, optimizer=optimizer):
            optimizer.step()
            optimizer.zero_grad()

        weight.register_post_accumulate_grad_hook(step)
        for _ in range(4):
            (weight**2).sum().backward()
        assert weight.grad is None
        results.append(weight.tolist())
    assert results[0] == pytest.approx(results[1])


def test_forked_processes_share_memory():
    x = trine.zeros(3).share_memory_()
    layer = trine.nn.Linear(2, 2)
    assert layer.share_memory() is layer and layer.weight.is_shared()
    child = os.fork()
    if child == 0:
        x[1] = 5
        with trine.no_grad():
            layer.weight.fill_(7)
        trine.synchronize()
        os._exit(0)
    os.waitpid(child, 0)
    assert x.tolist() == [0, 5, 0] and layer.weight.tolist() == [[7, 7], [7, 7]]


class Named(trine.Tensor):
    pass


def test_copies_keep_attributes():
    x = trine.ones(2, requires_grad=True)
    x.tag = 5
    for made in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert made.tag == 5 and made.requires_grad and made.tolist() == [1, 1] and made is not x
    shared, alone = copy.copy(x), copy.deepcopy(x)
    with trine.no_grad():
        x[0] = 3
    assert shared.tolist() == [3, 1] and alone.tolist() == [1, 1]
    assert type(trine.ones(2).as_subclass(Named)) is Named
