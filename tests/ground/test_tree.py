from __future__ import annotations

from collections import OrderedDict, namedtuple

import pytest

from trine import tree
from trine.errors import ArgumentError

Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "value",
    [1, [], (), {}, None, [1, (2, {"x": 3, "y": [None, 4]})], Pair(1, [2]), OrderedDict(b=1, a=2), {"b": 1, 3: (2,)}],
)
def test_round_trip(value):
    leaves, structure = tree.flatten(value)
    again = tree.unflatten(structure, leaves)
    assert again == value and type(again) is type(value)
    assert structure.num_leaves == len(leaves) and hash(structure) == hash(tree.flatten(value)[1])


def test_structures_tell_containers_apart():
    structures = [tree.flatten(v)[1] for v in ([1, 2], (1, 2), {"a": 1, "b": 2}, {"a": 1, "c": 2}, Pair(1, 2), [1, [2]], 1)]
    assert len(set(structures)) == len(structures)


def test_map_tree():
    assert tree.map_tree(lambda a, b: a + b, {"x": [1, 2]}, {"x": [10, 20]}) == {"x": [11, 22]}
    with pytest.raises(ArgumentError, match="structures differ"):
        tree.map_tree(lambda a, b: a, [1], (1,))


def test_wrong_number_of_leaves():
    with pytest.raises(ArgumentError, match="number of leaves"):
        tree.unflatten(tree.flatten([1, 2])[1], [1])


def test_a_class_can_be_registered():
    class Box:
        def __init__(self, item):
            self.item = item

    assert tree.leaves_of(Box(1)) != [1]
    tree.register(Box, lambda box: (None, [box.item]), lambda _, children: Box(*children))
    assert tree.map_tree(lambda x: x + 1, Box(1)).item == 2
