"""Random graphs of cheap primitives, and arrays for their inputs."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Graph, Node
from trine.errors import TrineError

F32 = dtypes.float32
SHAPES = [(4, 6), (6,), (4, 1), (1, 6), (4, 6), (2, 3, 4), (3, 1), (4,), (), (2, 2, 6), (24,), (1, 1), (5, 0), (33, 17)]
UNARY = (b.exp, b.neg, b.abs, b.tanh, b.sigmoid, b.sin, b.sqrt)
BINARY = (b.add, b.mul, b.sub, b.maximum)


@dataclass
class Case:
    """A graph and what to run it with."""

    graph: Graph
    arrays: list[np.ndarray]
    scalars: list[float]


def make(seed: int) -> Case:
    """Return a random graph of up to 25 steps with up to 5 outputs and perhaps a donation."""
    r = random.Random(seed)
    rng = np.random.default_rng(seed)
    leaves: list[Node] = []
    arrays = []
    for position in range(r.randint(1, 4)):
        shape = r.choice(SHAPES)
        leaves.append(b.input(position, shape, F32))
        arrays.append(rng.uniform(-2, 2, shape).astype(np.float32))
    nodes = [*leaves, b.cast(b.scalar(0, dtypes.float64), F32), b.const(1.5, F32)]
    for _ in range(r.randint(3, 25)):
        x = r.choice(nodes[-6:] if r.random() < 0.7 else nodes)
        try:
            node = _step(r, x, nodes)
        except TrineError:
            continue  # shapes that do not fit
        if math.prod(node.shape) > 5000:
            continue
        if r.random() < 0.15 and node.shape:
            node = b.add(node, b.cast(b.iota(node.shape, r.randrange(len(node.shape))), F32))
        nodes.append(node)
    outputs = [*[r.choice(nodes[-8:]) for _ in range(r.randint(1, 4))], nodes[-1]]
    fitting = [(j, i) for j, o in enumerate(outputs) for i, leaf in enumerate(leaves) if o.shape == leaf.shape]
    donations = (r.choice(fitting),) if fitting and r.random() < 0.5 else ()
    return Case(Graph(tuple(outputs), tuple(leaves), donations), arrays, [1.25])


def _step(r: random.Random, x: Node, nodes: list[Node]) -> Node:
    kind = r.random()
    rank = len(x.shape)
    if kind < 0.25:
        return r.choice(UNARY)(x)
    if kind < 0.5:
        return r.choice(BINARY)(x, r.choice(nodes))
    if kind < 0.55:
        return b.where(b.lt(x, r.choice(nodes)), x, r.choice(nodes))
    if kind < 0.72 and rank:
        axes = tuple(sorted(r.sample(range(rank), r.randint(1, rank))))
        return r.choice((b.sum, b.max, b.min, b.sum))(x, axes)
    if kind < 0.74 and rank:
        return b.cast(b.argmax(x, r.randrange(rank)), F32)
    if kind < 0.97:
        return _movement(r, x)
    return b.dot(x, b.permute(x, (1, 0))) if rank == 2 else b.neg(x)


def _movement(r: random.Random, x: Node) -> Node:
    kind = r.randrange(6)
    rank = len(x.shape)
    if kind == 0:
        return b.permute(x, tuple(r.sample(range(rank), rank)))
    if kind == 1:
        return b.reshape(x, r.choice(_reshapes(x.shape)))
    if kind == 2:
        start = [r.randint(0, max(s - 1, 0)) for s in x.shape]
        stop = [r.randint(a, s) for a, s in zip(start, x.shape, strict=True)]
        return b.slice(x, start, stop, [r.randint(1, 2) for _ in x.shape])
    if kind == 3:
        return b.pad(x, [r.randint(0, 2) for _ in x.shape], [r.randint(0, 2) for _ in x.shape], r.choice([0.0, 1.0, -0.0]))
    if kind == 4 and rank:
        return b.flip(x, (r.randrange(rank),))
    return b.expand(x, (2, *x.shape))


def _reshapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    size = math.prod(shape)
    if not size:
        return [shape[::-1]]
    found = [(a, size // a) for a in range(1, size + 1) if size % a == 0] + [(size,), (1, size)]
    if size % 4 == 0:
        found.append((2, size // 4, 2))
    return found
