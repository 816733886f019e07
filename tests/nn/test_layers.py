"""What layers do beyond their formulas: state, steady plans, errors, initial values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import trine
from trine import nn
from trine.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from trine.nn import functional as F
from trine.nn import init
from trine.tensor.state import automaton

RNG = np.random.default_rng(2)


def randn(*shape: int) -> trine.Tensor:
    return trine.tensor(RNG.standard_normal(shape).astype(np.float32))


# --- batch normalization ------------------------------------------------------------------------------------------------------------------


def test_running_statistics_are_written_in_place_and_plans_do_not_multiply() -> None:
    layer = nn.BatchNorm1d(3)
    mean, variance = np.zeros(3), np.ones(3)
    address = layer.running_mean.data_ptr()
    handle = layer.running_mean
    for i in range(8):
        x = randn(6, 3)
        layer(x).sum().backward()
        layer.zero_grad()
        trine.synchronize()
        mean = 0.9 * mean + 0.1 * x.numpy().mean(0)
        variance = 0.9 * variance + 0.1 * x.numpy().var(0, ddof=1)
        if i == 2:
            before = automaton.info()
    after = automaton.info()
    assert (after["plans_built"], after["states"]) == (before["plans_built"], before["states"])
    assert layer.running_mean is handle and handle.data_ptr() == address and not handle.requires_grad
    np.testing.assert_allclose(handle.numpy(), mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.running_var.numpy(), variance, rtol=1e-4)
    assert layer.num_batches_tracked.item() == 8
    layer.eval()
    layer(randn(2, 3))
    assert layer.num_batches_tracked.item() == 8
    layer.reset_parameters()
    assert layer.running_mean.tolist() == [0.0] * 3 and layer.num_batches_tracked.item() == 0


def test_cumulative_average() -> None:
    layer = nn.BatchNorm1d(2, momentum=None)
    batches = [randn(5, 2) for _ in range(3)]
    for x in batches:
        layer(x)
    np.testing.assert_allclose(layer.running_mean.numpy(), np.mean([x.numpy().mean(0) for x in batches], 0), rtol=1e-5, atol=1e-6)


def test_normalization_errors() -> None:
    with pytest.raises(ShapeError, match="BatchNorm2d: input"):
        nn.BatchNorm2d(3)(randn(2, 3))
    with pytest.raises((ShapeError, ArgumentError), match="batch_norm"):
        nn.BatchNorm1d(3)(randn(1, 3))
    with pytest.raises(ShapeError, match="batch_norm"):
        nn.BatchNorm1d(3)(randn(5, 4))
    with pytest.raises(ShapeError, match="layer_norm"):
        nn.LayerNorm(3)(randn(5, 4))
    without_bias = nn.BatchNorm1d(2, bias=False)
    assert without_bias.bias is None and without_bias(randn(3, 2)).shape == (3, 2)


# --- linear, convolution, embedding -------------------------------------------------------------------------------------------------------


def test_shape_errors_name_the_layer_and_leave_the_model_usable() -> None:
    layer = nn.Linear(3, 2)
    with pytest.raises(ShapeError, match="linear"):
        layer(randn(2, 4))
    conv = nn.Conv2d(2, 3, 3)
    for x in (randn(1, 3, 5, 5), randn(1, 2, 2, 2), randn(5)):
        with pytest.raises(ShapeError, match="conv"):
            conv(x)
    assert layer(randn(2, 3)).shape == (2, 2) and conv(randn(1, 2, 5, 5)).shape == (1, 3, 3, 3)


def test_convolution_arguments() -> None:
    for options, text in (
        ({"groups": 0}, "groups"),
        ({"groups": 3}, "in_channels"),
        ({"padding_mode": "mirror"}, "padding_mode"),
        ({"padding": "full"}, "padding"),
        ({"padding": "same", "stride": 2}, "stride|same"),
    ):
        with pytest.raises((ArgumentError, ShapeError), match=text):
            nn.Conv2d(4, 6, 3, **options)  # type: ignore[arg-type]
    with pytest.raises((ArgumentError, ShapeError), match="out_channels"):
        nn.Conv2d(4, 3, 3, groups=2)
    with pytest.raises(ShapeError, match="kernel_size"):
        nn.Conv2d(4, 4, (3, 3, 3))
    single = nn.Conv2d(2, 3, 3)(randn(2, 5, 5))
    assert single.shape == (3, 3, 3)


def test_empty_layers() -> None:
    assert nn.Linear(0, 2)(trine.zeros(3, 0)).shape == (3, 2)
    assert nn.Linear(2, 3)(trine.zeros(0, 2)).shape == (0, 3)
    assert nn.Embedding(3, 2)(trine.zeros(0, dtype=trine.int64)).shape == (0, 2)


def test_embedding_padding_and_errors() -> None:
    layer = nn.Embedding(5, 2, padding_idx=-2)
    assert layer.padding_idx == 3 and layer.weight[3].tolist() == [0.0, 0.0]
    layer(trine.tensor([3, 1, 3])).sum().backward()
    assert layer.weight.grad.tolist() == [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(ArgumentError, match="padding_idx"):
        nn.Embedding(5, 2, padding_idx=5)
    limited = nn.Embedding(5, 2, max_norm=0.5)
    assert limited(trine.arange(5)).norm(dim=1).max().item() <= 0.5 + 1e-5
    with pytest.raises(ArgumentError, match="from_pretrained"):
        nn.Embedding.from_pretrained(trine.ones(3))
    with pytest.raises(DTypeError, match="embedding"):
        layer(trine.ones(2))
    for bad in (5, -1):
        with pytest.raises(IndexError):
            layer(trine.tensor([0, bad])).tolist()


def test_dtype_and_device_arguments() -> None:
    for layer in (nn.Linear(2, 2, dtype=trine.float64), nn.Conv1d(2, 2, 1, dtype=trine.float64), nn.BatchNorm1d(2, dtype=trine.float64)):
        assert layer.weight.dtype is trine.float64 and layer.bias.dtype is trine.float64
    assert nn.Linear(2, 2, device="cpu").weight.dtype is trine.float32


# --- losses -------------------------------------------------------------------------------------------------------------------------------


def test_labels_out_of_range_name_the_line() -> None:
    logits = randn(3, 4)
    for bad in (4, -1, 1 << 40):
        with pytest.raises(IndexOutOfRangeError) as error:
            loss = F.cross_entropy(logits, trine.tensor([0, bad, 1]))  # the line that is named
            loss.item()
        assert "test_layers.py" in str(error.value) and "4" in str(error.value)
    assert math.isfinite(F.cross_entropy(logits, trine.tensor([0, 3, 1])).item())
    assert math.isfinite(F.cross_entropy(logits, trine.tensor([0, -1, 1]), ignore_index=-1).item())


def test_nan_and_float_labels_are_errors_that_say_what_to_do() -> None:
    with pytest.raises(DTypeError, match="NaN") as error:
        F.cross_entropy(randn(3, 4), trine.tensor([0.0, math.nan, 1.0]))
    assert "long()" in str(error.value)
    with pytest.raises(ShapeError, match="does not fit"):
        F.cross_entropy(randn(3, 4), trine.tensor([0, 1]))
    with pytest.raises((ShapeError, ArgumentError), match="weight"):
        F.cross_entropy(randn(3, 4), trine.tensor([0, 1, 2]), weight=trine.ones(3))
    for options in ({"reduction": "average"}, {"label_smoothing": 1.5}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            F.cross_entropy(randn(3, 4), trine.tensor([0, 1, 2]), **options)  # type: ignore[arg-type]


def test_nan_logits_give_a_nan_loss_and_large_ones_a_finite_loss() -> None:
    assert math.isnan(F.cross_entropy(trine.tensor([[math.nan, 0.0]]), trine.tensor([1])).item())
    x = trine.tensor([[1e30, -1e30], [0.0, 3e38]], requires_grad=True)
    loss = F.cross_entropy(x, trine.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 0.0 and np.isfinite(x.grad.numpy()).all()
    assert math.isnan(F.cross_entropy(randn(2, 3), trine.tensor([-100, -100])).item())
    x = trine.tensor([1000.0, -1000.0], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, trine.tensor([1.0, 0.0]))
    loss.backward()
    assert loss.item() == 0.0 and x.grad.tolist() == [0.0, 0.0]


def test_losses_of_different_shapes() -> None:
    with pytest.warns(UserWarning, match="differs"):
        F.mse_loss(randn(3, 1), randn(3))
    for loss in (F.binary_cross_entropy_with_logits, F.binary_cross_entropy):
        with pytest.raises(ShapeError, match="shapes differ"):
            loss(trine.ones(3, 1), trine.ones(3))


# --- activations --------------------------------------------------------------------------------------------------------------------------


def test_activation_arguments() -> None:
    with pytest.raises(TypeError, match="at most 1"):
        nn.ReLU(True, 3)
    with pytest.raises(TypeError, match="slope"):
        nn.LeakyReLU(slope=0.1)
    assert nn.LeakyReLU(0.5)(trine.tensor([-2.0])).tolist() == [-1.0]
    layer = nn.Softplus()
    layer.beta = 2.0
    assert layer(trine.tensor([0.0])).item() == pytest.approx(math.log(2) / 2)


# --- initial values -----------------------------------------------------------------------------------------------------------------------


def test_initial_values() -> None:
    trine.manual_seed(0)
    w = nn.Parameter(trine.empty(200, 300))
    cases: list[tuple[Any, float]] = [
        (lambda: init.xavier_uniform_(w, gain=2.0), 2 * math.sqrt(2 / 500)),
        (lambda: init.xavier_normal_(w), math.sqrt(2 / 500)),
        (lambda: init.kaiming_uniform_(w, nonlinearity="relu"), math.sqrt(2 / 300)),
        (lambda: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / 200)),
        (lambda: init.normal_(w, 0.0, 0.5), 0.5),
        (lambda: init.uniform_(w, -1, 1), 1 / math.sqrt(3)),
    ]
    for draw, deviation in cases:
        assert draw() is w and w.requires_grad and w.is_leaf
        values = w.detach().numpy()
        assert abs(values.mean()) < 4 * deviation / math.sqrt(values.size) and values.std() == pytest.approx(deviation, rel=0.02)
    assert init.zeros_(w).sum().item() == 0 and init.ones_(w).sum().item() == 60_000 and init.constant_(w, 2.0).max().item() == 2
    assert init.calculate_gain("leaky_relu", 1.0) == 1.0 and init.calculate_gain("tanh") == 5 / 3
    with pytest.raises(ShapeError, match="two axes"):
        init.xavier_uniform_(trine.ones(3))
    with pytest.raises(ArgumentError, match="mode"):
        init.kaiming_normal_(w, mode="fan")
    with pytest.raises(ArgumentError, match="calculate_gain"):
        init.calculate_gain("cube")


def test_models_are_reproducible() -> None:
    def weights() -> list[float]:
        trine.manual_seed(9)
        return nn.Sequential(nn.Linear(3, 4), nn.Conv1d(1, 2, 3))[1].weight.flatten().tolist()  # type: ignore[no-any-return]

    assert weights() == weights()
