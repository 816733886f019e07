"""Functions of layers against PyTorch: values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.parity import check, positive, randn, torch
from trine import ops
from trine.tensor.convert import tensor

F = torch.nn.functional


def fixed(function: Any) -> Any:
    """Return PyTorch's function with operands after the first as constants: it does not differentiate these."""
    return lambda x, *others, **options: function(x, *others, **{k: getattr(v, "detach", lambda v=v: v)() for k, v in options.items()})


def constant_target(function: Any) -> Any:
    """Return PyTorch's function with the target, its second operand, as a constant."""
    return lambda x, target, **options: fixed(function)(x, target.detach(), **options)


ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    ("relu", {}),
    ("relu6", {}),
    ("hardtanh", {"min_val": -0.5, "max_val": 0.7}),
    ("leaky_relu", {"negative_slope": 0.2}),
    ("elu", {"alpha": 1.5}),
    ("selu", {}),
    ("celu", {"alpha": 2.0}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("silu", {}),
    ("softplus", {}),
    ("softplus", {"beta": 2.0, "threshold": 1.0}),
    ("mish", {}),
    ("hardsigmoid", {}),
    ("hardswish", {}),
    ("softshrink", {}),
    ("hardshrink", {}),
    ("threshold", {"threshold": 0.1, "value": 9.0}),
    ("softsign", {}),
    ("tanhshrink", {}),
    ("logsigmoid", {}),
    ("glu", {}),
    ("softmax", {"dim": 1}),
    ("log_softmax", {"dim": 0}),
    ("softmin", {"dim": -1}),
    ("rrelu", {}),
]


@pytest.mark.parametrize("name,options", ACTIVATIONS)
def test_activations(name: str, options: dict[str, Any]) -> None:
    edges = np.array([[0.0, 6.0, -0.5, 0.5, 1.0, -3.0], [3.0, -0.0, 30.0, -30.0, 0.1, 2.0]], np.float32)
    check(getattr(ops, name), getattr(F, name), randn(4, 6) * 2, **options)
    check(getattr(ops, name), getattr(F, name), edges, grad=name not in ("softshrink",), **options)


def test_prelu_and_in_place_activation() -> None:
    check(ops.prelu, F.prelu, randn(2, 3, 4), positive(3))
    check(ops.prelu, F.prelu, randn(2, 3), positive(1))
    x = tensor([-1.0, 2.0])
    assert ops.relu(x, inplace=True) is x
    assert x.tolist() == [0.0, 2.0]


def test_softmax_extremes() -> None:
    check(ops.softmax, F.softmax, np.array([[1000.0, -1000.0], [-np.inf, 0.0]], np.float32), dim=1, grad=False)
    check(ops.logsumexp, torch.logsumexp, np.array([[-np.inf, -np.inf], [np.inf, 1.0]], np.float32), dim=1, grad=False)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_regression_losses(reduction: str) -> None:
    x, y = randn(4, 3), randn(4, 3)
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        check(getattr(ops, name), getattr(F, name), x, y, reduction=reduction)
    check(ops.smooth_l1_loss, F.smooth_l1_loss, x, y, reduction=reduction, beta=0.3)
    check(ops.huber_loss, F.huber_loss, x, y, reduction=reduction, delta=0.3)
    if reduction != "mean":  # PyTorch warns
        check(ops.kl_div, F.kl_div, -positive(3, 4), positive(3, 4), reduction=reduction)
    check(ops.kl_div, F.kl_div, -positive(3, 4), -positive(3, 4), reduction="batchmean", log_target=True)
    check(ops.poisson_nll_loss, F.poisson_nll_loss, x, positive(4, 3) * 3, full=True, reduction=reduction)
    check(ops.gaussian_nll_loss, F.gaussian_nll_loss, x, y, positive(4, 3), full=True, reduction=reduction)
    signs = np.sign(randn(4)).astype(np.float32)
    check(ops.cosine_embedding_loss, F.cosine_embedding_loss, x, y, signs, margin=0.1, reduction=reduction)
    check(ops.triplet_margin_loss, F.triplet_margin_loss, x, y, randn(4, 3), swap=True, reduction=reduction)
    check(ops.margin_ranking_loss, F.margin_ranking_loss, randn(4), randn(4), signs, margin=0.2, reduction=reduction)
    check(ops.hinge_embedding_loss, F.hinge_embedding_loss, randn(4), signs, reduction=reduction)
    check(ops.soft_margin_loss, constant_target(F.soft_margin_loss), randn(4), signs, reduction=reduction)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_binary_cross_entropy(reduction: str) -> None:
    p, t, w = (
        np.array([[0.0, 0.2, 1.0], [0.5, 0.9, 0.3]], np.float32),
        np.array([[0.0, 1.0, 1.0], [0.0, 0.7, 1.0]], np.float32),
        positive(3),
    )
    check(ops.binary_cross_entropy, F.binary_cross_entropy, p, t, reduction=reduction, grad=False)
    check(ops.binary_cross_entropy, F.binary_cross_entropy, p[1:], t[1:], reduction=reduction)
    x = randn(2, 3) * 3
    check(ops.binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits, x, t, reduction=reduction)
    check(
        ops.binary_cross_entropy_with_logits, fixed(F.binary_cross_entropy_with_logits), x, t, weight=w, pos_weight=w, reduction=reduction
    )


TARGETS = np.array([1, 0, 4, 2])


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy(reduction: str, smoothing: float) -> None:
    x, weight = randn(4, 5), positive(5)
    options = {"reduction": reduction, "label_smoothing": smoothing}
    check(ops.cross_entropy, F.cross_entropy, x, TARGETS, **options)
    check(
        lambda x, t, w: ops.cross_entropy(x, t, w, **options),
        lambda x, t, w: F.cross_entropy(x, t, w.detach(), **options),
        x,
        TARGETS,
        weight,
        grad=False,
    )
    check(ops.cross_entropy, F.cross_entropy, x, np.array([1, -100, 4, -100]), **options)
    check(ops.cross_entropy, F.cross_entropy, x, TARGETS, ignore_index=2, **options)
    check(ops.cross_entropy, F.cross_entropy, randn(2, 5, 3, 2), np.arange(12).reshape(2, 3, 2) % 5, **options)
    check(ops.cross_entropy, F.cross_entropy, randn(5), np.array(3), **options)
    check(ops.cross_entropy, F.cross_entropy, x, np.full((4, 5), 0.2, np.float32), **options)
    if not smoothing:
        check(ops.nll_loss, F.nll_loss, x, TARGETS, reduction=reduction)


@pytest.mark.parametrize("label", [5, -1])
def test_labels_out_of_range(label: int) -> None:
    with pytest.raises(IndexError):
        ops.cross_entropy(ops.zeros(1, 5), tensor([label])).item()


def test_bad_targets() -> None:
    x = ops.zeros(2, 5)
    with pytest.raises(TypeError, match="class numbers must be integers"):
        ops.cross_entropy(x, tensor([float("nan"), 1.0]))
    with pytest.raises(ValueError, match="does not fit"):
        ops.cross_entropy(x, tensor([1, 2, 3]))
    with pytest.raises(ValueError, match="no such reduction"):
        ops.mse_loss(x, x, reduction="average")
    with pytest.warns(UserWarning, match="broadcast"):
        ops.mse_loss(x, ops.zeros(5))


def test_normalization() -> None:
    x = randn(3, 4, 5)
    check(ops.layer_norm, F.layer_norm, x, (5,), positive(5), randn(5))
    check(ops.layer_norm, F.layer_norm, x, (4, 5))
    check(ops.layer_norm, F.layer_norm, x, (5,), positive(5))
    check(ops.rms_norm, F.rms_norm, x, (5,), positive(5), rtol=1e-4)
    check(ops.group_norm, F.group_norm, x, 2, positive(4), randn(4))
    check(ops.instance_norm, F.instance_norm, x, rtol=1e-4)
    check(ops.batch_norm, F.batch_norm, x, randn(4), positive(4), positive(4), randn(4), grad=False)
    check(ops.normalize, F.normalize, x, dim=2)
    check(ops.normalize, F.normalize, x, p=1.0)
    check(ops.local_response_norm, F.local_response_norm, randn(1, 6, 4), 3)
    check(ops.cosine_similarity, F.cosine_similarity, x, randn(3, 4, 5))
    check(ops.pairwise_distance, F.pairwise_distance, randn(3, 4), randn(3, 4))


def test_batch_norm_training() -> None:
    x = randn(4, 3, 2, 2)

    def normalized(function: Any) -> Any:
        return lambda x, w, b: function(x, None, None, w, b, training=True)

    check(normalized(ops.batch_norm), normalized(F.batch_norm), x, positive(3), randn(3), rtol=1e-4)
    mean, variance = tensor(np.zeros(3, np.float32)), tensor(np.ones(3, np.float32))
    their_mean, their_variance = torch.zeros(3), torch.ones(3)
    ops.batch_norm(tensor(x), mean, variance, training=True, momentum=0.3)
    F.batch_norm(torch.tensor(x), their_mean, their_variance, training=True, momentum=0.3)
    np.testing.assert_allclose(mean.numpy(), their_mean.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance.numpy(), their_variance.numpy(), rtol=1e-5, atol=1e-6)


def test_linear_layers() -> None:
    check(ops.linear, F.linear, randn(2, 3, 4), randn(5, 4), randn(5))
    check(ops.linear, F.linear, randn(4), randn(5, 4))
    check(ops.bilinear, F.bilinear, randn(2, 3), randn(2, 4), randn(5, 3, 4), randn(5))


CONVOLUTIONS: list[tuple[int, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    (1, (2, 3, 8), (4, 3, 3), {"stride": 2, "padding": 1}),
    (1, (3, 8), (4, 3, 3), {"padding": "same", "dilation": 2}),
    (2, (2, 4, 6, 5), (6, 2, 3, 2), {"stride": (2, 1), "padding": (1, 0), "groups": 2}),
    (2, (1, 2, 6, 6), (3, 2, 5, 3), {"padding": "same"}),
    (2, (1, 2, 6, 6), (3, 2, 3, 3), {"padding": "valid", "dilation": 2}),
    (3, (1, 2, 4, 4, 3), (2, 2, 2, 2, 2), {"padding": 1}),
]


@pytest.mark.parametrize("rank,x,w,options", CONVOLUTIONS)
def test_convolutions(rank: int, x: Any, w: Any, options: dict[str, Any]) -> None:
    arguments = (randn(*x), randn(*w), randn(w[0]))
    with np.errstate(all="ignore"):
        check(getattr(ops, f"conv{rank}d"), getattr(F, f"conv{rank}d"), *arguments, rtol=1e-4, **options)


def test_transposed_convolutions() -> None:
    check(ops.conv_transpose1d, F.conv_transpose1d, randn(2, 3, 4), randn(3, 2, 3), randn(2), stride=2, padding=1, output_padding=1)
    check(ops.conv_transpose2d, F.conv_transpose2d, randn(1, 4, 3, 3), randn(4, 2, 3, 2), stride=2, groups=2, dilation=(1, 2))
    check(ops.conv_transpose3d, F.conv_transpose3d, randn(1, 2, 2, 2, 2), randn(2, 1, 2, 2, 2), randn(1))


def test_folding() -> None:
    check(ops.unfold, F.unfold, randn(2, 3, 5, 6), (2, 3), padding=1, stride=2)
    check(ops.fold, F.fold, randn(2, 12, 12), (4, 5), (2, 2))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pooling(rank: int) -> None:
    x = randn(2, 3, *(7, 6, 5)[:rank])
    for options in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": 2, "stride": 2, "ceil_mode": True}):
        check(getattr(ops, f"max_pool{rank}d"), getattr(F, f"max_pool{rank}d"), x, **options)
        check(getattr(ops, f"avg_pool{rank}d"), getattr(F, f"avg_pool{rank}d"), x, **options)
        check(getattr(ops, f"avg_pool{rank}d"), getattr(F, f"avg_pool{rank}d"), x, count_include_pad=False, **options)
    check(getattr(ops, f"max_pool{rank}d"), getattr(F, f"max_pool{rank}d"), x, 3, stride=2, padding=1, ceil_mode=True, return_indices=True)
    for size in (1, 2, 3):
        check(getattr(ops, f"adaptive_avg_pool{rank}d"), getattr(F, f"adaptive_avg_pool{rank}d"), x, size)
        check(getattr(ops, f"adaptive_max_pool{rank}d"), getattr(F, f"adaptive_max_pool{rank}d"), x, size)
    check(getattr(ops, f"adaptive_max_pool{rank}d"), getattr(F, f"adaptive_max_pool{rank}d"), x, 2, return_indices=True)


def test_more_pooling() -> None:
    check(ops.max_pool2d, F.max_pool2d, randn(3, 6, 6), 2, dilation=2)
    check(ops.avg_pool2d, F.avg_pool2d, randn(1, 2, 6, 6), 3, divisor_override=5)
    check(ops.adaptive_avg_pool2d, F.adaptive_avg_pool2d, randn(1, 2, 6, 5), (None, 2))
    check(ops.lp_pool2d, F.lp_pool2d, positive(1, 2, 4, 4), 2, 2)


def test_embedding() -> None:
    index = np.array([[1, 0], [3, 1]])
    check(ops.embedding, F.embedding, index, randn(4, 3))
    check(ops.embedding, F.embedding, index, randn(4, 3), padding_idx=1)
    with pytest.raises(IndexError):
        ops.embedding(tensor([4]), ops.ones(4, 3)).tolist()
    with pytest.raises(IndexError):
        ops.embedding(tensor([-1]), ops.ones(4, 3)).tolist()


def test_attention() -> None:
    attention = ops.scaled_dot_product_attention
    q, k, v = randn(2, 2, 3, 4), randn(2, 2, 5, 4), randn(2, 2, 5, 6)
    check(attention, F.scaled_dot_product_attention, q, k, v)
    check(attention, F.scaled_dot_product_attention, q, k, v, is_causal=True)
    check(attention, F.scaled_dot_product_attention, q, k, v, scale=0.3)
    check(attention, F.scaled_dot_product_attention, q, k, v, attn_mask=np.tri(3, 5, 2).astype(bool))
    check(attention, F.scaled_dot_product_attention, q, k, v, attn_mask=randn(3, 5))
    check(attention, F.scaled_dot_product_attention, randn(1, 4, 3, 4), randn(1, 2, 5, 4), randn(1, 2, 5, 4), enable_gqa=True)


def test_attention_in_one_kernel() -> None:
    """Sizes that the kernel takes."""
    attention = ops.scaled_dot_product_attention
    q, k, v = randn(2, 2, 40, 8), randn(2, 2, 50, 8), randn(2, 2, 50, 6)
    mask = np.random.default_rng(0).random((2, 1, 40, 50)) < 0.5
    mask[1, 0, 3] = False
    for options in (
        {},
        {"is_causal": True},
        {"scale": 0.3},
        {"attn_mask": mask},
        {"attn_mask": randn(40, 50)},
        {"attn_mask": mask[:, :, :1]},
    ):
        check(attention, F.scaled_dot_product_attention, q, k, v, grad=False, **options)
    check(attention, F.scaled_dot_product_attention, *[randn(1, 4, 70, 8) for _ in range(3)], is_causal=True, atol=1e-4)
    check(attention, F.scaled_dot_product_attention, randn(40, 8), randn(50, 8), randn(50, 8), grad=False)
    check(
        attention, F.scaled_dot_product_attention, randn(1, 4, 40, 8), randn(1, 2, 50, 8), randn(1, 2, 50, 8), grad=False, enable_gqa=True
    )


def test_padding_and_resampling() -> None:
    for pad in ((1, 2), (1, 2, 0, 1), (-1, 1), (0, -2, 1, 1)):
        check(ops.pad, F.pad, randn(2, 3, 4, 5), pad, value=2.0)
    for mode in ("reflect", "replicate", "circular"):
        check(ops.pad, F.pad, randn(2, 3, 4, 5), (1, 2, 2, 1), mode=mode)
    check(ops.pixel_shuffle, F.pixel_shuffle, randn(1, 8, 2, 3), 2)
    check(ops.pixel_unshuffle, F.pixel_unshuffle, randn(1, 2, 4, 6), 2)
    check(ops.channel_shuffle, F.channel_shuffle, randn(1, 4, 2, 2), 2, grad=False)
    x = randn(1, 2, 4, 5)
    for options in ({"size": (7, 3)}, {"scale_factor": 2.0}, {"scale_factor": (1.5, 0.6)}):
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area"):
            if mode == "area" and "scale_factor" in options:
                continue
            check(ops.interpolate, F.interpolate, x, mode=mode, rtol=1e-4, **options)
    check(ops.interpolate, F.interpolate, x, size=(7, 3), mode="bilinear", align_corners=True)
    check(ops.interpolate, F.interpolate, randn(1, 2, 5), size=8, mode="linear")
    check(ops.interpolate, F.interpolate, randn(1, 1, 2, 3, 2), scale_factor=2, mode="trilinear")
