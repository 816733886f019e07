"""Input that does not fit: typed errors that say what came, a recording that goes on, a program that stays usable."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trine
from trine.nn import functional as F

NAN = float("nan")


def zeros(*size: int) -> trine.Tensor:
    return trine.zeros(*size)


# name: (the mistake, the builtin kind that PyTorch raises for it, words of the message)
SHAPES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "add": (lambda: zeros(2, 3) + zeros(4), RuntimeError, "(2, 3) and (4,)"),
    "matmul": (lambda: zeros(2, 3) @ zeros(4, 5), RuntimeError, "(2, 3) and (4, 5)"),
    "cat": (lambda: trine.cat([zeros(2, 3), zeros(2, 4)]), RuntimeError, "(2, 4)"),
    "stack": (lambda: trine.stack([zeros(2), zeros(3)]), RuntimeError, "(3,)"),
    "view": (lambda: zeros(2, 3).view(4), RuntimeError, "6 elements"),
    "view, two unknown": (lambda: zeros(4).view(-1, -1), RuntimeError, "(-1, -1)"),
    "reshape": (lambda: zeros(2, 3).reshape(-1, 4), RuntimeError, "(-1, 4)"),
    "expand": (lambda: zeros(2, 3).expand(4, 3), RuntimeError, "(4, 3)"),
    "setitem": (lambda: zeros(2, 3).__setitem__(0, zeros(4)), RuntimeError, "(4,)"),
    "conv2d channels": (lambda: F.conv2d(zeros(1, 3, 8, 8), zeros(4, 2, 3, 3)), RuntimeError, "2 input channels"),
    "conv2d window": (lambda: F.conv2d(zeros(1, 3, 2, 2), zeros(4, 3, 3, 3)), RuntimeError, "(2, 2)"),
    "linear": (lambda: trine.nn.Linear(3, 4)(zeros(2, 5)), RuntimeError, "(2, 5)"),
    "negative size": (lambda: zeros(-1), RuntimeError, "(-1,)"),
    "mask": (lambda: zeros(3)[trine.tensor([True, False])], IndexError, "(2,)"),
}

DTYPES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "matmul": (lambda: trine.ones(2, 2, dtype=trine.int64) @ zeros(2, 2), RuntimeError, "int64 and float32"),
    "requires_grad_": (lambda: trine.ones(2, dtype=trine.int64).requires_grad_(), RuntimeError, "int64"),
    "requires_grad": (lambda: trine.tensor([1, 2], requires_grad=True), RuntimeError, "int64"),
    "cross_entropy": (lambda: F.cross_entropy(zeros(2, 3), trine.tensor([0.0, NAN])), RuntimeError, "float32"),
    "nll_loss": (lambda: F.nll_loss(zeros(2, 3), trine.tensor([0.0, 1.0])), RuntimeError, "float32"),
    "dtype of zeros": (lambda: trine.zeros(3, dtype="float32"), TypeError, "'float32'"),
    "dtype of arange": (lambda: trine.arange(3, dtype=np.float32), TypeError, "numpy.float32"),
    "dtype of rand": (lambda: trine.rand(3, dtype="float32"), TypeError, "'float32'"),
    "dtype of tensor": (lambda: trine.tensor([1.0], dtype="float32"), TypeError, "'float32'"),  # type: ignore[arg-type]
    "float index": (lambda: zeros(3)[1.5], IndexError, "float"),
}

AXES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "sum": (lambda: zeros(2, 3).sum(dim=5), IndexError, "from -2 to 1"),
    "mean": (lambda: zeros(2, 3).mean(dim=-3), IndexError, "-3"),
    "softmax": (lambda: F.softmax(zeros(2, 3), dim=2), IndexError, "from -2 to 1"),
    "transpose": (lambda: zeros(2, 3).transpose(0, 7), IndexError, "7"),
    "squeeze": (lambda: zeros(2, 3).squeeze(4), IndexError, "4"),
    "static index": (lambda: zeros(5)[10], IndexError, "10"),
    "static index, negative": (lambda: zeros(5)[-6], IndexError, "-6"),
}

SIZES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "zeros": (lambda: zeros(2**40, 2**40), RuntimeError, "1099511627776"),
    "view": (lambda: zeros(4).view(2**40, 2**40), RuntimeError, "1099511627776"),
    "expand": (lambda: zeros(1, 1).expand(2**40, 2**40), RuntimeError, "1099511627776"),
    "memory": (lambda: zeros(2**44).numpy(), RuntimeError, "70368744177664"),
}

DATA: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "tensor of objects": (lambda: trine.tensor(np.array([object()])), TypeError, "object"),
    "from_numpy of objects": (lambda: trine.from_numpy(np.array([object()])), TypeError, "object"),
    "as_tensor of None": (lambda: trine.as_tensor(np.array([None])), TypeError, "object"),
    "tensor of a string array": (lambda: trine.tensor(np.array(["a"])), TypeError, "<U1"),
    "from_numpy of strings": (lambda: trine.from_numpy(np.array(["a"])), TypeError, "<U1"),
    "from_numpy of dates": (lambda: trine.from_numpy(np.array(["2020-01-01"], "datetime64[D]")), TypeError, "datetime64"),
    "from_numpy of a list": (lambda: trine.from_numpy([1, 2]), TypeError, "list"),  # type: ignore[arg-type]
    "list of strings": (lambda: trine.tensor(["a", "b"]), TypeError, "<U1"),
    "None": (lambda: trine.tensor(None), TypeError, "NoneType"),
    "ragged": (lambda: trine.tensor([[1, 2], [3]]), ValueError, "ragged"),
    "ragged, deeper": (lambda: trine.tensor([[[1.0], [2.0]], [[3.0]]]), ValueError, "ragged"),
    "ragged, a number": (lambda: trine.tensor([[1, 2], 3]), ValueError, "ragged"),
    "beyond int64": (lambda: trine.tensor(2**63), ValueError, "int64"),
    "list beyond int64": (lambda: trine.tensor([2**70]), ValueError, "int64"),
    "below int64": (lambda: trine.tensor([-(2**63) - 1]), ValueError, "int64"),
    "operand beyond int64": (lambda: trine.ones(2, dtype=trine.int64) + 2**70, ValueError, "int64"),
    "arange": (lambda: trine.arange(0, 10, -1), ValueError, "0, 10, -1"),
}

TABLES = {"shape": SHAPES, "dtype": DTYPES, "axis": AXES, "size": SIZES, "data": DATA}
CASES = [pytest.param(*case, id=f"{table}: {name}") for table, cases in TABLES.items() for name, case in cases.items()]


def check(error: Exception, words: str) -> None:
    text = str(error)
    assert isinstance(error, trine.errors.TrineError)
    assert words in text
    assert any(row in text for row in ("received:", "expected:", "fix:"))


def check_usable() -> None:
    x = trine.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(("mistake", "kind", "words"), CASES)
def test_mistake(mistake: Callable[[], Any], kind: type[Exception], words: str) -> None:
    pending = trine.arange(3) * 2 + 1
    with pytest.raises(kind) as caught:
        mistake()
    check(caught.value, words)
    assert pending.tolist() == [1, 3, 5]
    assert (pending + 1).tolist() == [2, 4, 6]
    check_usable()


INDICES: dict[str, Callable[[], Any]] = {
    "embedding": lambda: F.embedding(trine.tensor([1, 12]), zeros(10, 4)),
    "gather": lambda: zeros(2, 3).gather(1, trine.tensor([[12]])),
    "index": lambda: zeros(5)[trine.tensor([12])],
    "index_select": lambda: zeros(5).index_select(0, trine.tensor([12])),
    "one_hot": lambda: F.one_hot(trine.tensor([12]), 4),
    "cross_entropy": lambda: F.cross_entropy(zeros(2, 3), trine.tensor([0, 12])),
}


@pytest.mark.parametrize("name", INDICES)
def test_index_out_of_range_at_run_time(name: str) -> None:
    """The error of an index that is known only at run time names the line that recorded the operation."""
    mistake = INDICES[name]
    before = trine.arange(3) * 2
    with pytest.raises(trine.errors.IndexOutOfRangeError) as caught:
        mistake().tolist()
    assert isinstance(caught.value, IndexError)
    check(caught.value, "received: 12")
    line = inspect.getsourcelines(mistake)[1]
    assert f"test_bad_input.py:{line} " in str(caught.value)
    assert before.tolist() == [0, 2, 4]
    check_usable()


def test_values_next_to_a_failing_one_are_kept() -> None:
    x = trine.arange(3).float()
    good = x + 1
    with pytest.raises(IndexError):
        x[trine.tensor([7])].tolist()
    assert good.tolist() == [1.0, 2.0, 3.0]


def test_nan_logits_give_a_nan_loss() -> None:
    logits = trine.tensor([[0.0, NAN, 1.0]], requires_grad=True)
    loss = F.cross_entropy(logits, trine.tensor([0]))
    assert np.isnan(loss.item())
    loss.backward()
    assert logits.grad is not None and logits.grad.isnan().all().item()
    assert np.isnan(F.mse_loss(trine.tensor([NAN, 1.0]), trine.zeros(2)).item())
    assert np.isnan(trine.tensor([1.0, NAN]).max().item())


DEVICE_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tensor": lambda d: trine.tensor([1.0], device=d),
    "as_tensor": lambda d: trine.as_tensor([1.0], device=d),
    "zeros": lambda d: trine.zeros(2, device=d),
    "ones": lambda d: trine.ones(2, device=d),
    "empty": lambda d: trine.empty(2, device=d),
    "zeros_like": lambda d: trine.zeros_like(zeros(2), device=d),
    "full": lambda d: trine.full((2,), 1.0, device=d),
    "full_like": lambda d: trine.full_like(zeros(2), 1.0, device=d),
    "new_zeros": lambda d: zeros(2).new_zeros(2, device=d),
    "new_tensor": lambda d: zeros(2).new_tensor([1.0], device=d),
    "arange": lambda d: trine.arange(2, device=d),
    "linspace": lambda d: trine.linspace(0, 1, 2, device=d),
    "logspace": lambda d: trine.logspace(0, 1, 2, device=d),
    "eye": lambda d: trine.eye(2, device=d),
    "tril_indices": lambda d: trine.tril_indices(2, 2, device=d),
    "triu_indices": lambda d: trine.triu_indices(2, 2, device=d),
    "rand": lambda d: trine.rand(2, device=d),
    "randn": lambda d: trine.randn(2, device=d),
    "randint": lambda d: trine.randint(0, 3, (2,), device=d),
    "rand_like": lambda d: trine.rand_like(zeros(2), device=d),
    "randn_like": lambda d: trine.randn_like(zeros(2), device=d),
    "randint_like": lambda d: trine.randint_like(zeros(2), 3, device=d),
    "randperm": lambda d: trine.randperm(2, device=d),
}


@pytest.mark.parametrize("name", DEVICE_FUNCTIONS)
def test_device(name: str) -> None:
    create = DEVICE_FUNCTIONS[name]
    for device in (None, "cpu", "cpu:0", trine.device("cpu")):
        assert create(device).device == trine.device("cpu")
    for wrong in ("cuda", "cuda:0", "cpu:x", 3):
        with pytest.raises(trine.errors.ArgumentError) as caught:
            create(wrong)
        check(caught.value, repr(wrong))
