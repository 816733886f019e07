"""Random functions: distributions, reproducibility, dropout."""

from __future__ import annotations

import numpy as np
import pytest

from trine import dtypes, ops
from trine.runtime.random import Generator, manual_seed
from trine.tensor.convert import tensor


def test_the_seed_decides() -> None:
    manual_seed(3)
    first = [ops.rand(5).tolist(), ops.randn(5).tolist(), ops.randint(0, 100, (5,)).tolist(), ops.randperm(5).tolist()]
    manual_seed(3)
    assert [ops.rand(5).tolist(), ops.randn(5).tolist(), ops.randint(0, 100, (5,)).tolist(), ops.randperm(5).tolist()] == first
    assert ops.rand(5).tolist() != ops.rand(5).tolist()
    assert ops.rand(3, generator=Generator(1)).tolist() == ops.rand(3, generator=Generator(1)).tolist()


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64])
def test_uniform_and_normal_moments(dtype: dtypes.DType) -> None:
    manual_seed(0)
    u, n = ops.rand(20000, dtype=dtype), ops.randn(20000, dtype=dtype)
    assert u.dtype is dtype and n.dtype is dtype
    values, normals = u.double().numpy(), n.double().numpy()
    assert values.min() >= 0 and values.max() < 1
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert normals.mean() == pytest.approx(0, abs=0.03)
    assert normals.std() == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(normals[:-1], normals[1:])[0, 1]) < 0.03


def test_integers_permutations_and_choices() -> None:
    manual_seed(1)
    values = ops.randint(-3, 4, (5000,)).numpy()
    assert sorted(set(values.tolist())) == list(range(-3, 4))
    assert sorted(ops.randperm(100).tolist()) == list(range(100))
    assert ops.randint(5, (2, 2)).dtype is dtypes.int64
    weights = tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 0.0]])
    drawn = ops.multinomial(weights, 4000, replacement=True).numpy()
    assert (drawn[0] == 2).mean() == pytest.approx(0.75, abs=0.03)
    assert (drawn[1] == 0).all()
    assert sorted(ops.multinomial(tensor([1.0, 2.0, 0.0, 4.0]), 3).tolist()) == [0, 1, 3]
    assert ops.bernoulli(tensor(np.full(5000, 0.3, np.float32))).mean().item() == pytest.approx(0.3, abs=0.03)


def test_in_place() -> None:
    x = ops.zeros(5000)
    assert x.uniform_(2, 3) is x
    assert 2 <= x.min().item() and x.max().item() < 3
    assert x.normal_(5, 0.1).mean().item() == pytest.approx(5, abs=0.01)
    assert x.exponential_(2.0).mean().item() == pytest.approx(0.5, abs=0.05)
    assert x.bernoulli_(0.25).mean().item() == pytest.approx(0.25, abs=0.03)
    assert set(ops.zeros(100).random_(3).tolist()) == {0.0, 1.0, 2.0}


def test_dropout() -> None:
    manual_seed(2)
    x = ops.ones(100, 100).requires_grad_()
    y = ops.dropout(x, 0.3)
    kept = (y > 0).float().mean().item()
    assert kept == pytest.approx(0.7, abs=0.03)
    assert y.max().item() == pytest.approx(1 / 0.7)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert ops.dropout(x, 0.3, training=False) is x
    channels = ops.dropout2d(ops.ones(4, 50, 2, 2), 0.5).numpy()
    assert ((channels == 0).all((2, 3)) | (channels == 2).all((2, 3))).all()
    with pytest.raises(ValueError, match="probability"):
        ops.dropout(x, 1.5)


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="floating point"):
        ops.rand(2, dtype=dtypes.int64)
    with pytest.raises(ValueError, match="empty"):
        ops.randint(3, 3, (2,))
    with pytest.raises(ValueError):
        ops.multinomial(tensor([1.0, 1.0]), 3)


def test_gumbel_softmax_and_alpha_dropout() -> None:
    hot = ops.gumbel_softmax(ops.zeros(50, 4), hard=True)
    np.testing.assert_allclose(hot.sum(1).numpy(), 1)
    assert set(np.unique(hot.numpy().round(5))) <= {0.0, 1.0}
    x = ops.randn(20000)
    y = ops.alpha_dropout(x, 0.2, training=True)
    assert y.mean().item() == pytest.approx(0, abs=0.05)
    assert y.std().item() == pytest.approx(1, abs=0.05)
