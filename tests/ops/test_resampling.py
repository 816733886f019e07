"""Resampling, sampling at grids, and padding against PyTorch: values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from tests.ops.parity import RNG, check, randn, torch
from trine.nn import functional as F

TF = torch.nn.functional


@pytest.mark.parametrize(
    "shape,options",
    [
        ((1, 2, 5), {"size": 8, "mode": "linear"}),
        ((1, 2, 5), {"scale_factor": 0.7, "mode": "nearest"}),
        ((1, 2, 5), {"scale_factor": 1.7, "mode": "nearest-exact"}),
        ((1, 2, 4, 5), {"size": (7, 3), "mode": "bilinear", "align_corners": True}),
        ((1, 2, 4, 5), {"scale_factor": (1.3, 2.0), "mode": "bilinear"}),
        ((1, 2, 4, 5), {"scale_factor": 1.3, "mode": "bilinear", "recompute_scale_factor": True}),
        ((1, 2, 4, 5), {"size": (7, 3), "mode": "bicubic"}),
        ((1, 2, 4, 5), {"size": (1, 9), "mode": "bicubic", "align_corners": True}),
        ((1, 2, 6, 5), {"size": (4, 2), "mode": "area"}),
        ((1, 2, 6, 5), {"scale_factor": 0.5, "mode": "area"}),
        ((1, 2, 3, 4, 2), {"size": (4, 3, 5), "mode": "trilinear"}),
        ((2, 1, 9, 7), {"size": (4, 11), "mode": "bilinear", "antialias": True}),
        ((2, 1, 9, 7), {"size": (4, 3), "mode": "bilinear", "antialias": True, "align_corners": True}),
        ((2, 1, 9, 7), {"size": (5, 10), "mode": "bicubic", "antialias": True}),
        ((2, 1, 9, 7), {"scale_factor": (0.4, 0.6), "mode": "bicubic", "antialias": True}),
        ((2, 1, 9, 7), {"size": (4, 12), "mode": "lanczos", "antialias": True}),
    ],
)
def test_interpolate(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    check(F.interpolate, TF.interpolate, randn(*shape), rtol=1e-4, **options)


@pytest.mark.parametrize(
    "shape,options,error",
    [
        ((1, 1, 4), {}, ValueError),
        ((1, 1, 4), {"size": 2, "scale_factor": 2.0}, ValueError),
        ((1, 1, 4), {"size": (2, 2)}, ValueError),
        ((1, 1, 4), {"scale_factor": (2.0, 2.0)}, ValueError),
        ((1, 1, 4), {"size": 2, "align_corners": True}, ValueError),
        ((1, 1, 4), {"size": 2, "recompute_scale_factor": True}, ValueError),
        ((1, 1, 4), {"size": 2, "mode": "bilinear"}, NotImplementedError),
        ((1, 1, 4), {"size": 2, "mode": "linear", "antialias": True}, ValueError),
        ((1, 1, 4, 4), {"size": 2, "mode": "nearest", "antialias": True}, ValueError),
    ],
)
def test_bad_arguments_of_interpolate(shape: tuple[int, ...], options: dict[str, Any], error: type[Exception]) -> None:
    for function, tensor in ((F.interpolate, trine.ones(*shape)), (TF.interpolate, torch.ones(*shape))):
        with pytest.raises(error):
            function(tensor, **options)


def test_older_names() -> None:
    x = randn(1, 2, 3, 4)
    for name, options in (
        ("upsample", {"scale_factor": 2}),
        ("upsample_nearest", {"size": (4, 6)}),
        ("upsample_bilinear", {"size": (4, 6)}),
    ):
        with pytest.warns(UserWarning, match="deprecated"):
            check(getattr(F, name), getattr(TF, name), x, **options)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample_of_images(mode: str, padding_mode: str, align_corners: bool) -> None:
    grid = (RNG.random((2, 5, 4, 2), np.float32) - 0.5) * 5
    options = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    check(F.grid_sample, TF.grid_sample, randn(2, 3, 4, 6), grid, rtol=1e-3, atol=1e-4, **options)


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_grid_sample_of_volumes(padding_mode: str) -> None:
    grid = (RNG.random((1, 2, 3, 4, 3), np.float32) - 0.5) * 3
    for mode in ("bilinear", "nearest"):
        options = {"mode": mode, "padding_mode": padding_mode, "align_corners": False}
        check(F.grid_sample, TF.grid_sample, randn(1, 2, 3, 4, 2), grid, rtol=1e-3, atol=1e-4, **options)


def test_reflection_into_one_element() -> None:
    grid = (RNG.random((1, 3, 3, 2), np.float32) - 0.5) * 6
    options = {"padding_mode": "reflection", "align_corners": True}
    check(F.grid_sample, TF.grid_sample, randn(1, 2, 1, 3), grid, rtol=1e-3, atol=1e-4, **options)


@pytest.mark.parametrize("align_corners", [False, True])
def test_affine_grid(align_corners: bool) -> None:
    check(F.affine_grid, TF.affine_grid, randn(2, 2, 3), (2, 3, 4, 5), align_corners=align_corners)
    check(F.affine_grid, TF.affine_grid, randn(1, 3, 4), (1, 3, 2, 2 - (not align_corners), 3), align_corners=align_corners)


def test_grid_errors() -> None:
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        F.grid_sample(trine.ones(1, 1, 2, 2), trine.ones(2, 2, 2, 2))
    with pytest.raises(ValueError, match="mode"):
        F.grid_sample(trine.ones(1, 1, 2, 2), trine.ones(1, 2, 2, 2), mode="cubic")
    with pytest.raises(TypeError, match="dtypes"):
        F.grid_sample(trine.ones(1, 1, 2, 2), trine.ones(1, 2, 2, 2).double())
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        F.affine_grid(trine.ones(1, 2, 2), (1, 1, 2, 2))


@pytest.mark.parametrize(
    "shape,amounts,mode",
    [
        ((2, 3, 6), (-1, 2), "replicate"),
        ((2, 3, 6), (2, -1), "reflect"),
        ((2, 3, 6), (-1, 1), "circular"),
        ((1, 2, 5, 6), (-2, 1, 3, -1), "replicate"),
        ((1, 2, 5, 6), (-1, 1, -2, 1), "circular"),
        ((1, 2, 5, 6), (-1, 2, 1, -2), "constant"),
    ],
)
def test_negative_padding_crops(shape: tuple[int, ...], amounts: tuple[int, ...], mode: str) -> None:
    check(F.pad, TF.pad, randn(*shape), amounts, mode=mode)


def test_integer_averages_round_towards_zero() -> None:
    x = RNG.integers(-20, 20, (1, 2, 7))
    for options in ({}, {"padding": 1}, {"padding": 1, "count_include_pad": False}, {"ceil_mode": True}):
        check(F.avg_pool1d, TF.avg_pool1d, x, 3, **options)


def test_in_place_functions() -> None:
    for name, args in (
        ("relu_", ()),
        ("elu_", (0.5,)),
        ("selu_", ()),
        ("celu_", ()),
        ("leaky_relu_", (0.2,)),
        ("hardtanh_", ()),
        ("threshold_", (0.1, 5.0)),
    ):
        x = randn(3, 4)
        ours, theirs = trine.tensor(x), torch.tensor(x)
        assert getattr(F, name)(ours, *args) is ours
        getattr(TF, name)(theirs, *args)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6, atol=1e-6)
    x = trine.tensor(randn(8))
    assert F.rrelu_(x, training=True) is x


def test_dropout_masks_whole_channels() -> None:
    trine.manual_seed(0)
    for name, shape, channels in (
        ("dropout1d", (4, 50, 3), 2),
        ("dropout1d", (50, 3), 1),
        ("dropout2d", (4, 50, 2, 2), 2),
        ("dropout3d", (50, 1, 2, 2), 1),
        ("feature_alpha_dropout", (4, 50, 3), 2),
    ):
        y = getattr(F, name)(trine.ones(*shape), 0.5, True).numpy().reshape(*shape[:channels], -1)
        assert (y == y[..., :1]).all() and len(np.unique(y)) == 2
    assert F.alpha_dropout(trine.ones(5), 1.0, True).tolist() == [0.0] * 5
    with pytest.raises(ValueError):
        F.alpha_dropout(trine.ones(5), 1.5, True)
    with pytest.raises(RuntimeError):
        F.feature_alpha_dropout(trine.ones(5), 0.5, True)
