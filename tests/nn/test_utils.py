"""Limits on gradients, parametrizations, normalised weights, fusion and conversion, against PyTorch's."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import assert_close, assert_same_state, copy_weights, randn, torch
from trine import nn
from trine.nn.utils import parametrizations, parametrize

SHAPES = ((2, 3), (4,), ())


def with_gradients(scale: float = 1.0) -> tuple[list[Any], list[Any]]:
    ours, theirs = [], []
    for shape in SHAPES:
        gradient = np.asarray(randn(*shape) * scale)
        for found, lib, tensor in ((ours, trine, trine.tensor), (theirs, torch, torch.tensor)):
            p = lib.nn.Parameter(lib.zeros(shape))
            p.grad = tensor(gradient)
            found.append(p)
    ours.append(nn.Parameter(trine.zeros(3)))  # without a gradient
    return ours, theirs


# --- gradients ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_grad_norm(norm_type: float, max_norm: float) -> None:
    ours, theirs = with_gradients()
    gradients = [p.grad for p in ours]
    total = nn.utils.clip_grad_norm_(iter(ours), max_norm, norm_type)
    assert_close(total, torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type))
    for p, before, other in zip(ours, gradients, theirs, strict=False):
        assert p.grad is before
        assert_close(p.grad, other.grad)


def test_clip_grad_value_and_total_norm() -> None:
    ours, theirs = with_gradients(3.0)
    assert_close(nn.utils.get_total_norm([p.grad for p in ours[:-1]]), torch.nn.utils.get_total_norm([p.grad for p in theirs]))
    nn.utils.clip_grad_value_(ours, 0.5)
    torch.nn.utils.clip_grad_value_(theirs, 0.5)
    for p, other in zip(ours, theirs, strict=False):
        assert_close(p.grad, other.grad)
    nn.utils.clip_grad_value_(ours[0], 0.1)
    assert ours[0].grad.abs().max().item() == pytest.approx(0.1)
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0.0
    assert nn.utils.get_total_norm([trine.ones(0, 2), trine.tensor([3.0])]).item() == 3.0
    with pytest.warns(FutureWarning):
        nn.utils.clip_grad_norm(ours, 1.0)


def test_gradients_that_are_not_finite() -> None:
    p = nn.Parameter(trine.ones(2))
    p.grad = trine.tensor([1.0, math.nan])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert math.isnan(nn.utils.clip_grad_norm_([p], 1.0).item())


def test_clipping_in_a_training_step_makes_no_new_plans() -> None:
    from trine.tensor.state import automaton

    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    optimizer = trine.optim.SGD(model.parameters(), lr=0.1)
    for step in range(8):
        optimizer.zero_grad()
        model(trine.tensor(randn(3, 4))).pow(2).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0 + step)
        optimizer.step()
        if step == 3:
            before = automaton.info()["plans_built"]
    assert automaton.info()["plans_built"] == before


def test_parameters_as_a_vector() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (13,) and vector.requires_grad
    weight = model[0].weight
    nn.utils.vector_to_parameters(trine.arange(13.0), model.parameters())
    assert model[0].weight is weight and weight.requires_grad and weight.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert nn.utils.parameters_to_vector(model.parameters()).tolist() == list(range(13))
    with pytest.raises(TypeError):
        nn.utils.vector_to_parameters([1.0], model.parameters())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="too short"):
        nn.utils.vector_to_parameters(trine.ones(5), model.parameters())


# --- parametrizations -----------------------------------------------------------------------------------------------------------------


def symmetric(lib: Any) -> Any:
    class Symmetric(lib.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, a: Any) -> Any:
            return a.triu()

    return Symmetric()


def doubled(lib: Any) -> Any:
    class Doubled(lib.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = lib.nn.Parameter(lib.tensor(2.0))

        def forward(self, x: Any) -> Any:
            return x * self.factor

        def right_inverse(self, a: Any) -> Any:
            return a / self.factor

    return Doubled()


def parametrized(lib: Any) -> Any:
    layer = lib.nn.Linear(3, 3)
    lib.nn.utils.parametrize.register_parametrization(layer, "weight", symmetric(lib))
    lib.nn.utils.parametrize.register_parametrization(layer, "weight", doubled(lib))
    return layer


def test_parametrized_layer() -> None:
    ours, theirs = parametrized(trine), parametrized(torch)
    assert_same_names(ours, theirs)
    copy_weights(ours, theirs)
    x = randn(2, 3)
    results = []
    for layer, tensor in ((ours, trine.tensor), (theirs, torch.tensor)):
        layer(tensor(x)).sum().backward()
        results.append(layer)
    assert_close(ours.weight, theirs.weight)
    for p, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(p.grad, other.grad)
    value = randn(3, 3)
    ours.weight, theirs.weight = trine.tensor(value), torch.tensor(value)
    assert_close(ours.weight, theirs.weight)
    assert_same_state(ours, theirs)
    assert type(ours).__name__ == "ParametrizedLinear" and parametrize.type_before_parametrizations(ours) is nn.Linear
    assert isinstance(ours, nn.Linear) and parametrize.is_parametrized(ours, "weight") and not parametrize.is_parametrized(ours, "bias")


def assert_same_names(ours: Any, theirs: Any) -> None:
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert repr(ours) == repr(theirs)


def test_caching_copying_and_pickling() -> None:
    layer = parametrized(trine)
    assert layer.weight is not layer.weight
    with parametrize.cached(), parametrize.cached():
        assert layer.weight is layer.weight
    other = copy.deepcopy(layer)
    with trine.no_grad():
        other.parametrizations.weight.original.zero_()
    assert other.weight.abs().sum().item() == 0 and layer.weight.abs().sum().item() > 0
    with pytest.raises((RuntimeError, TypeError), match="state_dict"):
        pickle.dumps(layer)


@pytest.mark.parametrize("leave", [True, False])
def test_removing_parametrizations(leave: bool) -> None:
    layer = parametrized(trine)
    value, original = layer.weight.detach().clone(), layer.parametrizations.weight.original
    expected = value if leave else original.detach().clone()
    assert parametrize.remove_parametrizations(layer, "weight", leave_parametrized=leave) is layer
    assert type(layer) is nn.Linear and layer.weight is original and not parametrize.is_parametrized(layer)
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected.numpy())


def test_transferring_parametrizations() -> None:
    layer, plain = parametrized(trine), nn.Linear(3, 3)
    parametrize.transfer_parametrizations_and_params(layer, plain)
    np.testing.assert_allclose(plain.weight.detach().numpy(), layer.weight.detach().numpy())


@pytest.mark.parametrize(
    "forward,error",
    [
        (lambda x: x[:1], ValueError),
        (lambda x: x.double(), ValueError),
        (lambda x: None, ValueError),
    ],
)
def test_impossible_parametrizations(forward: Any, error: type[Exception]) -> None:
    class Wrong(nn.Module):
        def forward(self, x: Any) -> Any:
            return forward(x)

    layer = nn.Linear(2, 2)
    with pytest.raises(error):
        parametrize.register_parametrization(layer, "weight", Wrong())
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    with pytest.raises(ValueError):
        parametrize.register_parametrization(layer, "weights", nn.Identity())
    with pytest.raises(ValueError):
        parametrize.remove_parametrizations(layer, "weight")
    parametrize.register_parametrization(layer, "bias", nn.ReLU())
    with pytest.raises(RuntimeError, match="right_inverse"):
        layer.bias = trine.ones(2)


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(dim: int | None) -> None:
    layers = []
    for lib in (trine, torch):
        layers.append(lib.nn.utils.parametrizations.weight_norm(lib.nn.Conv1d(2, 3, 2), dim=dim))
    ours, theirs = layers
    assert_same_names(ours, theirs)
    check_training(ours, theirs, randn(2, 2, 5))
    parametrize.remove_parametrizations(ours, "weight")
    assert_close(ours.weight, theirs.weight)


def check_training(ours: Any, theirs: Any, x: np.ndarray) -> None:
    copy_weights(ours, theirs)
    for _ in range(2):
        for layer, tensor in ((ours, trine.tensor), (theirs, torch.tensor)):
            layer.zero_grad()
            (layer(tensor(x)) ** 2).sum().backward()
        assert_close(ours(trine.tensor(x)), theirs(torch.tensor(x)))
        for p, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert_close(p.grad, other.grad, 2e-4, 2e-4)
    assert_same_state(ours, theirs)
    assert_close(ours.eval()(trine.tensor(x)), theirs.eval()(torch.tensor(x)))


def test_older_weight_norm() -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        ours = nn.utils.weight_norm(nn.Linear(3, 4), dim=None)
        theirs = torch.nn.utils.weight_norm(torch.nn.Linear(3, 4), dim=None)
    assert_same_names(ours, theirs)
    check_training(ours, theirs, randn(2, 3))
    with pytest.raises(RuntimeError, match="two weight_norm"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(ours)
    newer = parametrizations.weight_norm(nn.Linear(3, 4), dim=None)
    newer.load_state_dict(ours.state_dict())
    assert_close(newer.weight, theirs.weight)
    nn.utils.remove_weight_norm(ours)
    assert list(ours.state_dict()) == ["bias", "weight"] and ours.weight.is_leaf
    assert_close(ours.weight, theirs.weight)
    with pytest.raises(ValueError, match="not found"):
        nn.utils.remove_weight_norm(ours)


@pytest.mark.parametrize("kind", ["parametrizations", "older"])
@pytest.mark.parametrize(
    "name,args,shape", [("Linear", (3, 4), (2, 3)), ("Conv2d", (2, 3, 2), (1, 2, 4, 4)), ("ConvTranspose1d", (2, 3, 2), (1, 2, 4))]
)
def test_spectral_norm(kind: str, name: str, args: Any, shape: Any) -> None:
    layers = []
    for lib in (trine, torch):
        utils = lib.nn.utils.parametrizations if kind == "parametrizations" else lib.nn.utils
        layers.append(utils.spectral_norm(getattr(lib.nn, name)(*args), n_power_iterations=2))
    ours, theirs = layers
    assert_same_names(ours, theirs)
    check_training(ours, theirs, randn(*shape))
    if kind == "older":
        nn.utils.remove_spectral_norm(ours)
        assert sorted(ours.state_dict()) == ["bias", "weight"]
        assert_close(ours.weight, theirs.weight)
        with pytest.raises(ValueError, match="not found"):
            nn.utils.remove_spectral_norm(ours)


@pytest.mark.parametrize("use_trivialization", [True, False])
@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("sizes", [(4, 4), (3, 5), (5, 3)])
def test_orthogonal(sizes: tuple[int, int], orthogonal_map: str, use_trivialization: bool) -> None:
    layers = []
    for lib in (trine, torch):
        layer = lib.nn.Linear(*sizes)
        options = {"orthogonal_map": orthogonal_map, "use_trivialization": use_trivialization}
        layers.append(lib.nn.utils.parametrizations.orthogonal(layer, **options))
    ours, theirs = layers
    assert_same_names(ours, theirs)
    w = ours.weight.detach().numpy()
    product = w @ w.T if w.shape[0] < w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, np.eye(min(sizes)), atol=1e-5)
    copy_weights(ours, theirs)
    x = randn(2, sizes[0])
    for layer, tensor in ((ours, trine.tensor), (theirs, torch.tensor)):
        (layer(tensor(x)) ** 2).sum().backward()
    assert_close(ours.weight, theirs.weight, 1e-4, 1e-4)
    assert_close(ours.parametrizations.weight.original.grad, theirs.parametrizations.weight.original.grad, 1e-3, 1e-3)


def test_orthogonal_weights_can_be_set() -> None:
    q = np.linalg.qr(randn(4, 3))[0]
    for options in ({}, {"orthogonal_map": "householder", "use_trivialization": False}, {"orthogonal_map": "cayley"}):
        layer = parametrizations.orthogonal(nn.Linear(3, 4), **options)
        layer.weight = trine.tensor(q)
        np.testing.assert_allclose(layer.weight.detach().numpy(), q, atol=1e-5)
    layer = parametrizations.orthogonal(nn.Linear(3, 3), orthogonal_map="cayley", use_trivialization=False)
    with pytest.raises(NotImplementedError):
        layer.weight = trine.eye(3)
    with pytest.raises(ValueError, match="map"):
        parametrizations.orthogonal(nn.Linear(3, 3), orthogonal_map="exp")


# --- fusion and construction ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Conv1d", "Conv2d", "ConvTranspose2d", "Linear"])
@pytest.mark.parametrize("bias", [True, False])
def test_fusion(name: str, bias: bool) -> None:
    is_linear = name == "Linear"
    layer = getattr(nn, name)(2, 3, *(() if is_linear else (2,)), bias=bias)
    norm = getattr(nn, "BatchNorm1d" if is_linear or name == "Conv1d" else "BatchNorm2d")(3)
    x = trine.tensor(randn(4, 2, *(() if is_linear else (5,) if name == "Conv1d" else (5, 4))))
    norm(layer(x))
    if is_linear:
        fuse, options = nn.utils.fuse_linear_bn_eval, {}
    else:
        fuse, options = nn.utils.fuse_conv_bn_eval, {"transpose": "Transpose" in name}
    with pytest.raises(ValueError, match="training"):
        fuse(layer, norm)
    fused = fuse(layer.eval(), norm.eval(), **options)
    np.testing.assert_allclose(fused(x).detach().numpy(), norm(layer(x)).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert fused is not layer and isinstance(fused.bias, nn.Parameter)


def test_modules_without_initial_values() -> None:
    layer = nn.utils.skip_init(nn.Conv2d, 2, 3, kernel_size=2)
    assert layer.weight.shape == (3, 2, 2, 2) and layer.weight.requires_grad
    for wrong in (nn.ReLU, lambda device: None):
        with pytest.raises(RuntimeError):
            nn.utils.skip_init(wrong)
