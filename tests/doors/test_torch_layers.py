"""Activation, padding, pooling, normalisation, convolution and resampling layers against PyTorch's: values, gradients, states, texts."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import assert_close, check_module, copy_weights, randn, torch
from trine import nn
from trine.autograd import gradcheck

Row = tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]

ACTIVATIONS: list[Row] = [
    ("Threshold", (0.1, 9.0), {}, (3, 4)),
    ("RReLU", (0.2, 0.2), {}, (3, 4)),
    ("Hardsigmoid", (), {}, (3, 4)),
    ("Hardswish", (), {}, (3, 4)),
    ("Mish", (), {}, (3, 4)),
    ("CELU", (0.7,), {}, (3, 4)),
    ("SELU", (), {}, (3, 4)),
    ("GLU", (), {"dim": 0}, (4, 3)),
    ("Hardshrink", (0.4,), {}, (3, 4)),
    ("Softshrink", (), {}, (3, 4)),
    ("LogSigmoid", (), {}, (3, 4)),
    ("Softsign", (), {}, (3, 4)),
    ("Tanhshrink", (), {}, (3, 4)),
    ("Softmin", (), {"dim": 1}, (3, 4)),
    ("Softmax2d", (), {}, (2, 3, 2, 2)),
    ("Softmax2d", (), {}, (3, 2, 2)),
    ("PReLU", (), {}, (3, 4)),
    ("PReLU", (4,), {"init": 0.1}, (3, 4, 2)),
]
PADDINGS: list[Row] = [
    (f"{kind}Pad{rank}d", (padding, *((2.5,) if kind == "Constant" else ())), {}, (2, 3, *(4, 5, 3)[:rank]))
    for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
    for rank in (1, 2, 3)
    for padding in (1, (2, 1, 0, 2, 1, 1)[: 2 * rank])
]
POOLING: list[Row] = [
    ("MaxPool1d", (3,), {"return_indices": True, "stride": 2}, (2, 3, 9)),
    ("AdaptiveAvgPool3d", ((2, None, 3),), {}, (1, 2, 4, 3, 5)),
    ("AdaptiveMaxPool1d", (3,), {}, (1, 2, 7)),
    ("AdaptiveMaxPool2d", ((3, 2),), {}, (2, 5, 4)),
    ("AdaptiveMaxPool3d", (2,), {}, (1, 2, 4, 3, 5)),
    ("LPPool1d", (2, 3), {"ceil_mode": True, "stride": 2}, (1, 2, 8)),
    ("LPPool2d", (4.0, 2), {}, (1, 2, 5, 4)),
    ("LPPool3d", (2, (1, 2, 2)), {}, (1, 2, 2, 4, 4)),
]
NORMALIZATION: list[Row] = [
    ("BatchNorm1d", (4,), {"track_running_stats": False, "affine": False}, (5, 4)),
    ("BatchNorm1d", (4,), {}, (0, 4)),
    ("SyncBatchNorm", (3,), {}, (4, 3, 2)),
    ("InstanceNorm1d", (3,), {}, (2, 3, 5)),
    ("InstanceNorm1d", (3,), {"affine": True}, (3, 5)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, (2, 3, 4, 5)),
    ("InstanceNorm3d", (2,), {"eps": 1e-3, "momentum": 0.3, "track_running_stats": True}, (2, 2, 3, 2, 2)),
    ("GroupNorm", (2, 4), {}, (3, 4)),
    ("GroupNorm", (2, 6), {"affine": False, "eps": 1e-3}, (2, 6, 3, 2)),
    ("GroupNorm", (1, 2), {"bias": False}, (2, 2, 3)),
    ("RMSNorm", (5,), {}, (3, 5)),
    ("RMSNorm", ((2, 3),), {"eps": 1e-2, "elementwise_affine": False}, (4, 2, 3)),
    ("LocalResponseNorm", (3,), {"alpha": 0.5, "k": 2.0}, (2, 5, 4)),
    ("LocalResponseNorm", (2,), {}, (2, 5, 2, 3)),
]
CONVOLUTIONS: list[Row] = [
    ("Conv3d", (2, 4, (1, 2, 3)), {"groups": 2, "dilation": (1, 2, 1), "padding": (0, 1, 1)}, (1, 2, 3, 5, 4)),
    ("Conv3d", (2, 2, 3), {"padding": 1, "padding_mode": "replicate"}, (1, 2, 3, 3, 3)),
    ("Conv1d", (2, 2, 4), {"padding": "same", "padding_mode": "reflect"}, (1, 2, 7)),
    ("ConvTranspose1d", (2, 4, 3), {"stride": 2, "groups": 2, "output_padding": 1}, (2, 2, 5)),
    ("ConvTranspose2d", (3, 2, 3), {"stride": 2, "padding": 1, "bias": False}, (2, 3, 4, 3)),
    ("ConvTranspose2d", (2, 2, 2), {"dilation": 3, "output_padding": 2}, (1, 2, 3, 3)),
    ("ConvTranspose2d", (2, 2, 2), {"padding": 1, "dilation": (3, 1), "stride": (1, 2), "output_padding": (2, 1)}, (2, 3, 3)),
    ("ConvTranspose3d", (2, 3, 2), {"stride": (1, 2, 1)}, (1, 2, 2, 3, 2)),
]
OTHERS: list[Row] = [
    ("Upsample", (), {"scale_factor": 2}, (1, 2, 3, 4)),
    ("Upsample", (), {"size": (5, 7), "mode": "bilinear"}, (1, 2, 3, 4)),
    ("Upsample", (), {"scale_factor": (1.5, 2.0), "mode": "bicubic", "align_corners": True}, (1, 2, 4, 4)),
    ("Upsample", (), {"scale_factor": 1.5, "mode": "linear", "recompute_scale_factor": True}, (1, 2, 5)),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, (1, 2, 3, 4)),
    ("UpsamplingBilinear2d", ((4, 5),), {}, (1, 2, 3, 4)),
    ("PixelShuffle", (2,), {}, (1, 8, 2, 3)),
    ("PixelUnshuffle", (2,), {}, (1, 2, 4, 6)),
    ("ChannelShuffle", (2,), {}, (1, 6, 3)),
    ("Unfold", ((2, 3),), {"padding": 1, "stride": 2}, (2, 3, 5, 6)),
    ("Fold", ((4, 5), 2), {"padding": 1}, (1, 8, 30)),
    ("Dropout1d", (0.0,), {}, (2, 3, 4)),
    ("Dropout2d", (0.0,), {"inplace": False}, (2, 3, 4, 4)),
    ("Dropout3d", (0.0,), {}, (2, 3, 2, 2, 2)),
    ("AlphaDropout", (0.0,), {}, (2, 3)),
    ("FeatureAlphaDropout", (0.0,), {}, (2, 3, 4)),
]
LAYERS = ACTIVATIONS + PADDINGS + POOLING + NORMALIZATION + CONVOLUTIONS + OTHERS


def both(name: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    return getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("name,args,options,shape", LAYERS, ids=[f"{row[0]}-{i}" for i, row in enumerate(LAYERS)])
def test_layer(name: str, args: Any, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    ours, theirs = both(name, *args, **options)
    assert repr(ours) == repr(theirs)
    x = randn(*shape)
    if options.get("return_indices"):
        for mine, other in zip(ours(trine.tensor(x)), theirs(torch.tensor(x)), strict=True):
            assert_close(mine, other)
    elif 0 in shape:
        copy_weights(ours, theirs)
        assert ours(trine.tensor(x)).shape == theirs(torch.tensor(x)).shape
        assert ours.running_mean.tolist() == theirs.running_mean.tolist()
    else:
        check_module(ours, theirs, x)


@pytest.mark.parametrize(
    "name,args",
    [("Threshold", (0.1, 2.0)), ("RReLU", ()), ("SELU", ()), ("CELU", ()), ("Mish", ()), ("Hardswish", ()), ("Hardsigmoid", ())]
    + [(name, (0.5,)) for name in ("Dropout1d", "AlphaDropout", "FeatureAlphaDropout")],
)
def test_in_place_layers(name: str, args: tuple[Any, ...]) -> None:
    ours, theirs = both(name, *args, inplace=True)
    assert "inplace=True" in repr(ours)
    x = trine.tensor(randn(2, 3, 4))
    y = torch.tensor(x.numpy().copy())
    found = ours.eval()(x)
    assert_close(found, theirs.eval()(y))
    assert_close(x, y)
    x = trine.tensor(randn(2, 3, 4))
    assert ours.train()(x) is x


@pytest.mark.parametrize("args", [(3, 0.5), (4, 0.3, 0.75, 2), (1,)])
def test_normalization_of_torch_7(args: tuple[Any, ...]) -> None:
    ours, theirs = both("CrossMapLRN2d", *args)
    assert repr(ours) == repr(theirs)
    x = randn(2, 7, 2, 3)
    assert_close(ours(trine.tensor(x)), theirs(torch.tensor(x)))
    # The gradient that PyTorch returns is not that of its forward pass; ours is.
    layer = nn.CrossMapLRN2d(3, alpha=0.5)
    gradcheck(lambda x: layer(x), (trine.tensor(x[:1, :5], dtype=trine.float64, requires_grad=True),))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling_is_a_partial_inverse(rank: int) -> None:
    x = randn(2, 3, *(6, 4, 4)[:rank])
    size = (*x.shape[:-1], x.shape[-1] + 1)
    results = []
    for lib, tensor in ((trine, trine.tensor), (torch, torch.tensor)):
        leaf = tensor(x, requires_grad=True)
        values, places = getattr(lib.nn, f"MaxPool{rank}d")(2, return_indices=True)(leaf)
        unpool = getattr(lib.nn, f"MaxUnpool{rank}d")(2)
        plain, larger = unpool(values, places), unpool(values, places, output_size=size)
        (plain * plain).sum().backward()
        results.append((plain, larger, leaf.grad, repr(unpool)))
    assert results[0][-1] == results[1][-1]
    for mine, other in zip(results[0][:-1], results[1][:-1], strict=True):
        assert_close(mine, other)
    unpool = getattr(nn, f"MaxUnpool{rank}d")(2)
    with pytest.raises(ValueError, match="no pooling leads"):
        unpool(values := trine.ones(1, 1, *(2,) * rank), values.long(), output_size=(9,) * rank)
    with pytest.raises(IndexError):
        unpool(values, values.long() * 1000).tolist()


@pytest.mark.parametrize("rank", [2, 3])
def test_fractional_pooling_with_given_places(rank: int) -> None:
    x, samples = randn(2, 3, *(9, 8, 7)[:rank]), np.random.default_rng(0).random((2, 3, rank), np.float32)
    layers = []
    for lib, tensor in ((trine, trine.tensor), (torch, torch.tensor)):
        layer = getattr(lib.nn, f"FractionalMaxPool{rank}d")(
            (2, 3, 2)[:rank], output_size=4, return_indices=True, _random_samples=tensor(samples)
        )
        leaf = tensor(x, requires_grad=True)
        values, places = layer(leaf)
        values.sum().backward()
        layers.append((values, places, leaf.grad))
    for mine, other in zip(*layers, strict=True):
        assert_close(mine, other)
    drawn = getattr(nn, f"FractionalMaxPool{rank}d")(2, output_ratio=0.5)(trine.tensor(x[0]))
    assert tuple(drawn.shape) == (3, *(n // 2 for n in x.shape[2:]))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_convolution_to_a_size(rank: int) -> None:
    ours, theirs = both(f"ConvTranspose{rank}d", 2, 3, 3, stride=3, padding=1)
    copy_weights(ours, theirs)
    x = randn(1, 2, *(3,) * rank)
    for size in ((8,) * rank, (1, 3, *(9,) * rank)):
        assert_close(ours(trine.tensor(x), output_size=size), theirs(torch.tensor(x), output_size=list(size)))
    with pytest.raises(ValueError, match="output_size"):
        ours(trine.tensor(x), output_size=(20,) * rank)


def test_statistics_that_are_switched_off_later() -> None:
    ours, theirs = both("BatchNorm2d", 3)
    x = randn(2, 3, 4, 4)
    for layer in (ours, theirs):
        layer.track_running_stats = False
    for training in (True, False):
        assert_close(ours.train(training)(trine.tensor(x)), theirs.train(training)(torch.tensor(x)))
        assert_close(ours.running_var, theirs.running_var)
    for layer in (ours, theirs):
        layer.track_running_stats, layer.running_mean, layer.running_var = True, None, None
    assert_close(ours.eval()(trine.tensor(x)), theirs.eval()(torch.tensor(x)))


def test_converting_batch_normalization() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))
    weight = model[1][0].weight
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert converted is model and type(model[1][0]) is nn.SyncBatchNorm and model[1][0].weight is weight
    assert model(trine.ones(2, 2, 3, 3)).shape == (2, 3, 3, 3)
    assert type(nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm1d(2))) is nn.SyncBatchNorm


def test_copies_keep_options() -> None:
    for layer in (nn.Hardtanh(-2, 3), nn.MaxUnpool2d(2), nn.ConvTranspose1d(2, 2, 3), nn.GroupNorm(1, 2)):
        again = copy.deepcopy(layer)
        assert repr(again) == repr(layer) and list(again.state_dict()) == list(layer.state_dict())


def test_subclasses_use_the_parts_that_programs_use() -> None:
    class Standardized(nn.Conv2d):
        def forward(self, input: Any) -> Any:
            return self._conv_forward(input, self.weight - self.weight.mean(), self.bias)

    class Scaled(nn.modules.batchnorm._BatchNorm):
        def _check_input_dim(self, input: Any) -> None:
            if input.dim() != 4:
                raise ValueError(f"expected 4D input (got {input.dim()}D input)")

    assert Standardized(2, 3, 3, padding=1, padding_mode="reflect")(trine.ones(1, 2, 4, 4)).shape == (1, 3, 4, 4)
    assert Scaled(2)(trine.ones(2, 2, 3, 3)).shape == (2, 2, 3, 3)
    with pytest.raises(ValueError, match="4D"):
        Scaled(2)(trine.ones(2, 2))


@pytest.mark.parametrize(
    "module,names",
    [
        ("conv", "_ConvNd _ConvTransposeNd Conv2d ConvTranspose1d"),
        ("batchnorm", "_BatchNorm _NormBase BatchNorm1d SyncBatchNorm"),
        ("instancenorm", "_InstanceNorm InstanceNorm3d"),
        ("normalization", "LayerNorm GroupNorm RMSNorm LocalResponseNorm CrossMapLRN2d"),
        ("activation", "ReLU PReLU Softmax2d Hardswish"),
        ("pooling", "_MaxPoolNd _AvgPoolNd _AdaptiveAvgPoolNd _AdaptiveMaxPoolNd _MaxUnpoolNd _LPPoolNd MaxPool2d"),
        ("padding", "_ReflectionPadNd _ConstantPadNd _ReplicationPadNd _CircularPadNd ZeroPad2d"),
        ("dropout", "_DropoutNd Dropout"),
        ("upsampling", "Upsample UpsamplingNearest2d"),
        ("pixelshuffle", "PixelShuffle PixelUnshuffle"),
        ("channelshuffle", "ChannelShuffle"),
        ("fold", "Fold Unfold"),
        ("flatten", "Flatten Unflatten"),
        ("linear", "Linear Identity"),
        ("container", "Sequential ModuleList ModuleDict ParameterList"),
        ("module", "Module"),
        ("loss", "CrossEntropyLoss"),
        ("sparse", "Embedding"),
        ("utils", "_single _pair _triple _quadruple _ntuple _reverse_repeat_tuple consume_prefix_in_state_dict_if_present"),
    ],
)
def test_module_paths(module: str, names: str) -> None:
    found, theirs = importlib.import_module(f"trine.nn.modules.{module}"), importlib.import_module(f"torch.nn.modules.{module}")
    assert getattr(nn.modules, module) is found
    for name in names.split():
        assert hasattr(theirs, name) and callable(getattr(found, name))
        if not name.startswith("_") and module != "utils":
            assert getattr(found, name) is getattr(nn, name) is getattr(nn.modules, name)
            assert name in found.__all__
    with pytest.raises(AttributeError):
        _ = found.NoSuchLayer


def test_every_layer_is_where_pytorch_has_it() -> None:
    for name in nn.__all__:
        theirs = getattr(torch.nn, name, None)
        place = getattr(theirs, "__module__", "") or ""
        if isinstance(theirs, type) and place.startswith("torch.nn.modules."):
            module = importlib.import_module(place.replace("torch", "trine", 1))
            assert getattr(module, name) is getattr(nn, name) and name in module.__all__, f"{place}.{name}"


@pytest.mark.parametrize(
    "make,error,text",
    [
        (lambda: nn.Threshold(1.0), TypeError, "value"),
        (lambda: nn.Hardtanh(1.0, -1.0), ValueError, "interval"),
        (lambda: nn.Dropout2d(1.5), ValueError, "probability"),
        (lambda: nn.ReflectionPad2d((1, 2, 3)), ValueError, "padding"),
        (lambda: nn.ReflectionPad1d(1)(trine.ones(2, 2, 3, 3)), ValueError, "input"),
        (lambda: nn.ReflectionPad1d(3)(trine.ones(1, 2, 3)), RuntimeError, "reflects more"),
        (lambda: nn.ConvTranspose2d(2, 2, 3, padding_mode="reflect"), ValueError, "padding_mode"),
        (lambda: nn.ConvTranspose2d(2, 2, 3, output_padding=1)(trine.ones(1, 2, 4, 4)), RuntimeError, "output_padding"),
        (lambda: nn.ConvTranspose1d(2, 2, 1, padding=3)(trine.ones(1, 2, 2)), RuntimeError, "empty"),
        (lambda: nn.GroupNorm(2, 3), ValueError, "divisible"),
        (lambda: nn.GroupNorm(2, 2)(trine.ones(1, 2)), ValueError, "one value"),
        (lambda: nn.InstanceNorm1d(3)(trine.ones(3)), ValueError, "input"),
        (lambda: nn.InstanceNorm1d(3, affine=True)(trine.ones(2, 4, 5)), ValueError, "channels"),
        (lambda: nn.InstanceNorm2d(3)(trine.ones(2, 3, 1, 1)), ValueError, "one element"),
        (lambda: nn.LocalResponseNorm(2)(trine.ones(3, 3)), ValueError, "axes"),
        (lambda: nn.Softmax2d()(trine.ones(3)), ValueError, "axes"),
        (lambda: nn.FractionalMaxPool2d(2), ValueError, "output_size or output_ratio"),
        (lambda: nn.FractionalMaxPool2d(2, output_ratio=1.5), ValueError, "output_ratio"),
        (lambda: nn.FractionalMaxPool2d(3, output_size=4)(trine.ones(1, 1, 4, 4)), RuntimeError, "do not fit"),
        (lambda: nn.Upsample(size=3, mode="linear")(trine.ones(1, 1, 3, 3)), NotImplementedError, "does not fit"),
        (lambda: nn.Unflatten("C", (2, 3)), TypeError, "dim"),
        (lambda: nn.AdaptiveAvgPool2d((1, 2, 3))(trine.ones(1, 1, 4, 4)), ValueError, "output_size"),
    ],
)
def test_errors(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_states_without_a_count_of_batches_load() -> None:
    layer, older = (
        nn.BatchNorm1d(2),
        {"weight": trine.ones(2) * 3, "bias": trine.ones(2), "running_mean": trine.ones(2), "running_var": trine.ones(2)},
    )
    layer.load_state_dict(older)
    assert layer.weight.tolist() == [3.0, 3.0] and layer.num_batches_tracked.item() == 0
    with pytest.raises(RuntimeError, match="weight"):
        layer.load_state_dict({name: value for name, value in older.items() if name != "weight"})


LAZY = ["BatchNorm", "InstanceNorm", "Conv", "ConvTranspose"]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", LAZY)
def test_lazy_layer(kind: str, rank: int) -> None:
    args: tuple[int, ...] = (6, 2) if "Conv" in kind else ()
    options = {"groups": 2} if "Conv" in kind else {"affine": True, "track_running_stats": True}
    ours, theirs = both(f"Lazy{kind}{rank}d", *args, **options)
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    x = randn(2, 4, *(5, 4, 3)[:rank])
    with pytest.raises(RuntimeError):
        _ = ours.weight.shape
    ours(trine.tensor(x))
    theirs(torch.tensor(x))
    assert repr(ours) == repr(theirs) and type(ours) is getattr(nn, f"{kind}{rank}d")
    check_module(ours, theirs, x)
    again = getattr(nn, f"Lazy{kind}{rank}d")(*args, **options)
    again.load_state_dict(ours.state_dict())
    assert again.weight.shape == ours.weight.shape


def test_lazy_layers_check_their_input() -> None:
    with pytest.raises(RuntimeError, match="divisible"):
        nn.LazyConv1d(4, 1, groups=2)(trine.ones(1, 3, 4))
    with pytest.raises(RuntimeError, match="input"):
        nn.LazyConv2d(4, 1)(trine.ones(3, 4))


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear(bias: bool) -> None:
    ours, theirs = both("Bilinear", 3, 4, 2, bias=bias)
    assert repr(ours) == repr(theirs)
    check_module(ours, theirs, randn(5, 2, 3), randn(5, 2, 4))
    with pytest.raises(ValueError, match="in1_features"):
        nn.Bilinear(0, 1, 1)
