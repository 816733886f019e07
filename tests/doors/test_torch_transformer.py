"""Attention and transformers against PyTorch's: values, weights, gradients, texts, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import assert_close, copy_weights, randn, torch
from trine import nn

F = nn.functional


def compare(run: Any, arrays: list[np.ndarray], modules: tuple[Any, Any] | None = None) -> None:
    """Call `run(library, module, *tensors)` for both; compare results and gradients."""
    outcomes = []
    for number, library in enumerate((trine, torch)):
        leaves = [library.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
        results = run(library, modules[number] if modules else None, *leaves)
        results = [r for r in (results if isinstance(results, tuple) else (results,)) if r is not None]
        total = sum((r * library.tensor(np.cos(np.arange(r.numel())).reshape(tuple(r.shape)).astype(np.float32))).sum() for r in results)
        total.backward()
        parameters = list(modules[number].parameters()) if modules else []
        outcomes.append((results, [x.grad for x in leaves if x.grad is not None], [p.grad for p in parameters]))
    for mine, other in zip(*outcomes, strict=True):
        assert len(mine) == len(other)
        for found, expected in zip(mine, other, strict=True):
            assert (found is None) == (expected is None)
            if expected is not None:
                assert_close(found, expected, 1e-4, 1e-5)


# --- scaled dot-product attention -------------------------------------------------------------------------------------

SHAPES = [((2, 3, 4), (2, 5, 4), (2, 5, 6)), ((2, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 4)), ((3, 4), (5, 4), (5, 4))]
MASKS: list[Any] = [
    None,
    lambda length, positions: np.arange(length * positions).reshape(length, positions) % 3 != 0,
    lambda length, positions: np.where(np.arange(positions) < 2, 0.5, -np.inf).astype(np.float32) * np.ones((length, 1), np.float32),
    lambda length, positions: (np.arange(length)[:, None] != 1) & np.ones(positions, bool),
]


@pytest.mark.parametrize("mask", range(len(MASKS)))
@pytest.mark.parametrize("shapes", SHAPES)
def test_scaled_dot_product(shapes: Any, mask: int) -> None:
    given = MASKS[mask] and MASKS[mask](shapes[0][-2], shapes[1][-2])

    def run(library: Any, _: Any, q: Any, k: Any, v: Any) -> Any:
        function = library.nn.functional.scaled_dot_product_attention
        bias = None if given is None else library.tensor(given)
        results = [function(q, k, v, attn_mask=bias), function(q, k, v, bias, scale=0.3)]
        if bias is None:
            results.append(function(q, k, v, is_causal=True))
        return tuple(results)

    compare(run, [randn(*s) for s in shapes])


def test_grouped_heads() -> None:
    compare(
        lambda library, _, q, k, v: library.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        [randn(2, 4, 3, 4), randn(2, 2, 5, 4), randn(2, 2, 5, 4)],
    )


def test_dropout_of_weights() -> None:
    q, v = trine.zeros(1, 40, 2), trine.eye(50).unsqueeze(0)
    weights = F.scaled_dot_product_attention(q, trine.zeros(1, 50, 2), v, dropout_p=0.25).numpy() * 50
    assert set(np.round(weights.astype(float), 3).ravel().tolist()) == {0.0, 1.333}
    assert 0.2 < (weights == 0).mean() < 0.3


WRONG: list[tuple[Any, type[BaseException]]] = [
    (lambda library, x: library.nn.functional.scaled_dot_product_attention(x, x, x, library.ones(3, 3), is_causal=True), RuntimeError),
    (lambda library, x: library.nn.functional.scaled_dot_product_attention(x, library.ones(2, 3, 5), x), RuntimeError),
    (lambda library, x: library.nn.functional.scaled_dot_product_attention(x, x.double(), x), RuntimeError),
    (lambda library, x: library.nn.MultiheadAttention(5, 2), AssertionError),
    (lambda library, x: library.nn.MultiheadAttention(0, 2), ValueError),
    (lambda library, x: library.nn.MultiheadAttention(4, 2)(x, x, x, is_causal=True), RuntimeError),
    (lambda library, x: library.nn.MultiheadAttention(4, 2)(x, x, x, attn_mask=library.zeros(2, 3)), RuntimeError),
    (lambda library, x: library.nn.MultiheadAttention(6, 2)(x, x, x), AssertionError),
    (lambda library, x: library.nn.MultiheadAttention(4, 2)(x, x[0], x), AssertionError),
    (lambda library, x: library.nn.Transformer(4, 2, 1, 1, 8)(x, library.ones(2, 1, 4)), RuntimeError),
    (lambda library, x: library.nn.Transformer(4, 2, 1, 1, 8)(x, library.ones(2, 3, 6)), RuntimeError),
    (lambda library, x: library.nn.TransformerEncoderLayer(4, 2, activation="sin"), RuntimeError),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_wrong_input(number: int) -> None:
    program, kind = WRONG[number]
    for library in (trine, torch):
        with pytest.raises(kind):
            program(library, library.ones(2, 3, 4))


# --- the layer --------------------------------------------------------------------------------------------------------

LAYERS: list[dict[str, Any]] = [
    {},
    {"batch_first": True, "bias": False},
    {"add_bias_kv": True, "add_zero_attn": True},
    {"kdim": 3, "vdim": 5, "batch_first": True},
    {"add_zero_attn": True, "batch_first": True},
]
CALLS: list[Any] = [
    lambda library: {},
    lambda library: {"need_weights": False},
    lambda library: {"average_attn_weights": False},
    lambda library: {"attn_mask": library.tensor(np.triu(np.ones((3, 5), bool), 2))},
    lambda library: {"key_padding_mask": library.tensor([[False] * 5, [False, False, True, True, True]])},
    lambda library: {
        "attn_mask": library.tensor(np.triu(np.full((4, 3, 5), -2.0, np.float32), 1)),
        "key_padding_mask": library.tensor([[0.0] * 5, [0.0, 0.5, -1.0, -np.inf, -np.inf]]),
        "need_weights": False,
    },
]


def attention(options: dict[str, Any]) -> tuple[Any, Any]:
    ours, theirs = nn.MultiheadAttention(4, 2, **options), torch.nn.MultiheadAttention(4, 2, **options)
    for p in theirs.parameters():  # biases too
        torch.nn.init.normal_(p, std=0.5)
    copy_weights(ours, theirs)
    return ours, theirs


@pytest.mark.parametrize("call", range(len(CALLS)))
@pytest.mark.parametrize("options", LAYERS, ids=lambda o: "-".join(o) or "plain")
def test_cross_attention(options: dict[str, Any], call: int) -> None:
    first = options.get("batch_first")
    shape = lambda length, width: (2, length, width) if first else (length, 2, width)  # noqa: E731
    arrays = [randn(*shape(3, 4)), randn(*shape(5, options.get("kdim", 4))), randn(*shape(5, options.get("vdim", 4)))]
    compare(lambda library, layer, q, k, v: layer(q, k, v, **CALLS[call](library)), arrays, attention(options))


@pytest.mark.parametrize("options", LAYERS[:3], ids=lambda o: "-".join(o) or "plain")
def test_self_attention(options: dict[str, Any]) -> None:
    x = randn(2, 3, 4)
    compare(lambda library, layer, x: layer(x, x, x), [x], attention(options))
    compare(lambda library, layer, q, k: layer(q, k, k), [x, x], attention(options))
    compare(lambda library, layer, q, k: layer(q, k, q), [x, x], attention(options))
    compare(lambda library, layer, x: layer(x, x, x, key_padding_mask=library.tensor([False, True])), [randn(2, 4)], attention(options))

    def causal(library: Any, layer: Any, x: Any) -> Any:
        length = x.shape[1 if options.get("batch_first") else 0]
        mask = library.nn.Transformer.generate_square_subsequent_mask(length)
        return layer(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)

    compare(causal, [x], attention(options | {"add_bias_kv": False, "add_zero_attn": False}))


def test_static_keys_and_mismatched_masks() -> None:
    def run(library: Any, layer: Any, x: Any, k: Any, v: Any) -> Any:
        weights = (layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0, layer.out_proj.weight, layer.out_proj.bias)
        return library.nn.functional.multi_head_attention_forward(x, x, x, 4, 2, *weights, static_k=k, static_v=v)

    compare(run, [randn(3, 2, 4), randn(4, 6, 2), randn(4, 6, 2)], attention({}))
    layer, x = nn.MultiheadAttention(4, 2), trine.ones(3, 2, 4)
    with pytest.warns(UserWarning, match="mismatched"):
        layer(x, x, x, attn_mask=trine.zeros(3, 3), key_padding_mask=trine.zeros(2, 3, dtype=trine.bool))
    with pytest.raises(TypeError, match="bool and floating"):
        layer(x, x, x, attn_mask=trine.zeros(3, 3, dtype=trine.int64))


def test_dropout_is_for_training() -> None:
    layer, x = nn.MultiheadAttention(4, 2, dropout=0.5), trine.ones(30, 2, 4)
    _, weights = layer(x, x, x)
    assert (weights == 0).any().item()
    _, weights = layer.eval()(x, x, x)
    np.testing.assert_allclose(weights.detach().numpy(), 1 / 30, rtol=1e-5)


# --- models -----------------------------------------------------------------------------------------------------------

MODELS: list[dict[str, Any]] = [
    {},
    {"batch_first": True, "norm_first": True, "activation": "gelu"},
    {"bias": False, "layer_norm_eps": 1e-3},
]


@pytest.mark.parametrize("options", MODELS, ids=lambda o: "-".join(o) or "plain")
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_transformer(options: dict[str, Any]) -> None:
    ours, theirs = (lib.nn.Transformer(8, 2, 2, 2, 16, dropout=0.0, **options) for lib in (trine, torch))
    copy_weights(ours, theirs)
    shown = repr(theirs).replace("NonDynamicallyQuantizableLinear", "Linear")
    assert repr(ours) == shown

    def run(library: Any, model: Any, src: Any, tgt: Any) -> Any:
        mask = model.generate_square_subsequent_mask(3)
        padding = library.tensor([[False] * 4, [False, False, True, True]])
        return model(src, tgt, tgt_mask=mask, src_key_padding_mask=padding, memory_key_padding_mask=padding, tgt_is_causal=True)

    arrays = [randn(2, 4, 8), randn(2, 3, 8)] if options.get("batch_first") else [randn(4, 2, 8), randn(3, 2, 8)]
    compare(run, arrays, (ours, theirs))


def test_a_function_as_activation_and_custom_parts() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, activation=trine.tanh)
    assert layer(trine.ones(3, 4)).shape == (3, 4)

    class Twice(nn.Module):
        def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
            return x * 2

    model = nn.Transformer(4, 2, custom_encoder=Twice(), custom_decoder=Twice())
    assert model(trine.ones(3, 4), trine.ones(2, 4)).tolist() == [[2.0] * 4] * 2
    encoder = nn.TransformerEncoder(layer, 2)
    assert encoder.layers[0] is not encoder.layers[1]
    assert encoder.layers[0].linear1.weight.tolist() == encoder.layers[1].linear1.weight.tolist()


@pytest.mark.parametrize("masks", ["", "padding", "mask", "both", "causal"])
def test_heads_in_one_kernel(masks: str) -> None:
    """Lengths that the kernel of attention takes."""
    length = 70
    padding = np.zeros((2, length), bool)
    padding[1, 60:] = True
    causal = np.triu(np.ones((length, length), bool), 1)
    theirs, mine = torch.nn.MultiheadAttention(16, 4, batch_first=True), nn.MultiheadAttention(16, 4, batch_first=True)
    copy_weights(mine, theirs)

    def run(library: Any, module: Any, x: Any) -> Any:
        options: dict[str, Any] = {"need_weights": False}
        if masks in ("padding", "both"):
            options["key_padding_mask"] = library.tensor(padding)
        if masks in ("mask", "both", "causal"):
            options["attn_mask"] = library.tensor(causal)
        if masks == "causal":
            options["is_causal"] = True
        with library.no_grad():
            plain = module(x, x, x, **options)[0]
        return module(x, x, x, **options)[0], plain

    compare(run, [randn(2, length, 16)], (mine, theirs))
