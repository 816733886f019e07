from __future__ import annotations

import pytest

from trine.core import build
from trine.core.graph import Node
from trine.core.verify import verify
from trine.dtypes import float32, int64
from trine.errors import CompileError


def test_what_the_builders_make_is_valid():
    x = build.input(0, (1, 2, 6, 6), float32)
    w = build.input(1, (4, 2, 3, 3), float32)
    y = build.conv(x, w, padding=1)
    pooled = build.window_max(y, 2, 2)
    total = build.sum_to(build.mul(pooled, build.full(0.5, (4, 1, 1), float32)), (4, 1, 1))
    bits = build.random_bits(build.scalar(0, int64), build.scalar(1, int64), (3,))
    verify([total, build.argmax(total, 0), bits, build.iota((3,), 0)])


X = Node("input", (), (0,), (2, 3), float32)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Node("added", (X, X), (), (2, 3), float32), "no such primitive"),
        (Node("add", (X,), (), (2, 3), float32), "2 operands"),
        (Node("sum", (X,), (), (1, 3), float32), "attributes are axes"),
        (Node("add", (X, X), (), (3, 2), float32), "shape should be"),
        (Node("add", (X, X), (), (2, 3), int64), "dtype should be float32"),
        (Node("sum", (X,), ([0],), (1, 3), float32), "unhashable"),
        (Node("expand", (X,), ((5, 5),), (5, 5), float32), "does not expand"),
    ],
)
def test_what_does_not_follow_the_rules_is_named(node, text):
    with pytest.raises(CompileError, match=text) as caught:
        verify([build.neg(node)])
    assert f"Node({node.op}" in str(caught.value)
