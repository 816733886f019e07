"""Methods, operators and in-place forms of tensors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.parity import check, positive, randn, torch
from trine import dtypes, ops
from trine.ops.methods import INPLACE, METHODS
from trine.tensor import Tensor
from trine.tensor.convert import tensor


def test_every_method_of_pytorch_that_we_name_exists_there() -> None:
    extra = {"matrix_transpose", "expand_as", "share_memory_"}
    missing = [name for name in METHODS if not hasattr(torch.Tensor, name) and name not in extra]
    assert missing == []
    assert all(hasattr(Tensor, f"{name}_") for name in INPLACE)
    assert [name for name in INPLACE if not hasattr(torch.Tensor, f"{name}_")] == []


def test_operators() -> None:
    x, y = randn(2, 3), positive(3)

    def arithmetic(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return x + y, x - y, x * y, x / y, x // y, x % y, -x, abs(x), +x

    check(arithmetic, arithmetic, x, y, grad=False)
    check(lambda x: (1 + x, 1 - x, 2 * x, 2 / x, 2**x, x**2, x**0.5), lambda x: (1 + x, 1 - x, 2 * x, 2 / x, 2**x, x**2, x**0.5), y)
    check(lambda x: (2 // x, 2 % x), lambda x: (2 // x, 2 % x), y, grad=False)
    check(lambda x, y: x @ y, lambda x, y: x @ y, x, y)
    check(lambda x: (x > 0, x >= 0, x < 0, x <= 0, x == 0, x != 0), lambda x: (x > 0, x >= 0, x < 0, x <= 0, x == 0, x != 0), x, grad=False)
    i = np.array([6, 3])
    check(lambda i: (i & 3, i | 1, i ^ 2, ~i, i << 1, i >> 1, 3 & i), lambda i: (i & 3, i | 1, i ^ 2, ~i, i << 1, i >> 1, 3 & i), i)
    assert (tensor([1.0]) == None) is False  # noqa: E711
    with pytest.raises(TypeError):
        tensor([1.0]) + "a"


def test_in_place() -> None:
    x = tensor([1.0, 2.0])
    alias = x
    x += 1
    x *= tensor([2.0, 3.0])
    x.sub_(1).clamp_(max=4).neg_()
    assert alias is x
    assert x.tolist() == [-3.0, -4.0]
    x.fill_(2).add_(1, alpha=3)
    assert x.tolist() == [5.0, 5.0]
    assert x.zero_().tolist() == [0.0, 0.0]
    assert x.copy_(tensor([1, 2])).tolist() == [1.0, 2.0]
    assert x.copy_(3).tolist() == [3.0, 3.0]
    integers = tensor([1, 2])
    with pytest.raises(RuntimeError, match="can't be cast"):
        integers += 0.5
    with pytest.raises(RuntimeError):
        x.add_(ops.zeros(3, 2))
    x.masked_fill_(tensor([True, False]), 9.0)
    assert x.tolist() == [9.0, 3.0]


def test_conversions() -> None:
    x = tensor([1.7, -1.7, 0.0])
    assert x.long().tolist() == [1, -1, 0]
    assert x.bool().tolist() == [True, True, False]
    assert x.double().dtype is dtypes.float64
    assert x.to(dtypes.int32).dtype is dtypes.int32
    assert x.to("cpu") is x
    assert x.to(tensor([1])).dtype is dtypes.int64
    assert x.type(dtypes.float16).dtype is dtypes.float16
    assert x.contiguous() is x
    assert x.half().float().tolist() == pytest.approx([1.7, -1.7, 0.0], abs=1e-3)
    assert x.T.shape == (3,)
    assert ops.result_type(tensor([1]), 1.5) is dtypes.float32
    assert x.new_tensor([1]).dtype is dtypes.float32


def test_out() -> None:
    out = ops.zeros(2)
    assert ops.add(tensor([1.0, 2.0]), 1, out=out) is out
    assert out.tolist() == [2.0, 3.0]
    with pytest.raises(ValueError, match="shape"):
        ops.exp(ops.zeros(3), out=out)


def test_half_types_keep_their_dtype() -> None:
    for dtype in (dtypes.float16, dtypes.bfloat16):
        x = tensor([[1.0, 2.0], [3.0, 4.0]]).to(dtype).requires_grad_()
        y = ops.layer_norm(ops.softmax(ops.gelu(x @ x), 1) + 1, (2,))
        assert y.dtype is dtype
        y.float().sum().backward()
        assert x.grad is not None and x.grad.dtype is dtype


def test_second_order() -> None:
    from trine.tensor.autograd import grad

    point = np.array([0.5, -1.0, 2.0])
    x = tensor(point, dtype=dtypes.float64).requires_grad_()
    (first,) = grad(ops.softmax(x, 0).square().sum(), [x], create_graph=True)
    (second,) = grad(first.square().sum(), [x])
    z = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    (first_other,) = torch.autograd.grad(torch.softmax(z, 0).square().sum(), [z], create_graph=True)
    (second_other,) = torch.autograd.grad(first_other.square().sum(), [z])
    np.testing.assert_allclose(second.numpy(), second_other.numpy(), rtol=1e-10)


def test_complex_parts() -> None:
    x = np.array([1 + 2j, -0.5 + 1j], np.complex64)
    check(lambda x: (x.real, x.imag), lambda x: (x.real, x.imag), x, grad=False)
    check(ops.view_as_real, torch.view_as_real, x, grad=False)
    check(ops.angle, torch.angle, x, grad=False)
    check(ops.complex, torch.complex, randn(3), randn(3), grad=False)
    check(ops.polar, torch.polar, positive(3), randn(3), grad=False)
