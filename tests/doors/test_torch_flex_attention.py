"""Attention with functions for scores and masks, against PyTorch's and by hand."""

from __future__ import annotations

from typing import Any

import pytest

import trine
from tests.doors.torch_parity import assert_close, randn, torch
from trine.nn.attention import SDPBackend, flex_attention, sdpa_kernel

theirs = pytest.importorskip("torch.nn.attention.flex_attention")
SLOPES = randn(4)
BIAS = randn(2, 4, 3, 5)

SCORES: list[Any] = [
    None,
    lambda lib: lambda score, b, h, q, kv: score + (kv - q) * 0.3,
    lambda lib: lambda score, b, h, q, kv: score * lib.tensor(SLOPES)[h],
    lambda lib: lambda score, b, h, q, kv: score + lib.tensor(BIAS)[b, h, q, kv],
    lambda lib: lambda score, b, h, q, kv: lib.tanh(score / 2) * 2,
]
MASKS: list[Any] = [None, lambda b, h, q, kv: q + 1 >= kv, lambda b, h, q, kv: (q >= kv) | (kv == b)]


@pytest.mark.parametrize("mask", range(len(MASKS)))
@pytest.mark.parametrize("score", range(len(SCORES)))
@pytest.mark.filterwarnings("ignore::UserWarning:torch", "ignore:flex_attention called without")
def test_scores_and_masks(score: int, mask: int) -> None:
    arrays = [randn(2, 4, 3, 2), randn(2, 4, 5, 2), randn(2, 4, 5, 3)]
    outcomes = []
    for lib, module in ((trine, flex_attention), (torch, theirs)):
        leaves = [lib.tensor(x, requires_grad=lib is trine) for x in arrays]
        given: dict[str, Any] = {"score_mod": SCORES[score] and SCORES[score](lib)}
        if MASKS[mask]:
            options = {} if lib is trine else {"device": "cpu"}
            given["block_mask"] = module.create_block_mask(MASKS[mask], 2, 4, 3, 5, **options)
        outcomes.append(module.flex_attention(*leaves, **given))
        if lib is trine:
            outcomes[0].sum().backward()
            assert all(x.grad is not None for x in leaves)
    assert_close(*outcomes)


def test_groups_and_sums() -> None:
    q, k, v = (trine.tensor(randn(*s)) for s in ((2, 4, 3, 2), (2, 2, 5, 2), (2, 2, 5, 3)))
    output, total = flex_attention.flex_attention(q, k, v, enable_gqa=True, return_lse=True, scale=0.5)
    expected = trine.nn.functional.scaled_dot_product_attention(q, k, v, scale=0.5, enable_gqa=True)
    assert_close(output, torch.tensor(expected.numpy()))
    scores = torch.tensor(q.numpy()) @ torch.tensor(k.numpy()).repeat_interleave(2, 1).mT * 0.5
    assert_close(total, scores.logsumexp(-1))
    with pytest.raises(ValueError, match="flex_attention"):
        flex_attention.flex_attention(q, k, v)


def test_masks() -> None:
    causal, near = (lambda b, h, q, kv: q >= kv), (lambda b, h, q, kv: q - kv < 2)
    both = flex_attention.create_block_mask(flex_attention.and_masks(causal, near), None, None, 4, 4)
    either = flex_attention.create_mask(flex_attention.or_masks(causal, near), None, None, 4, 4)
    assert both.shape == (1, 1, 4, 4) and both.to_dense().sum().item() == 7 and "56.25%" in repr(both)
    assert either.all().item()


def test_choice_of_an_implementation() -> None:
    x = trine.ones(1, 2, 2)
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        assert trine.nn.functional.scaled_dot_product_attention(x, x, x).shape == (1, 2, 2)
    with pytest.raises(TypeError, match="SDPBackend"), sdpa_kernel("math"):  # type: ignore[arg-type]
        pass
