"""Tensors and the outside: NumPy, DLPack, PyTorch, pickles and copies; what is shared and what is not."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trine
from trine import nn

IMPORTS: dict[str, Callable[[np.ndarray], trine.Tensor]] = {"from_numpy": trine.from_numpy, "as_tensor": trine.as_tensor}


def set_first(x: trine.Tensor) -> None:
    x[0] = 9


WRITES: dict[str, Callable[[trine.Tensor], object]] = {
    "add_": lambda x: x.add_(1),
    "setitem": set_first,
    "zero_": lambda x: x.zero_(),
    "view": lambda x: x.view(2, 2).mul_(3),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("function", IMPORTS)
def test_read_only_array_is_not_written(function: str, write: str) -> None:
    a = np.arange(4, dtype=np.float32) + 1
    a.flags.writeable = False
    x = IMPORTS[function](a)
    expected = trine.tensor(a.copy())
    WRITES[write](x)
    WRITES[write](expected)
    assert x.tolist() == expected.tolist()
    assert a.tolist() == [1, 2, 3, 4]


def test_numpy_of_a_read_only_array_is_read_only() -> None:
    a = np.arange(3.0)
    a.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        trine.from_numpy(a).numpy()[0] = 1


@pytest.mark.parametrize("function", IMPORTS)
def test_non_contiguous_arrays(function: str) -> None:
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    for a in (base.T, base[::2], base[:, ::-1], base[:, 1:3], np.broadcast_to(base[0], (2, 4)), base.astype(">f4"), base[:0]):
        before = a.copy()
        x = IMPORTS[function](a)
        assert tuple(x.shape) == a.shape and x.dtype is trine.float32
        np.testing.assert_array_equal(x.numpy(), a)
        x.add_(1)
        np.testing.assert_array_equal(x.numpy(), before + 1)
        np.testing.assert_array_equal(a, before)


def test_from_numpy_shares() -> None:
    a = np.zeros(3, np.float32)
    x = trine.from_numpy(a)
    a[0] = 5
    assert x.tolist() == [5, 0, 0]
    x[1] = 6
    x.tolist()
    assert a.tolist() == [5, 6, 0]


def test_numpy_shares() -> None:
    x = trine.zeros(3)
    a = x.numpy()
    a[0] = 4
    assert (x + 1).tolist() == [5, 1, 1]
    x.add_(1)
    x.tolist()
    assert a.tolist() == [5, 1, 1]
    assert np.shares_memory(a, x.numpy())
    view = x.view(3, 1).numpy()
    view[2, 0] = 7
    assert x.tolist() == [5, 1, 7]


def test_numpy_write_leaves_earlier_results() -> None:
    x = trine.zeros(3)
    y = x + 1
    x.numpy()[0] = 4
    assert y.tolist() == [1, 1, 1]


def test_array_protocol() -> None:
    x = trine.tensor([1.0, 2.0])
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert np.asarray(x).dtype == np.float32
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.array(x).tolist() == x.__array__().tolist() == [1, 2]
    copied = np.array(x)
    copied[0] = 5
    assert x.tolist() == [1, 2]
    assert np.asarray(trine.arange(3) * 2).tolist() == [0, 2, 4]
    assert float(np.sum(np.asarray(x))) == 3
    with pytest.raises(trine.errors.GradientError):
        np.asarray(trine.ones(2, requires_grad=True))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool", "complex64"])
def test_dlpack_with_numpy(dtype: str) -> None:
    a = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    x = trine.from_dlpack(a)
    assert x.dtype is getattr(trine, dtype)
    np.testing.assert_array_equal(x.numpy(), a)
    b = np.from_dlpack(x)
    np.testing.assert_array_equal(b, a)
    assert np.shares_memory(a, b)
    np.testing.assert_array_equal(trine.from_dlpack(a.T).numpy(), a.T)


def test_dlpack_shares_and_copies() -> None:
    a = np.arange(3, dtype=np.float32)
    x, y = trine.from_dlpack(a), trine.from_dlpack(a, copy=True)
    a[0] = 9
    assert x.tolist() == [9, 1, 2] and y.tolist() == [0, 1, 2]
    assert trine.ones(2).__dlpack_device__() == (1, 0)
    with pytest.raises(trine.errors.GradientError):
        np.from_dlpack(trine.ones(2, requires_grad=True))


def test_dlpack_read_only() -> None:
    a = np.arange(3, dtype=np.float32)
    a.flags.writeable = False
    try:
        x = trine.from_dlpack(a)
    except BufferError:  # NumPy before 2.1 does not export such an array
        return
    x.add_(1)
    assert x.tolist() == [1, 2, 3] and a.tolist() == [0, 1, 2]


def test_dlpack_with_torch() -> None:
    torch = pytest.importorskip("torch")
    a = torch.arange(6.0).reshape(2, 3)
    x = trine.from_dlpack(a)
    a[0, 0] = 9
    b = torch.from_dlpack(x)
    b[0, 1] = 8
    assert x.tolist() == a.tolist() == [[9, 8, 2], [3, 4, 5]]
    assert trine.from_dlpack(a.t()).tolist() == a.t().tolist()
    assert torch.from_dlpack(trine.arange(3) * 2).tolist() == [0, 2, 4]
    half = torch.from_dlpack(trine.ones(2, dtype=trine.bfloat16))
    assert half.dtype == torch.bfloat16 and half.tolist() == [1, 1]
    assert trine.from_dlpack(half).dtype is trine.bfloat16


def test_pickle() -> None:
    x = trine.arange(6.0).reshape(2, 3)
    pending = x.t() * 2
    assert pickle.loads(pickle.dumps(pending)).tolist() == [[0, 6], [2, 8], [4, 10]]
    for dtype in (trine.bfloat16, trine.float64, trine.bool, trine.complex64, trine.int8):
        made = pickle.loads(pickle.dumps(x.to(dtype)))
        assert made.dtype is dtype and made.tolist() == x.to(dtype).tolist()
    p = pickle.loads(pickle.dumps(nn.Parameter(x)))
    assert isinstance(p, nn.Parameter) and p.requires_grad and p.is_leaf and p.tolist() == x.tolist()
    m = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    n = pickle.loads(pickle.dumps(m))
    assert n(x).tolist() == m(x).tolist()


def test_deepcopy() -> None:
    x = trine.ones(2, requires_grad=True)
    y = copy.deepcopy(x)
    (y * 2).sum().backward()
    assert x.grad is None and y.grad is not None and y.grad.tolist() == [2, 2]
    with pytest.raises(trine.errors.TrineError):
        copy.deepcopy(x * 2)
    p = nn.Parameter(trine.ones(2))
    q = copy.deepcopy(p)
    assert isinstance(q, nn.Parameter) and q.requires_grad
    with trine.no_grad():
        q.zero_()
    assert p.tolist() == [1, 1]


def test_deepcopy_of_modules() -> None:
    m = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    m[1].weight = m[0].weight  # tied
    k = copy.deepcopy(m)
    assert k[1].weight is k[0].weight and k[0].weight is not m[0].weight
    with trine.no_grad():
        k[0].weight.zero_()
    assert (m[0].weight != 0).any().item() and (k[1].weight == 0).all().item()
    x = trine.ones(1, 2)
    before = m(x).tolist()
    k(x).sum().backward()
    assert m[0].weight.grad is None and m(x).tolist() == before


def test_data() -> None:
    p = nn.Parameter(trine.ones(3))
    version = p._version
    p.data.add_(1)
    assert p.tolist() == [2, 2, 2] and not p.data.requires_grad
    assert p._version == version
    p.data = trine.zeros(3)
    assert p.tolist() == [0, 0, 0] and p.requires_grad and p.is_leaf
    (p * 3).sum().backward()
    assert p.grad is not None and p.grad.tolist() == [3, 3, 3]


def test_version_counts_writes() -> None:
    x = trine.zeros(3)
    versions = [x._version]
    for write in (lambda: x.add_(1), lambda: x.mul_(2), lambda: x.copy_(trine.ones(3)), lambda: x.zero_()):
        write()
        versions.append(x._version)
    assert versions == sorted(set(versions))
    x + 1
    assert x._version == versions[-1]


class Square(trine.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: trine.Tensor) -> trine.Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: trine.Tensor) -> trine.Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * grad


@pytest.mark.parametrize("write", ["add_", "setitem", "view"])
def test_saved_tensor_that_was_written(write: str) -> None:
    """A write to a saved tensor is an error in backward, through a view too."""
    x = trine.ones(4, requires_grad=True)
    h = x * 3
    y = Square.apply(h).sum()
    WRITES[write](h)
    with pytest.raises(trine.errors.InPlaceError):
        y.backward()


def test_saved_tensor_with_views() -> None:
    x = trine.ones(4, requires_grad=True)
    h = x * 3
    y = Square.apply(h).sum()
    assert h.view(2, 2)[0].tolist() == [3, 3]
    y.backward()
    assert x.grad is not None and x.grad.tolist() == [18] * 4


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_views_of_a_parameter_follow_the_optimizer(name: str) -> None:
    m = nn.Linear(2, 3)
    w = m.weight
    row, transposed, array = w.detach()[0], w.data.t(), w.detach().numpy()
    optimizer = getattr(trine.optim, name)(m.parameters(), lr=0.1)
    seen = [w.tolist()]
    for _ in range(3):
        optimizer.zero_grad()
        m(trine.ones(1, 2)).square().sum().backward()
        optimizer.step()
        seen.append(w.tolist())
        assert row.tolist() == seen[-1][0]
        assert transposed.t().tolist() == seen[-1]
        assert array.tolist() == seen[-1]
    assert all(a != b for a, b in zip(seen, seen[1:], strict=False))


TRAINING = """
import trine
from trine import nn
trine.manual_seed(3)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
optimizer = trine.optim.Adam(model.parameters(), lr=0.05)
x, y = trine.randn(16, 4), trine.randint(0, 2, (16,))
for _ in range(5):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(loss.item())
"""


SHARING = """
import numpy as np
import trine
a = np.zeros(3, np.float32)
x = trine.from_numpy(a)
x.add_(1)
x[1] = 6
x.view(3, 1).mul_(2)
print(x.tolist() == a.tolist() == [2, 12, 2])
"""


def test_eager_writes_reach_the_array() -> None:
    environment = {**os.environ, "TRINE_EAGER": "1", "PYTHONPATH": str(Path(trine.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", SHARING], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "True", done.stderr


def test_eager_training_gives_the_same_losses() -> None:
    losses = []
    for eager in ("0", "1"):
        environment = {**os.environ, "TRINE_EAGER": eager, "PYTHONPATH": str(Path(trine.__file__).parents[1])}
        done = subprocess.run([sys.executable, "-c", TRAINING], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        losses.append([float(line) for line in done.stdout.split()])
    recorded, eager_losses = losses
    assert len(recorded) == 5 and recorded[-1] < recorded[0]
    np.testing.assert_allclose(eager_losses, recorded, rtol=1e-5)
