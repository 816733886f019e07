"""`vmap` against a loop over the examples; the table of batching rules is complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import trine
from tests.func.func_cases import CASES
from trine.autograd.batching import BATCHING_RULES, NOT_BATCHED
from trine.autograd.forward import FORWARD_RULES, NO_TANGENT
from trine.autograd.rules import RULES
from trine.core.graph import topological_order
from trine.core.primitives import PRIMITIVES
from trine.errors import InPlaceError
from trine.nn import functional as F
from trine.tensor.recorder import local


def test_every_primitive_has_its_row() -> None:
    missing = set(PRIMITIVES) - set(BATCHING_RULES) - NOT_BATCHED
    assert not missing, f"without a batching rule: {sorted(missing)}"
    assert not set(BATCHING_RULES) - set(PRIMITIVES)
    forward = {name for name, row in PRIMITIVES.items() if row.is_differentiable and name in RULES} - set(FORWARD_RULES)
    assert forward <= {"check_index"}, f"without a rule for tangents: {sorted(forward)}"
    assert NO_TANGENT - set(PRIMITIVES) == set()


def example_batch() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return (trine.tensor(rng.uniform(0.1, 0.9, (2, 3, 4)).astype(np.float32)) for _ in range(2))  # type: ignore[return-value]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_as_a_loop(case: Callable[..., Any]) -> None:
    x, y = example_batch()
    for in_dims, a, c in (((0, 0), x, y), ((1, 0), x.movedim(0, 1), y), ((0, None), x, y[0]), ((None, 2), x[0], y.movedim(0, 2))):
        found = trine.vmap(case, in_dims)(a, c)
        for k in range(2):
            expected = case(x[k] if in_dims[0] is not None else x[0], y[k] if in_dims[1] is not None else y[0])
            for i, (ours, plain) in enumerate(zip(found, expected, strict=True)):
                assert ours.dtype is plain.dtype
                np.testing.assert_allclose(ours[k].numpy(), plain.numpy(), rtol=1e-4, atol=1e-5, err_msg=f"{in_dims}, result {i}")


def test_the_cases_use_every_primitive() -> None:
    used: set[str] = set()
    x, y = example_batch()
    for case in CASES:
        trine.synchronize()
        results = trine.vmap(case)(x, y)
        used |= {n.op for n in topological_order(local.trace.nodes())}
        del results
    missing = set(PRIMITIVES) - used
    assert missing <= {
        "scalar",
        "random_bits",
        "conj",
        "eigvalsh",
        "svdvals",
        "lstsq",
        "cofactor",
        "eig",
        "eigvals",
        "ldl",
        "ldl_solve",
        "geqrf",
        "pivot_order",
    }, sorted(missing)


def test_structures_and_places_of_the_batch() -> None:
    x = trine.arange(6.0).reshape(2, 3)
    found = trine.vmap(lambda d, s: {"a": d["x"] * s, "b": (d["y"].sum(), s)}, ({"x": 1, "y": None}, None), {"a": 1, "b": (0, None)})(
        {"x": x, "y": x}, trine.tensor(2.0)
    )
    assert found["a"].shape == (2, 3) and found["a"].tolist() == (x * 2).tolist()
    assert found["b"][0].tolist() == [15.0] * 3 and found["b"][1].item() == 2.0
    nested = trine.vmap(trine.vmap(lambda a, b: a * b, (0, None)), (None, 0))(trine.arange(3.0), trine.arange(2.0))
    assert nested.tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 2.0]]
    assert trine.vmap(lambda v: v * 2, chunk_size=2)(trine.arange(5.0)).tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert trine.vmap(lambda v: v.sum())(trine.zeros(0, 3)).shape == (0,)
    assert trine.vmap(lambda v, k: v * k, (0, None))(x, 2).tolist() == (x * 2).tolist()


def test_the_same_program_is_not_built_again() -> None:
    x = trine.randn(3, 4)
    function = trine.vmap(trine.func.grad(lambda v: (v.sin() * v).sum()))

    def run() -> int:
        function(x).tolist()
        return int(trine.cache_info()["programs"]["states"])

    run()
    assert run() == run()


def test_in_place() -> None:
    x = trine.zeros(2, 3)
    trine.vmap(lambda v: v.add_(1))(x)
    assert x.tolist() == [[1.0] * 3] * 2
    total = trine.zeros(3)
    with pytest.raises(InPlaceError, match="not batched"):
        trine.vmap(lambda v: total.add_(v))(x)
    counter = trine.zeros(1)
    trine.vmap(lambda v: (counter.add_(1), v * 1)[1])(x)
    assert counter.item() == 1.0 and total.tolist() == [0.0] * 3


@pytest.mark.parametrize("randomness", ["different", "same"])
def test_randomness(randomness: str) -> None:
    trine.manual_seed(0)
    found = trine.vmap(lambda v: v + trine.rand(1000), randomness=randomness)(trine.zeros(2, 1))
    after = trine.rand(1000)
    assert bool((found[0] == found[1]).all()) is (randomness == "same")
    assert all(not bool((row == after).all()) and 0.4 < row.mean().item() < 0.6 for row in found)
    noise = trine.rand(3)
    assert bool((trine.vmap(lambda v: v + noise, randomness=randomness)(trine.zeros(2, 1)) == noise).all())
    with pytest.raises(RuntimeError, match="randomness"):
        trine.vmap(lambda v: F.dropout(v))(trine.ones(2, 3))


def test_values_that_differ_between_examples_are_not_observed() -> None:
    x = trine.ones(2, 3)
    for observe in (lambda v: v.sum().item(), lambda v: v[v > 0], lambda v: v if v.sum() > 0 else -v, lambda v: v.numpy()):
        with pytest.raises(RuntimeError, match=r"(?s)vmap: a value that differs.*trine.where"):
            trine.vmap(observe)(x)
    constant = trine.ones(2) + 1
    assert trine.vmap(lambda v: v * constant.sum().item())(x).tolist() == [[4.0] * 3] * 2
    assert trine.vmap(lambda v: (repr(v * 2), v)[1])(x).tolist() == x.tolist()


def test_errors() -> None:
    x = trine.ones(2, 3)
    calls: list[tuple[type[Exception], Callable[[Any], Any]]] = [
        (ValueError, lambda lib: lib.vmap(lambda v: v, in_dims=3)(lib.ones(2, 3))),
        (ValueError, lambda lib: lib.vmap(lambda v: v, in_dims=(0, 0))(lib.ones(2, 3))),
        (ValueError, lambda lib: lib.vmap(lambda v: v, in_dims=None)(lib.ones(2, 3))),
        (ValueError, lambda lib: lib.vmap(lambda v, w: v)(lib.ones(2, 3), lib.ones(3))),
        (ValueError, lambda lib: lib.vmap(lambda v: v)(3)),
        (ValueError, lambda lib: lib.vmap(lambda v: 3)(lib.ones(2))),
        (ValueError, lambda lib: lib.vmap(lambda v: v, out_dims=(0, 0))(lib.ones(2))),
        (ValueError, lambda lib: lib.vmap(lambda v: v, out_dims=None)(lib.ones(2))),
        (ValueError, lambda lib: lib.vmap(lambda v: v, chunk_size=0)(lib.ones(2))),
        (RuntimeError, lambda lib: lib.vmap(lambda v: v, randomness="no")(lib.ones(2))),
    ]
    for kind, call in calls:
        with pytest.raises(kind):
            call(torch)
        with pytest.raises(kind):
            call(trine)
    assert not local.levels and x.tolist() == [[1.0] * 3] * 2
