"""In-place functions and other older names of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import trine
from tests.ops.parity import check, torch
from trine import namespace  # noqa: F401 - gives the package its names
from trine.errors import ArgumentError, ShapeError
from trine.ops import in_place


@pytest.mark.parametrize("name", [n for n in in_place.__all__ if n not in ("rrelu_", "gcd_", "lcm_", "threshold_", "ldexp_")])
def test_in_place_functions(name: str) -> None:
    values = [0.25, 0.5, 0.75]
    arguments = [0.3] if name in ("clamp_", "clamp_min_", "clamp_max_", "clip_", "fill_", "xlogy_") else []
    ours, theirs = trine.tensor(values), torch.tensor(values)
    found = getattr(trine, name)(ours, *arguments)
    getattr(torch, name)(theirs, *arguments)
    assert found is ours
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=2e-5, atol=1e-6)


def test_ranges_that_include_their_end() -> None:
    for bounds in ((1, 4), (0, 1, 0.25), (3, 1, -1)):
        with pytest.warns(UserWarning, match="deprecated"):
            expected = torch.range(*bounds)
        np.testing.assert_allclose(trine.range(*bounds).numpy(), expected.numpy())
    with pytest.raises(ArgumentError):
        trine.range(1, 2, -1)


def test_diagonals_are_filled() -> None:
    for shape, wrap in (((3, 3), False), ((7, 3), True), ((7, 3), False), ((2, 5), False), ((3, 3, 3), False)):
        expected = torch.zeros(shape).fill_diagonal_(2.0, wrap)
        assert trine.zeros(shape).fill_diagonal_(2.0, wrap).tolist() == expected.tolist()
    with pytest.raises(ShapeError, match="no diagonal"):
        trine.zeros(3).fill_diagonal_(1.0)


def test_small_methods() -> None:
    x = trine.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert next(iter(reversed(x))).tolist() == [3, 4]
    assert trine.tensor([1, 2]).apply_(lambda v: v * 10).tolist() == [10, 20]
    assert trine.tensor([1, 2]).map_(trine.tensor([3]), lambda a, b: a * b).tolist() == [3, 6]
    assert x.type() == "torch.FloatTensor" and x.type("torch.LongTensor").type() == "torch.LongTensor"
    assert x.is_same_size(x) and x.get_device() == -1 and not x.is_inference()
    check(trine.heaviside, torch.heaviside, np.array([-1.0, 0.0, 2.0]), values=np.array([0.5]), grad=False)
    check(lambda a, b: a.arctan2(b), lambda a, b: a.arctan2(b), np.array([1.0, -1.0]), np.array([2.0, 0.5]))
