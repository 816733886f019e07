"""Layers against PyTorch's: values, gradients, states, names, texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import RNG, check_module, randn, torch
from trine import nn

LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("Identity", (), {}, (2, 3)),
    ("Linear", (5, 4), {}, (3, 5)),
    ("Linear", (5, 4), {"bias": False}, (2, 3, 5)),
    ("Linear", (5, 4), {}, (5,)),
    ("Conv1d", (2, 4, 3), {}, (2, 2, 9)),
    ("Conv1d", (4, 4, 3), {"padding": "same", "groups": 2, "dilation": 2}, (2, 4, 9)),
    ("Conv1d", (2, 3, 2), {"padding": 1, "padding_mode": "circular"}, (2, 2, 6)),
    ("Conv2d", (2, 4, 3), {"stride": 2, "padding": 1}, (2, 2, 7, 6)),
    ("Conv2d", (2, 4, (3, 2)), {"bias": False, "padding": (1, 0)}, (2, 2, 6, 5)),
    ("Conv2d", (4, 4, 3), {"groups": 4, "padding": "valid"}, (1, 4, 6, 5)),
    ("Conv2d", (2, 3, 3), {"padding": (1, 2), "padding_mode": "reflect"}, (2, 2, 5, 6)),
    ("Conv2d", (2, 3, 3), {"padding": "same", "padding_mode": "replicate"}, (2, 2, 5, 6)),
    ("Conv2d", (2, 3, 2), {"padding": "same", "padding_mode": "reflect"}, (2, 2, 5, 6)),
    ("Conv3d", (2, 3, 2), {"stride": (1, 2, 1)}, (1, 2, 4, 5, 4)),
    ("BatchNorm1d", (4,), {}, (5, 4)),
    ("BatchNorm1d", (4,), {"momentum": 0.3, "eps": 1e-3}, (3, 4, 5)),
    ("BatchNorm2d", (3,), {}, (2, 3, 4, 5)),
    ("BatchNorm2d", (3,), {"affine": False}, (2, 3, 4, 5)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (2, 3, 4, 5)),
    ("BatchNorm2d", (3,), {"momentum": None}, (2, 3, 4, 5)),
    ("BatchNorm3d", (2,), {}, (2, 2, 3, 2, 3)),
    ("LayerNorm", (6,), {}, (3, 6)),
    ("LayerNorm", ((3, 4),), {"eps": 1e-3}, (2, 3, 4)),
    ("LayerNorm", (6,), {"bias": False}, (3, 6)),
    ("LayerNorm", (6,), {"elementwise_affine": False}, (3, 6)),
    ("ReLU", (), {}, (3, 4)),
    ("ReLU6", (), {}, (3, 4)),
    ("GELU", (), {}, (3, 4)),
    ("GELU", (), {"approximate": "tanh"}, (3, 4)),
    ("Sigmoid", (), {}, (3, 4)),
    ("Tanh", (), {}, (3, 4)),
    ("SiLU", (), {}, (3, 4)),
    ("ELU", (0.7,), {}, (3, 4)),
    ("LeakyReLU", (0.2,), {}, (3, 4)),
    ("LeakyReLU", (), {}, (3, 4)),
    ("Softplus", (2.0,), {}, (3, 4)),
    ("Hardtanh", (-0.5, 0.7), {}, (3, 4)),
    ("Softmax", (), {"dim": 1}, (3, 4)),
    ("LogSoftmax", (0,), {}, (3, 4)),
    ("MaxPool1d", (2,), {}, (1, 2, 8)),
    ("MaxPool2d", (2,), {}, (2, 2, 6, 6)),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (1, 2, 6, 7)),
    ("MaxPool2d", ((2, 3),), {"dilation": (2, 1)}, (1, 2, 6, 7)),
    ("MaxPool3d", (2,), {}, (1, 2, 4, 4, 4)),
    ("AvgPool1d", (2,), {}, (1, 2, 8)),
    ("AvgPool2d", (2,), {"padding": 1}, (1, 2, 6, 6)),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False, "ceil_mode": True}, (1, 2, 6, 6)),
    ("AvgPool2d", (2,), {"divisor_override": 3}, (1, 2, 6, 6)),
    ("AvgPool3d", (2,), {}, (1, 2, 4, 4, 4)),
    ("AdaptiveAvgPool1d", (3,), {}, (1, 2, 7)),
    ("AdaptiveAvgPool2d", (1,), {}, (2, 3, 4, 5)),
    ("AdaptiveAvgPool2d", ((3, 2),), {}, (2, 3, 5, 4)),
    ("AdaptiveAvgPool2d", ((None, 2),), {}, (2, 3, 5, 4)),
    ("AdaptiveMaxPool2d", ((2, 2),), {}, (2, 3, 5, 4)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0, 1), {}, (2, 3, 4)),
    ("Unflatten", (1, (2, 3)), {}, (2, 6)),
    ("Unflatten", (-1, (2, -1)), {}, (2, 6)),
    ("Dropout", (0.0,), {}, (2, 6)),
]


@pytest.mark.parametrize("name,args,options,shape", LAYERS, ids=[f"{row[0]}-{i}" for i, row in enumerate(LAYERS)])
def test_layer(name: str, args: Any, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    check_module(ours, theirs, randn(*shape))
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", ["ReLU", "ReLU6", "SiLU", "ELU", "LeakyReLU", "Hardtanh", "Dropout"])
def test_inplace(name: str) -> None:
    options = {"p": 0.0} if name == "Dropout" else {}
    ours, theirs = getattr(nn, name)(inplace=True, **options), getattr(torch.nn, name)(inplace=True, **options)
    assert repr(ours) == repr(theirs)
    values = randn(2, 3)
    x, y = trine.tensor(values), torch.tensor(values)
    assert ours(x) is x
    theirs(y)
    np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-5, atol=1e-6)


def test_embedding() -> None:
    ids = np.array([[1, 0, 3], [3, 3, 2]])
    for options in ({}, {"padding_idx": 3}, {"padding_idx": -1}):
        ours, theirs = nn.Embedding(4, 5, **options), torch.nn.Embedding(4, 5, **options)
        assert repr(ours) == repr(theirs)
        check_module(ours, theirs, ids)
    table = randn(3, 2)
    ours, theirs = nn.Embedding.from_pretrained(trine.tensor(table)), torch.nn.Embedding.from_pretrained(torch.tensor(table))
    assert ours.weight.requires_grad == theirs.weight.requires_grad
    np.testing.assert_allclose(ours(trine.tensor([2])).numpy(), theirs(torch.tensor([2])).numpy())


def network(library: Any) -> Any:
    """A network that has a bit of everything."""
    return library.Sequential(
        library.Conv2d(1, 4, 3, padding=1, bias=False),
        library.BatchNorm2d(4),
        library.ReLU(),
        library.MaxPool2d(2),
        library.Sequential(library.Conv2d(4, 4, 3, groups=2), library.GELU()),
        library.AdaptiveAvgPool2d(2),
        library.Flatten(),
        library.ModuleList([library.Linear(16, 8)])[0],
        library.LayerNorm(8),
        library.Dropout(0.0),
        library.Linear(8, 3),
        library.LogSoftmax(dim=-1),
    )


def test_network() -> None:
    ours, theirs = network(nn), network(torch.nn)
    assert repr(ours) == repr(theirs)
    check_module(ours, theirs, randn(3, 1, 8, 8))
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert [n for n, _ in ours.named_children()] == [n for n, _ in theirs.named_children()]
    assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]


def test_state_goes_back_to_torch() -> None:
    ours, theirs = network(nn), network(torch.nn)
    theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()})
    ours.eval()
    theirs.eval()
    x = randn(2, 1, 8, 8)
    np.testing.assert_allclose(ours(trine.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=2e-5, atol=2e-5)


def test_containers() -> None:
    def build(library: Any) -> Any:
        class Net(library.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.items = library.ModuleList([library.Linear(2, 2), library.Linear(2, 2)])
                self.named = library.ModuleDict({"a": library.Linear(2, 3), "b": library.ReLU()})
                self.scales = library.ParameterList([library.Parameter(torch.ones(2) if library is torch.nn else trine.ones(2))])
                self.register_buffer("offset", None)

            def forward(self, x: Any) -> Any:
                for layer in self.items:
                    x = layer(x) * self.scales[0]
                return self.named["b"](self.named["a"](x))

        return Net()

    ours, theirs = build(nn), build(torch.nn)
    assert repr(ours.items) == repr(theirs.items)
    assert repr(ours.named) == repr(theirs.named)
    check_module(ours, theirs, randn(3, 2))


LOSSES: list[tuple[str, dict[str, Any], str]] = [
    ("MSELoss", {}, "real"),
    ("L1Loss", {}, "real"),
    ("SmoothL1Loss", {"beta": 0.5}, "real"),
    ("HuberLoss", {"delta": 0.5}, "real"),
    ("KLDivLoss", {}, "probabilities"),
    ("CrossEntropyLoss", {}, "labels"),
    ("CrossEntropyLoss", {"label_smoothing": 0.2}, "labels"),
    ("CrossEntropyLoss", {"ignore_index": 2}, "labels"),
    ("CrossEntropyLoss", {"weight": [0.5, 2.0, 1.0]}, "labels"),
    ("CrossEntropyLoss", {"weight": [0.5, 2.0, 1.0], "ignore_index": 1, "label_smoothing": 0.1}, "labels"),
    ("CrossEntropyLoss", {}, "distribution"),
    ("CrossEntropyLoss", {"weight": [0.5, 2.0, 1.0], "label_smoothing": 0.1}, "distribution"),
    ("NLLLoss", {"weight": [0.5, 2.0, 1.0], "ignore_index": 0}, "labels"),
    ("BCEWithLogitsLoss", {}, "probabilities"),
    ("BCEWithLogitsLoss", {"weight": [0.5, 2.0, 1.0], "pos_weight": [1.0, 3.0, 0.5]}, "probabilities"),
    ("BCELoss", {"weight": [0.5, 2.0, 1.0]}, "unit"),
]


@pytest.mark.filterwarnings("ignore:reduction")  # of KLDivLoss, by PyTorch
@pytest.mark.parametrize("name,options,kind", LOSSES, ids=[f"{row[0]}-{i}" for i, row in enumerate(LOSSES)])
def test_loss(name: str, options: dict[str, Any], kind: str) -> None:
    x = randn(5, 3)
    distribution = RNG.dirichlet(np.ones(3), 5).astype(np.float32)
    target = {
        "real": randn(5, 3),
        "labels": np.array([0, 2, 1, 1, 2]),
        "distribution": distribution,
        "probabilities": distribution,
        "unit": RNG.uniform(0, 1, (5, 3)).astype(np.float32),
    }[kind]
    if kind == "unit":
        x = RNG.uniform(0.1, 0.9, (5, 3)).astype(np.float32)
    for reduction in ("mean", "sum", "none"):
        mine = {k: trine.tensor(v) if isinstance(v, list) else v for k, v in options.items()}
        other = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in options.items()}
        ours, theirs = getattr(nn, name)(reduction=reduction, **mine), getattr(torch.nn, name)(reduction=reduction, **other)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        a, b = trine.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        result, expected = ours(a, trine.tensor(target)), theirs(b, torch.tensor(target))
        np.testing.assert_allclose(result.detach().numpy(), expected.detach().numpy(), rtol=2e-5, atol=1e-5)
        result.sum().backward()
        expected.sum().backward()
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=5e-5, atol=1e-5)


def test_cross_entropy_of_images_and_of_one_example() -> None:
    x, y = randn(2, 3, 4, 4), RNG.integers(0, 3, (2, 4, 4))
    y[0, 0, 0] = -100
    ours, theirs = nn.CrossEntropyLoss()(trine.tensor(x), trine.tensor(y)), torch.nn.CrossEntropyLoss()(torch.tensor(x), torch.tensor(y))
    np.testing.assert_allclose(ours.item(), theirs.item(), rtol=1e-5)
    one = nn.CrossEntropyLoss()(trine.tensor(x[0, :, 0, 0]), trine.tensor(1))
    np.testing.assert_allclose(one.item(), torch.nn.CrossEntropyLoss()(torch.tensor(x[0, :, 0, 0]), torch.tensor(1)).item(), rtol=1e-5)


def test_initial_values_have_the_same_distribution() -> None:
    trine.manual_seed(0)
    torch.manual_seed(0)
    for name, args in (("Linear", (300, 200)), ("Conv2d", (20, 30, 5)), ("Embedding", (300, 100))):
        ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
        for key, value in theirs.state_dict().items():
            mine = ours.state_dict()[key].numpy()
            np.testing.assert_allclose(mine.std(), value.numpy().std(), rtol=0.3)
            np.testing.assert_allclose(np.abs(mine).max(), value.numpy().max(), rtol=0.2)


def test_same_public_signatures() -> None:
    """Arguments that both have stand in the same order, with the same defaults."""
    import inspect

    for name in (
        "Linear",
        "Conv1d",
        "Conv2d",
        "Conv3d",
        "BatchNorm2d",
        "LayerNorm",
        "Embedding",
        "CrossEntropyLoss",
        "MaxPool2d",
        "AvgPool2d",
    ):
        ours, theirs = (inspect.signature(getattr(library, name).__init__).parameters for library in (nn, torch.nn))
        shared = [p for p in theirs if p in ours and not p.startswith("_")]
        positional = [p for p in ours if p in shared]
        assert positional == shared, name
        for p in shared:
            assert ours[p].default == theirs[p].default, (name, p)
