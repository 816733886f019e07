"""Older constructors, switches, lists of tensors and processes, against PyTorch's."""

from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import assert_close, randn, torch
from trine import multiprocessing

TYPES = "FloatTensor DoubleTensor HalfTensor BFloat16Tensor ByteTensor CharTensor ShortTensor IntTensor LongTensor BoolTensor".split()


@pytest.mark.parametrize("name", TYPES)
def test_tensor_types(name: str) -> None:
    ours, theirs = getattr(trine, name), getattr(torch, name)
    for args in ((), (2, 3), (0,), ([1, 0],), ([[1], [0]],), ((1, 1),)):
        found, expected = ours(*args), theirs(*args)
        assert tuple(found.shape) == tuple(expected.shape) and found.dtype.name == str(expected.dtype).removeprefix("torch.")
        if args and isinstance(args[0], (list, tuple)):
            assert found.tolist() == expected.tolist()
    assert ours(trine.Size([2, 1])).shape == (2, 1)
    x = ours([1, 0])
    assert isinstance(x, ours) and not isinstance(x.to(trine.complex64), ours) and not isinstance(1, ours)
    assert x.type(trine.LongTensor).dtype is trine.int64 and x.type(f"torch.{name}").dtype is ours.dtype
    other = trine.LongTensor if name != "LongTensor" else trine.FloatTensor
    for call in (lambda: other(x), lambda: ours(1, [2])):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(NotImplementedError, match="GPU"):
        getattr(trine.cuda, name)(2)
    assert not isinstance(x, getattr(trine.cuda, name))


def test_the_tensor_class_as_a_constructor() -> None:
    for args in ((2, 3), (4,), ([1, 2],), ()):
        assert trine.Tensor(*args).shape == tuple(torch.Tensor(*args).shape)
    assert trine.Tensor([1, 2]).tolist() == [1.0, 2.0] and trine.Tensor(np.array([1, 2])).dtype is trine.float32
    with pytest.raises(ValueError):
        trine.Tensor(-1)
    trine.set_default_tensor_type(trine.DoubleTensor)
    assert trine.Tensor(2).dtype is trine.float64 is trine.tensor(1.0).dtype
    trine.set_default_tensor_type("torch.FloatTensor")
    assert trine.Tensor(2).dtype is trine.float32


def test_switches() -> None:
    trine.set_float32_matmul_precision("high")
    assert trine.get_float32_matmul_precision() == "high"
    trine.set_float32_matmul_precision("highest")
    trine.use_deterministic_algorithms(True, warn_only=True)
    assert trine.are_deterministic_algorithms_enabled() and trine.is_deterministic_algorithms_warn_only_enabled()
    trine.set_deterministic_debug_mode("error")
    assert trine.get_deterministic_debug_mode() == 2 and not trine.is_deterministic_algorithms_warn_only_enabled()
    trine.use_deterministic_algorithms(False)
    assert not trine.are_deterministic_algorithms_enabled()
    trine.set_default_device("cpu")
    assert trine.get_default_device().type == "cpu" and trine.set_flush_denormal(True) is False
    trine.set_warn_always(False)
    trine.set_num_interop_threads(1)
    assert trine.get_num_interop_threads() == 1 and not trine.is_warn_always_enabled()
    for call in (
        lambda: trine.set_float32_matmul_precision("low"),
        lambda: trine.set_deterministic_debug_mode(5),
        lambda: trine.set_num_interop_threads(0),
        lambda: trine.set_default_device("cuda"),
    ):
        with pytest.raises((ValueError, RuntimeError)):
            call()
    assert trine.version.cuda is None and trine.version.__version__ == trine.__version__


FOREACH: list[tuple[str, tuple[Any, ...]]] = [
    ("add", (2.0,)),
    ("add", ([1.0, 2.0],)),
    ("mul", ("list",)),
    ("div", ("list",)),
    ("sub", ("list",)),
    ("pow", (2.0,)),
    ("maximum", ("list",)),
    ("clamp_min", (0.1,)),
    ("addcdiv", ("list", "list")),
    ("addcmul", ("list", "list")),
    ("lerp", ("list", 0.3)),
    ("neg", ()),
    ("abs", ()),
    ("exp", ()),
    ("sigmoid", ()),
]


@pytest.mark.parametrize("name,args", FOREACH)
def test_functions_of_lists(name: str, args: tuple[Any, ...]) -> None:
    arrays = [[np.abs(randn(2, 3)) + 0.5, np.abs(randn(4)) + 0.5] for _ in range(1 + len(args))]
    results = []
    for lib in (trine, torch):
        lists = [[lib.tensor(a) for a in row] for row in arrays]
        others = [lists[i + 1] if a == "list" else a for i, a in enumerate(args)]
        results.append((getattr(lib, f"_foreach_{name}")(lists[0], *others), lists[0]))
        assert getattr(lib, f"_foreach_{name}_")(lists[0], *others) is None or lib is torch
    for mine, other in zip(results[0][0] + results[0][1], list(results[1][0]) + results[1][1], strict=True):
        assert_close(mine, other)


def test_more_functions_of_lists() -> None:
    tensors = [trine.tensor([3.0, 4.0]), trine.tensor([[2.0]])]
    assert [n.item() for n in trine._foreach_norm(tensors)] == [5.0, 2.0]
    trine._foreach_copy_(tensors, [trine.ones(2), trine.ones(1, 1)])
    assert tensors[0].tolist() == [1.0, 1.0]
    trine._foreach_zero_(tensors)
    assert tensors[1].tolist() == [[0.0]]
    with pytest.raises(ValueError, match="lengths"):
        trine._foreach_add(tensors, [1.0])
    with pytest.raises(AttributeError):
        _ = trine._foreach_nothing


def test_processes_of_one_function() -> None:
    assert multiprocessing.spawn(operator.add, args=(1,), nprocs=2) is None
    with pytest.raises(multiprocessing.ProcessRaisedException, match="ZeroDivisionError") as raised:
        multiprocessing.spawn(operator.truediv, args=(0,))
    assert raised.value.error_index == 0
    started = multiprocessing.start_processes(os._exit, nprocs=2, join=False)
    assert len(started.pids()) == 2
    with pytest.raises(multiprocessing.ProcessExitedException, match="exit code 1") as ended:
        while not started.join():
            pass
    assert ended.value.exit_code == 1 and ended.value.error_index == 1
    multiprocessing.set_sharing_strategy("file_system")
    assert multiprocessing.get_sharing_strategy() in multiprocessing.get_all_sharing_strategies()
    with pytest.raises(ValueError):
        multiprocessing.set_sharing_strategy("memory")
    assert multiprocessing.get_context("spawn") is not None and multiprocessing.cpu_count() >= 1


def test_trees() -> None:
    from collections import OrderedDict, defaultdict, deque, namedtuple

    from torch.utils import _pytree as theirs

    from trine.utils import _pytree as ours

    point = namedtuple("point", "x y")
    tree = {"b": [1, (2, None)], "a": point(3, OrderedDict(z=4)), "c": defaultdict(list, k=5), "d": deque([6], 3), "e": "text"}
    leaves, spec = ours.tree_flatten(tree)
    assert leaves == theirs.tree_flatten(tree)[0] == ours.tree_leaves(tree) and spec.num_leaves == len(leaves)
    assert ours.tree_unflatten(leaves, spec) == tree and ours.tree_structure(tree) == spec and not spec.is_leaf()
    assert ours.tree_map(lambda x: (x, x), [1, 2]) == [(1, 1), (2, 2)] == theirs.tree_map(lambda x: (x, x), [1, 2])
    assert ours.tree_map(operator.add, [1, [2]], [3, [4]]) == [4, [6]]
    assert ours.tree_map_only(int, lambda x: x + 1, tree) == theirs.tree_map_only(int, lambda x: x + 1, tree)
    assert ours.tree_flatten([1, (2, 3)], is_leaf=lambda x: isinstance(x, tuple))[0] == [1, (2, 3)]
    assert ours.tree_all(bool, [1, [2]]) and not ours.tree_any(bool, [0, [0]])
    for leaves in ([1], [1, 2, 3]):
        with pytest.raises(ValueError, match="leaves"):
            ours.tree_unflatten(leaves, ours.tree_structure([0, 0]))


def test_modules_for_quantization() -> None:
    ours, theirs = trine.nn.quantized.FloatFunctional(), torch.nn.quantized.FloatFunctional()
    a, b = randn(2, 2), randn(2, 2)
    for name in ("add", "mul", "add_relu", "matmul"):
        assert_close(getattr(ours, name)(trine.tensor(a), trine.tensor(b)), getattr(theirs, name)(torch.tensor(a), torch.tensor(b)))
    assert_close(ours.cat([trine.tensor(a), trine.tensor(b)], dim=1), theirs.cat([torch.tensor(a), torch.tensor(b)], dim=1))
    assert_close(
        ours.mul_scalar(ours.add_scalar(trine.tensor(a), 1.0), 2.0), theirs.mul_scalar(theirs.add_scalar(torch.tensor(a), 1.0), 2.0)
    )
    assert repr(ours) == repr(theirs)
    with pytest.raises(RuntimeError, match="forward"):
        ours(trine.ones(1))


def test_stateless_call() -> None:
    layer = trine.nn.Linear(2, 1)
    weights = {"weight": trine.ones(1, 2), "bias": trine.zeros(1)}
    found = trine.nn.utils.stateless.functional_call(layer, weights, (trine.tensor([[1.0, 2.0]]),))
    assert found.tolist() == [[3.0]] and layer.weight is not weights["weight"]
    assert trine.func.functional_call is trine.nn.utils.stateless.functional_call
