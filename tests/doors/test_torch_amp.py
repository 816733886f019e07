"""Autocast and gradient scaling against PyTorch's."""

from __future__ import annotations

import doctest
import importlib
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import torch

RNG = np.random.default_rng(5)


def array(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


# name -> (function of the library and operands, operands); dtypes of results are compared
OPS: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "mm": (lambda t, a, b: t.mm(a, b), [array(3, 4), array(4, 5)]),
    "matmul": (lambda t, a, b: a @ b, [array(3, 4), array(4, 5)]),
    "bmm": (lambda t, a, b: t.bmm(a, b), [array(2, 3, 4), array(2, 4, 5)]),
    "mv": (lambda t, a, b: t.mv(a, b), [array(3, 4), array(4)]),
    "dot": (lambda t, a, b: t.dot(a, b), [array(4), array(4)]),
    "einsum": (lambda t, a, b: t.einsum("ij,jk->ik", a, b), [array(3, 4), array(4, 5)]),
    "tensordot": (lambda t, a, b: t.tensordot(a, b, 1), [array(3, 4), array(4, 5)]),
    "vecdot": (lambda t, a, b: t.linalg.vecdot(a, b), [array(3, 4), array(3, 4)]),
    "linear": (lambda t, a, w, b: t.nn.functional.linear(a, w, b), [array(3, 4), array(5, 4), array(5)]),
    "linear no bias": (lambda t, a, w: t.nn.functional.linear(a, w), [array(3, 4), array(5, 4)]),
    "addmm": (lambda t, a, b, c: t.addmm(a, b, c), [array(5), array(3, 4), array(4, 5)]),
    "baddbmm": (lambda t, a, b, c: t.baddbmm(a, b, c), [array(2, 3, 5), array(2, 3, 4), array(2, 4, 5)]),
    "conv1d": (lambda t, a, w, b: t.nn.functional.conv1d(a, w, b), [array(2, 3, 8), array(4, 3, 3), array(4)]),
    "conv2d": (lambda t, a, w, b: t.nn.functional.conv2d(a, w, b), [array(2, 3, 6, 6), array(4, 3, 3, 3), array(4)]),
    "conv_transpose2d": (lambda t, a, w: t.nn.functional.conv_transpose2d(a, w), [array(2, 3, 6, 6), array(3, 4, 3, 3)]),
    "attention": (lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(q, k, v), [array(1, 2, 3, 4)] * 3),
    "rnn": (lambda t, x: t.nn.RNN(3, 4)(x)[0], [array(5, 2, 3)]),
    "gru": (lambda t, x: t.nn.GRU(3, 4)(x)[0], [array(5, 2, 3)]),
    "add": (lambda t, a, b: a.bfloat16() + b, [array(3), array(3)]),
    "exp": (lambda t, a: a.bfloat16().exp(), [array(3)]),
    "softmax": (lambda t, a: a.bfloat16().softmax(-1), [array(3, 3)]),
    "layer_norm": (lambda t, a, w, b: t.nn.functional.layer_norm(a.bfloat16(), (3,), w, b), [array(3, 3), array(3), array(3)]),
    "batch_norm": (lambda t, a: t.nn.BatchNorm2d(3)(a.bfloat16()), [array(2, 3, 4, 4)]),
    "group_norm": (lambda t, a: t.nn.GroupNorm(1, 3)(a.bfloat16()), [array(2, 3, 4, 4)]),
    "cat": (lambda t, a, b: t.cat([a.bfloat16(), b]), [array(3), array(3)]),
    "cat of low": (lambda t, a, b: t.cat([a.bfloat16(), b.bfloat16()]), [array(3), array(3)]),
    "stack": (lambda t, a, b: t.stack([a.bfloat16(), b]), [array(3), array(3)]),
    "avg_pool2d": (lambda t, a: t.nn.functional.avg_pool2d(a.bfloat16(), 2), [array(2, 3, 4, 4)]),
    "avg_pool3d": (lambda t, a: t.nn.functional.avg_pool3d(a.bfloat16(), 2), [array(1, 2, 4, 4, 4)]),
    "prod": (lambda t, a: a.bfloat16().prod(), [array(3)]),
    "sum": (lambda t, a: a.bfloat16().sum(), [array(3)]),
    "norm": (lambda t, a: t.linalg.norm(a.bfloat16()), [array(3)]),
    "trace": (lambda t, a: t.trace(a.bfloat16()), [array(3, 3)]),
    "cdist": (lambda t, a, b: t.cdist(a.bfloat16(), b.bfloat16()), [array(3, 2), array(4, 2)]),
    "quantile": (lambda t, a: t.quantile(a.bfloat16(), 0.5), [array(5)]),
    "inverse": (lambda t, a: t.linalg.inv(a.bfloat16()), [array(3, 3)]),
    "reflect": (lambda t, a: t.nn.functional.pad(a.bfloat16(), (1, 1), mode="reflect"), [array(1, 2, 4)]),
    "mse": (lambda t, a, b: t.nn.functional.mse_loss(a.bfloat16(), b), [array(3), array(3)]),
    "l1": (lambda t, a, b: t.nn.functional.l1_loss(a.bfloat16(), b.bfloat16()), [array(3), array(3)]),
    "nll": (lambda t, a: t.nn.functional.nll_loss(a.bfloat16(), t.tensor([1, 0, 2])), [array(3, 4)]),
    "cross_entropy": (lambda t, a: t.nn.functional.cross_entropy(a.bfloat16(), t.tensor([1, 0, 2])), [array(3, 4)]),
    "bce_with_logits": (
        lambda t, a, b: t.nn.functional.binary_cross_entropy_with_logits(a.bfloat16(), b.sigmoid()),
        [array(3), array(3)],
    ),
    "multi_margin": (lambda t, a: t.nn.functional.multi_margin_loss(a.bfloat16(), t.tensor([1, 0, 2])), [array(3, 4)]),
    "float64": (lambda t, a, b: t.mm(a.double(), b.double()), [array(3, 4), array(4, 5)]),
    "integers": (lambda t: t.ones(2, 2).long() @ t.ones(2, 2).long(), []),
}


@pytest.mark.parametrize("name", OPS)
def test_dtypes(name: str) -> None:
    function, arrays = OPS[name]
    found = []
    for library in (trine, torch):
        operands = [library.tensor(a) for a in arrays]
        with library.autocast("cpu", dtype=library.bfloat16):
            result = function(library, *operands)
        found.append(str(result.dtype).rpartition(".")[2])
        assert library.__name__ != "trine" or trine.isfinite(result.float()).all().item()
    assert found[0] == found[1]


def layers(library: Any) -> Any:
    return library.nn.Sequential(library.nn.Linear(4, 8), library.nn.ReLU(), library.nn.LayerNorm(8), library.nn.Linear(8, 2))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_training(dtype: str) -> None:
    x, y = array(16, 4), array(16, 2)
    theirs, ours = layers(torch), layers(trine)
    ours.load_state_dict({k: trine.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    losses = []
    for library, net in ((trine, ours), (torch, theirs)):
        optimizer = library.optim.Adam(net.parameters(), lr=0.05)
        scaler = library.amp.GradScaler("cpu", init_scale=256.0, growth_interval=3, enabled=dtype == "float16")
        found = []
        for _ in range(8):
            optimizer.zero_grad()
            with library.autocast(device_type="cpu", dtype=getattr(library, dtype)):
                out = net(library.tensor(x))
                loss = library.nn.functional.mse_loss(out, library.tensor(y))
            assert str(out.dtype).endswith(dtype) and str(loss.dtype).endswith("float32")
            scaler.scale(loss).backward()
            assert all(str(p.grad.dtype).endswith("float32") for p in net.parameters())
            scaler.step(optimizer)
            scaler.update()
            found.append(loss.item())
        losses.append(found)
        assert scaler.get_scale() == (256.0 * 4 if dtype == "float16" else 1.0)
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.05, atol=0.02)
    assert losses[0][-1] < 0.7 * losses[0][0]


def test_nesting_and_decorator() -> None:
    a = trine.ones(2, 2)

    @trine.autocast("cpu", dtype=trine.float16)
    def product() -> Any:
        """Doc."""
        return a @ a

    assert product().dtype is trine.float16 and product.__doc__ == "Doc." and (a @ a).dtype is trine.float32
    with trine.amp.autocast("cpu"):
        first = a @ a
        with trine.autocast("cpu", enabled=False):
            assert not trine.is_autocast_enabled("cpu") and (a @ a).dtype is trine.float32
            with pytest.raises((TypeError, RuntimeError)):
                first @ a  # noqa: B018 - dtypes differ, and nothing brings them together
        with trine.autocast("cpu", dtype=trine.float16):
            assert (first @ a).dtype is trine.float16
        assert first.sum().item() == 8.0  # a flush inside
        assert (a @ a).dtype is trine.bfloat16 and trine.is_autocast_cpu_enabled()
        for _ in range(2):
            with pytest.raises(KeyError), trine.autocast("cpu", enabled=False):
                raise KeyError
        assert (a @ a).dtype is trine.bfloat16
    assert (a @ a).dtype is trine.float32 and not trine.is_autocast_enabled("cpu")


def test_nothing_is_compiled_again() -> None:
    from trine.tensor.state import automaton

    w = trine.nn.Parameter(trine.ones(3, 3))
    optimizer = trine.optim.SGD([w], lr=0.1)
    scaler = trine.amp.GradScaler("cpu", growth_interval=1)

    def step() -> None:
        with trine.autocast("cpu"):
            loss = (trine.ones(2, 3) @ w).float().sum()
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    for _ in range(3):
        step()
    before = automaton.info()["plans_built"]
    for _ in range(4):
        step()
    assert automaton.info()["plans_built"] == before


def test_gradients_of_higher_order_and_no_grad() -> None:
    w = trine.tensor(array(3, 3), requires_grad=True)
    with trine.autocast("cpu"):
        y = (w @ w).float().pow(2).sum()
        with trine.no_grad():
            assert not (w @ w).requires_grad
    (g,) = trine.autograd.grad(y, w, create_graph=True)
    g.sum().backward()
    assert w.grad is not None and w.grad.dtype is trine.float32 and g.dtype is trine.float32


def test_state_functions() -> None:
    assert trine.get_autocast_dtype("cpu") is trine.bfloat16 is trine.get_autocast_cpu_dtype()
    assert trine.get_autocast_dtype("cuda") is trine.float16 is trine.get_autocast_gpu_dtype()
    trine.set_autocast_dtype("cpu", trine.float16)
    try:
        with trine.autocast("cpu"):
            assert (trine.ones(1, 1) @ trine.ones(1, 1)).dtype is trine.float16
    finally:
        trine.set_autocast_cpu_dtype(trine.bfloat16)
    trine.set_autocast_enabled("cpu", True)
    assert (trine.ones(1, 1) @ trine.ones(1, 1)).dtype is trine.bfloat16
    trine.set_autocast_cpu_enabled(False)
    assert trine.autocast_increment_nesting() == 1 and trine.autocast_decrement_nesting() == 0
    assert trine.is_autocast_cache_enabled()
    trine.clear_autocast_cache()


def test_without_the_device_it_is_off() -> None:
    with pytest.warns(UserWarning, match="no cuda device"):
        context = trine.cuda.amp.autocast()
    with context:
        assert (trine.ones(1, 1) @ trine.ones(1, 1)).dtype is trine.float32
    with pytest.warns(UserWarning, match="no cuda device"):
        scaler = trine.cuda.amp.GradScaler()
    assert not scaler.is_enabled() and scaler.get_scale() == 1.0 and scaler.state_dict() == {}
    with pytest.warns(UserWarning, match="bfloat16 and float16"):
        trine.autocast("cpu", dtype=trine.float64)
    with pytest.raises(RuntimeError, match="device_type"):
        trine.autocast("toaster")
    with pytest.raises(ValueError, match="str"):
        trine.autocast(trine.device("cpu"))  # type: ignore[arg-type]
    assert not trine.cuda.is_available() and trine.cuda.device_count() == 0 and trine.cpu.is_available()
    trine.cuda.synchronize()
    trine.cuda.manual_seed_all(0)
    with pytest.raises(RuntimeError, match="CUDA"):
        trine.cuda.get_device_name(0)
    with trine.cpu.amp.autocast(dtype=trine.bfloat16):
        assert (trine.ones(1, 1) @ trine.ones(1, 1)).dtype is trine.bfloat16


def scaling(library: Any) -> list[Any]:
    """A sequence of good and bad steps; what the scaler and the parameter do."""
    w = library.nn.Parameter(library.tensor([1.0, 2.0]))
    optimizer = library.optim.SGD([w], lr=0.1)
    scaler = library.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    found = []
    for factor in (1.0, float("inf"), 1.0, 2.0, float("nan"), 1.0):
        optimizer.zero_grad()
        loss = (w * factor).sum()
        a, (b, c) = scaler.scale([loss, (loss, loss)])
        found.append([str(a.item()) == str(b.item()) == str(c.item()), type(scaler.scale((loss,))) is tuple])
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        found.append(w.grad.tolist() if factor in (1.0, 2.0) else None)
        with pytest.raises(RuntimeError, match="already"):
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        with pytest.raises(RuntimeError, match="step"):
            scaler.step(optimizer)
        scaler.update()
        found.append([scaler.get_scale(), scaler._get_growth_tracker(), [round(x, 5) for x in w.tolist()]])
    scaler.update(4.0) if library is trine else None
    return found


def test_scaling_against_pytorch() -> None:
    assert scaling(trine) == scaling(torch)


def test_scaler_states() -> None:
    scaler, other = trine.amp.GradScaler("cpu", init_scale=16.0), torch.amp.GradScaler("cpu")
    scaler.scale(trine.ones(1))
    other.load_state_dict(scaler.state_dict())
    again = trine.amp.GradScaler("cpu")
    again.load_state_dict(other.state_dict())
    assert again.get_scale() == 16.0 and pickle.loads(pickle.dumps(scaler)).state_dict() == scaler.state_dict() == again.state_dict()
    for name, value in (("growth_factor", 3.0), ("backoff_factor", 0.25), ("growth_interval", 7)):
        getattr(scaler, f"set_{name}")(value)
        assert getattr(scaler, f"get_{name}")() == value
    with pytest.raises(RuntimeError, match="empty"):
        scaler.load_state_dict({})
    w = trine.nn.Parameter(trine.ones(1))
    for call in (lambda s: s.update(), lambda s: s.step(trine.optim.SGD([w]))):
        with pytest.raises(AssertionError):
            call(trine.amp.GradScaler("cpu"))
    with pytest.raises(AssertionError):
        trine.amp.GradScaler("cpu", growth_factor=1.0)
    half = trine.nn.Parameter(trine.ones(1, dtype=trine.float16))
    half.grad = trine.ones(1, dtype=trine.float16)
    with pytest.raises(ValueError, match="FP16"):
        scaler.step(trine.optim.SGD([half]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert trine.cuda.amp.GradScaler(enabled=False).scale(3) == 3


def test_custom_functions() -> None:
    seen = []

    class Square(trine.autograd.Function):
        @staticmethod
        @trine.amp.custom_fwd(device_type="cpu", cast_inputs=trine.float32)
        def forward(ctx: Any, x: Any) -> Any:
            seen.append((x.dtype, trine.is_autocast_enabled("cpu")))
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @trine.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, gradient: Any) -> Any:
            seen.append(trine.is_autocast_enabled("cpu"))
            return 2 * gradient * ctx.saved_tensors[0]

    x = trine.ones(2, dtype=trine.bfloat16, requires_grad=True)
    with trine.autocast("cpu"):
        y = Square.apply(x)
    assert y.dtype is trine.float32 and seen == [(trine.float32, False)]


@pytest.mark.parametrize("name", ["amp.autocast_mode", "amp.grad_scaler", "amp.state", "amp.policy", "cuda", "cpu"])
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"trine.{name}")).failed == 0
