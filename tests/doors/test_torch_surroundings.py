"""What programs use around their models: backends, jit, fx, hub, process groups, parallel wrappers, test helpers."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import randn, torch
from trine import distributed as dist
from trine import nn

# --- backends -----------------------------------------------------------------------------------------------------------------------------


def test_switches_are_kept() -> None:
    cudnn = importlib.import_module("trine.backends.cudnn")
    before = cudnn.deterministic
    trine.backends.cudnn.deterministic = True
    assert cudnn.deterministic is True
    with cudnn.flags(enabled=False, deterministic=False, benchmark=True):
        assert (cudnn.enabled, cudnn.deterministic, cudnn.benchmark) == (False, False, True)
    assert (cudnn.enabled, cudnn.deterministic, cudnn.benchmark) == (True, True, False)
    cudnn.deterministic = before
    trine.backends.cuda.matmul.allow_tf32 = True
    with trine.backends.cuda.sdp_kernel(enable_flash=False):
        assert not trine.backends.cuda.flash_sdp_enabled() and trine.backends.cuda.math_sdp_enabled()
    assert trine.backends.cuda.flash_sdp_enabled()
    with trine.backends.mkldnn.flags(enabled=False):
        assert trine.backends.mkldnn.enabled is False


@pytest.mark.parametrize("name", ["cudnn", "mps", "mkldnn", "mkl", "openmp", "opt_einsum"])
def test_libraries_that_are_not_there(name: str) -> None:
    assert getattr(trine.backends, name).is_available() is False
    assert hasattr(getattr(torch.backends, name), "is_available")


def test_names_exist_in_pytorch() -> None:
    for name in ("backends.cudnn", "backends.cuda", "backends.mps", "jit", "fx", "hub", "testing", "distributed", "nn.parallel"):
        ours, theirs = importlib.import_module(f"trine.{name}"), importlib.import_module(f"torch.{name}")
        missing = [n for n in ours.__all__ if not hasattr(theirs, n) and n != "Final"]
        assert not missing, (name, missing)


# --- jit, fx, hub, checks -----------------------------------------------------------------------------------------------------------------


def test_scripts_are_the_functions_themselves() -> None:
    class Net(nn.Module):
        scale: trine.jit.Final[int] = 2

        @trine.jit.ignore
        def helper(self) -> int:
            return 1

        @trine.jit.unused
        def other(self) -> int:
            return 2

        @trine.jit.export
        def exported(self, x: Any) -> Any:
            return x

        def forward(self, x: Any) -> Any:
            return x * self.scale if trine.jit.is_scripting() else x + self.helper()

    net = Net()
    assert trine.jit.script(net) is net and trine.jit.trace(net, trine.ones(2)) is net
    assert trine.jit.freeze(trine.jit.optimize_for_inference(net.eval()))(trine.zeros(1)).tolist() == [1.0]
    assert trine.jit.ignore(drop=True)(abs) is abs
    with pytest.raises(ZeroDivisionError):
        trine.jit.trace(lambda x: 1 / 0, trine.ones(1))
    assert trine.jit.isinstance([1], list[int]) and trine.jit.annotate(list[int], []) == []
    for call in (lambda: trine.jit.save(net, "x"), lambda: trine.jit.load("x"), lambda: trine.fx.symbolic_trace(net)):
        with pytest.raises(NotImplementedError):
            call()
    assert trine.fx.wrap("len") == "len" and not isinstance(trine.ones(1), trine.fx.Proxy)


def test_what_the_compiler_is_asked() -> None:
    compiler = trine.compiler
    assert not (compiler.is_compiling() or compiler.is_exporting() or compiler.is_dynamo_compiling())
    assert compiler.disable(len) is len and compiler.disable(recursive=False)(len) is len and compiler.allow_in_graph(len) is len
    assert compiler.reset() is None and compiler.assume_constant_result(len) is len
    for name in ("is_compiling", "disable", "reset", "allow_in_graph", "assume_constant_result", "cudagraph_mark_step_begin"):
        assert callable(getattr(compiler, name)) and callable(getattr(torch.compiler, name))


def test_hub_uses_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hubconf.py").write_text("def model(n, flip=False):\n    'A model.'\n    return [n, flip]\n\n_hidden = len\n")
    assert trine.hub.load(str(tmp_path), "model", 3, source="local", flip=True, trust_repo=True) == [3, True]
    assert (
        trine.hub.list(str(tmp_path), source="local") == ["model"] and trine.hub.help(str(tmp_path), "model", source="local") == "A model."
    )
    with pytest.raises(RuntimeError, match="no such callable"):
        trine.hub.load(str(tmp_path), "none", source="local")
    with pytest.raises(NotImplementedError, match="nothing is downloaded"):
        trine.hub.load("pytorch/vision", "resnet18")
    monkeypatch.setattr(trine.hub, "_directory", None)
    trine.hub.set_dir(tmp_path)
    url = "https://example.org/weights-0123abcd.safetensors"
    with pytest.raises(NotImplementedError, match="checkpoints"):
        trine.hub.load_state_dict_from_url(url)
    (tmp_path / "checkpoints").mkdir()
    trine.save({"w": trine.ones(2)}, str(tmp_path / "checkpoints" / "weights-0123abcd.safetensors"))
    assert trine.hub.load_state_dict_from_url(url)["w"].tolist() == [1.0, 1.0]


def test_checks() -> None:
    trine._assert(trine.tensor(True), "fine")
    trine._check(True)
    for check, error in (("", RuntimeError), ("_value", ValueError), ("_index", IndexError), ("_type", TypeError)):
        with pytest.raises(error, match="because"):
            getattr(trine, f"_check{check}")(False, lambda: "because")
    with pytest.raises(AssertionError, match="wrong"):
        trine._assert(trine.tensor(1) > 2, "wrong")
    with pytest.raises(RuntimeError):
        trine._check_is_size(-1)


# --- process groups -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> Any:
    dist.init_process_group("gloo", rank=0, world_size=1)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def test_group_of_one(world: None) -> None:
    assert dist.is_available() and dist.is_initialized() and (dist.get_rank(), dist.get_world_size()) == (0, 1)
    assert dist.get_backend() == "gloo" == dist.Backend("GLOO") and dist.get_process_group_ranks(None) == [0]
    with pytest.raises(ValueError, match="twice"):
        dist.init_process_group("gloo", rank=0, world_size=1)
    side = dist.new_group([0])
    assert dist.get_world_size(side) == 1 and dist.new_group([]) == dist.GroupMember.NON_GROUP_MEMBER
    x, y = trine.tensor([1.0, 2.0]), trine.zeros(2)
    assert dist.all_reduce(x, op=dist.ReduceOp.AVG, async_op=True).wait() and dist.barrier(group=side) is None
    dist.broadcast(x, src=0)
    assert x.tolist() == [1.0, 2.0]
    for call in (
        lambda: dist.all_gather([y], x),
        lambda: dist.all_gather_into_tensor(y, x),
        lambda: dist.gather(x, [y]),
        lambda: dist.scatter(y, [x]),
        lambda: dist.reduce_scatter(y, [x]),
        lambda: dist.all_to_all([y], [x]),
    ):
        y.zero_()
        call()
        assert y.tolist() == [1.0, 2.0]
    found: list[Any] = [None]
    dist.all_gather_object(found, {"a": 1})
    assert found == [{"a": 1}]
    with pytest.raises(ValueError):
        dist.all_gather([y, y], x)
    with pytest.raises(ValueError):
        dist.broadcast(x, src=1)
    with pytest.raises(NotImplementedError):
        dist.send(x, 0)


def test_no_group_and_larger_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not dist.is_initialized()
    for call in (dist.get_rank, dist.destroy_process_group, lambda: dist.all_reduce(trine.ones(1))):
        with pytest.raises(ValueError, match="not been initialized"):
            call()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(NotImplementedError, match="several processes"):
        dist.init_process_group("gloo")
    assert not dist.is_initialized()


def test_parallel_wrappers(world: None) -> None:
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, 2), find_unused_parameters=True)
    with model.no_sync():
        assert not model.require_backward_grad_sync
        model(trine.ones(4, 3)).sum().backward()
    assert model.require_backward_grad_sync and model.module.weight.grad.tolist() == [[4.0] * 3] * 2
    with pytest.raises(RuntimeError, match="not needed"):
        nn.parallel.DistributedDataParallel(nn.ReLU())
    plain = nn.DataParallel(model.module)
    assert list(plain.state_dict()) == ["module.weight", "module.bias"] and plain(trine.ones(1, 3)).shape == (1, 2)
    assert nn.parallel.gather(nn.parallel.scatter(trine.ones(2), ["cpu"]), "cpu").tolist() == [1.0, 1.0]
    dist.destroy_process_group()
    with pytest.raises(ValueError, match="not been initialized"):
        nn.parallel.DistributedDataParallel(nn.Linear(1, 1))


# --- testing ------------------------------------------------------------------------------------------------------------------------------

PAIRS: list[tuple[Any, Any, dict[str, Any]]] = [
    (1.0, 1.0 + 1e-9, {}),
    (1, 2, {}),
    (np.ones(3, np.float32), np.ones(3, np.float32) + np.float32(1e-6), {}),
    (np.ones(3, np.float32), np.ones(3, np.float32) * 1.1, {}),
    (np.ones(3, np.float32), np.ones(3, np.float64), {}),
    (np.ones(3, np.float32), np.ones(3, np.float64), {"check_dtype": False}),
    (np.ones(3), np.ones(4), {}),
    (np.ones((1, 3)), np.ones(3), {}),
    (np.arange(3), np.arange(3), {}),
    (np.arange(3), np.arange(3)[::-1].copy(), {}),
    (np.array([math.nan]), np.array([math.nan]), {}),
    (np.array([math.nan]), np.array([math.nan]), {"equal_nan": True}),
    (np.array([math.inf, 1.0]), np.array([math.inf, 1.0]), {}),
    (np.array([True]), np.array([False]), {}),
    (np.ones(2), np.ones(2) + 0.05, {"rtol": 0.0, "atol": 0.1}),
    ([np.ones(2), 3], [np.ones(2), 3], {}),
    ([np.ones(2)], [np.ones(2), 3], {}),
    ({"a": np.ones(2)}, {"a": np.zeros(2)}, {}),
    ({"a": 1}, {"b": 1}, {}),
    (np.array([1 + 2j]), np.array([1 + 2j]), {}),
]


@pytest.mark.parametrize("actual,expected,options", PAIRS)
def test_assert_close(actual: Any, expected: Any, options: dict[str, Any]) -> None:
    outcomes = []
    for lib, tensor in ((torch, torch.tensor), (trine, trine.tensor)):

        def convert(value: Any, tensor: Any = tensor) -> Any:
            if isinstance(value, np.ndarray):
                return tensor(value)
            if isinstance(value, list):
                return [convert(v) for v in value]
            return {k: convert(v) for k, v in value.items()} if isinstance(value, dict) else value

        try:
            lib.testing.assert_close(convert(actual), convert(expected), **options)
            outcomes.append("")
        except AssertionError as error:
            outcomes.append(str(error).split("\n")[0].split(":")[0])
    assert bool(outcomes[0]) == bool(outcomes[1]), outcomes
    assert outcomes[0].split()[:3] == outcomes[1].split()[:3]


def test_assert_close_arguments() -> None:
    with pytest.raises(ValueError, match="both or none"):
        trine.testing.assert_close(1, 1, rtol=0.1)
    with pytest.raises(TypeError):
        trine.testing.assert_close(trine.ones(1), "1")
    with pytest.raises(AssertionError, match="mine: Tensor-likes"):
        trine.testing.assert_close(trine.ones(1), trine.zeros(1), msg=lambda text: f"mine: {text}")
    with pytest.warns(FutureWarning):
        trine.testing.assert_allclose(trine.ones(1), np.ones(1))


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool", "complex64"])
def test_make_tensor(name: str) -> None:
    dtype = getattr(trine, name)
    made = trine.testing.make_tensor(3, 4, dtype=dtype, exclude_zero=name != "bool")
    assert made.shape == (3, 4) and made.dtype is dtype
    assert trine.testing.make_tensor((5,), dtype=trine.float32, low=2, high=3, noncontiguous=True, requires_grad=True).is_leaf
    with pytest.raises(ValueError):
        trine.testing.make_tensor(2, dtype=trine.float32, low=3, high=3)
    assert randn(1).shape == (1,)
