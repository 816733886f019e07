"""Nested containers of values: flatten to a list of leaves and a hashable structure, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from trine.errors import ArgumentError, message

# Two values that differ: what kind of container it is beyond its type (dict keys), and its children.
Flatten = Callable[[Any], tuple[Hashable, Iterable[Any]]]
Unflatten = Callable[[Hashable, list[Any]], Any]


@dataclass(frozen=True, slots=True)
class Structure:
    """The shape of a tree; equal and hashable where trees have the same containers.

    Attributes:
        kind: type of the container, None for a leaf.
        extra: what the type's flattening returned beside the children (the keys of a dict).
        children: structures of the children.
        num_leaves: leaves below.
    """

    kind: type | None
    extra: Hashable = None
    children: tuple[Structure, ...] = ()
    num_leaves: int = 1


_LEAF = Structure(None)
_REGISTRY: dict[type, tuple[Flatten, Unflatten]] = {}


def register(kind: type, flatten: Flatten, unflatten: Unflatten) -> None:
    """Make instances of exactly `kind` containers: `flatten(x)` gives (extra, children), `unflatten(extra, children)` the inverse."""
    _REGISTRY[kind] = (flatten, unflatten)


register(list, lambda x: (None, x), lambda _, children: children)
register(tuple, lambda x: (None, x), lambda _, children: tuple(children))
register(dict, lambda x: (tuple(x), x.values()), lambda keys, children: dict(zip(keys, children, strict=True)))  # type: ignore[call-overload]
register(OrderedDict, lambda x: (tuple(x), x.values()), lambda keys, children: OrderedDict(zip(keys, children, strict=True)))  # type: ignore[call-overload]
register(type(None), lambda _: (None, ()), lambda _extra, _children: None)


def _rule(kind: type) -> tuple[Flatten, Unflatten] | None:
    rule = _REGISTRY.get(kind)
    if rule is None and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return (lambda x: (None, x)), (lambda _, children: kind(*children))
    return rule


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Return the leaves in order and the structure. Lists, tuples, named tuples, dicts (in their order) and None are containers.

    Example:
        >>> leaves, structure = flatten({"a": 1, "b": (2, [3])})
        >>> leaves
        [1, 2, 3]
        >>> unflatten(structure, [10, 20, 30])
        {'a': 10, 'b': (20, [30])}
    """
    leaves: list[Any] = []
    return leaves, _flatten_into(tree, leaves)


def _flatten_into(tree: Any, leaves: list[Any]) -> Structure:
    kind = type(tree)
    rule = _rule(kind)
    if rule is None:
        leaves.append(tree)
        return _LEAF
    before = len(leaves)
    extra, values = rule[0](tree)
    children = tuple([_flatten_into(value, leaves) for value in values])
    return Structure(kind, extra, children, len(leaves) - before)


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """Return the tree of `structure` with `leaves` in order.

    Raises:
        ArgumentError: the number of leaves differs.
    """
    values = list(leaves)
    if len(values) != structure.num_leaves:
        raise ArgumentError(message("tree: wrong number of leaves", received=len(values), expected=structure.num_leaves))
    return _unflatten_from(structure, iter(values))


def _unflatten_from(structure: Structure, leaves: Iterator[Any]) -> Any:
    if structure.kind is None:
        return next(leaves)
    children = [_unflatten_from(child, leaves) for child in structure.children]
    rule = _rule(structure.kind)
    if rule is None:
        raise ArgumentError(message("tree: not a container", received=structure.kind.__name__, expected="a registered type"))
    return rule[1](structure.extra, children)


def leaves_of(tree: Any) -> list[Any]:
    """Return the leaves in order."""
    return flatten(tree)[0]


def map_tree(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Return a tree of `function(leaf, *leaves of the others)`; all trees have the same structure.

    Raises:
        ArgumentError: the structures differ.
    """
    leaves, structure = flatten(tree)
    rows = [leaves]
    for other in others:
        more, other_structure = flatten(other)
        if other_structure != structure:
            raise ArgumentError(message("tree: structures differ", received=other_structure, expected=structure))
        rows.append(more)
    return unflatten(structure, [function(*row) for row in zip(*rows, strict=True)])
