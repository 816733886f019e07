"""Tensors are printed as PyTorch prints them."""

import math

import pytest
import torch

import trine

VALUES = {
    "integral floats": [1.0, 2.0, -3.0],
    "fractions": [1.0, 2.5, -3.25],
    "a number": 1.5,
    "an integer": 7,
    "far apart": [1e10, 1.0],
    "small": [1e-5, 1.0],
    "at the limit": [1e8, 1.0e5],
    "not finite": [math.nan, 1.0, math.inf],
    "not finite, fractions": [math.nan, -1.5, -math.inf],
    "only nan": [math.nan],
    "zeros": [0.0, -0.0],
    "no elements": [],
    "bool": [True, False],
    "only true": [True, True],
    "integers": [[1, -20], [300, 4]],
    "complex": [1 + 2j, -0.5j, 1e6],
    "a complex number": 1j,
    "rows": [[0.1, 1000.123], [5.0, -1.0]],
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    assert repr(trine.tensor(VALUES[name])) == repr(torch.tensor(VALUES[name]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "uint8", "int8", "int32", "complex128"])
def test_dtypes(dtype):
    ours, theirs = (m.tensor([1.5, 2, 100], dtype=getattr(m, dtype)) for m in (trine, torch))
    assert repr(ours) == repr(theirs).replace("torch.", "trine.")


@pytest.mark.parametrize("shape", [(0, 3), (1001,), (1000,), (2, 1000), (3, 4, 5), (40, 40), (10, 10, 100), (2, 1, 3, 2)])
@pytest.mark.parametrize("divisor", [1, 7.0])
def test_shapes(shape, divisor):
    ours, theirs = ((m.arange(math.prod(shape)) / divisor).reshape(shape) for m in (trine, torch))
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": 2},
        {"precision": 8},
        {"linewidth": 40},
        {"profile": "short"},
        {"profile": "full"},
        {"sci_mode": True},
        {"sci_mode": False},
        {"threshold": 5, "edgeitems": 2},
    ],
    ids=str,
)
def test_options(settings):
    try:
        for module in (trine, torch):
            module.set_printoptions(**settings)
        for make in (lambda m: m.arange(30.0) / 7, lambda m: m.arange(1100).reshape(11, 100), lambda m: m.tensor([1e10, 1.5, 0.0])):
            assert repr(make(trine)) == repr(make(torch))
    finally:
        for module in (trine, torch):
            module.set_printoptions(profile="default")


def test_suffixes_go_to_the_next_line():
    for make in (
        lambda m: m.ones(10, dtype=m.float64),
        lambda m: (m.arange(11.0) / 3).requires_grad_(),
        lambda m: m.nn.Parameter(m.ones(2)),
    ):
        assert repr(make(trine)) == repr(make(torch)).replace("torch.", "trine.")


def test_default_dtype_is_not_said():
    try:
        for module in (trine, torch):
            module.set_default_dtype(module.float64)
        for make in (lambda m: m.ones(2), lambda m: m.ones(2, dtype=m.float32), lambda m: m.tensor(1j)):
            assert repr(make(trine)) == repr(make(torch)).replace("torch.", "trine.")
    finally:
        for module in (trine, torch):
            module.set_default_dtype(module.float32)


def test_no_such_profile():
    with pytest.raises(ValueError, match="no such profile"):
        trine.set_printoptions(profile="tall")


def test_format():
    for spec in ("", ".2f", ">10.3e"):
        assert format(trine.tensor(3.14159), spec) == format(torch.tensor(3.14159), spec)
    assert f"{trine.tensor([1, 2])}" == "tensor([1, 2])" and f"{trine.tensor(5):4d}" == "   5"
    with pytest.raises(TypeError, match="one number"):
        format(trine.tensor([1.0, 2.0]), ".2f")


def test_contains():
    x = trine.tensor([1, 2])
    assert 2 in x and 5 not in x and trine.tensor(1) in x
    with pytest.raises(RuntimeError, match="not an element"):
        "x" in x  # noqa: B015
