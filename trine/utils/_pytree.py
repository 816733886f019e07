"""Nested containers under the names of `torch.utils._pytree`: lists, tuples, named tuples, dicts and deques; anything else is a leaf."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from trine.errors import ArgumentError, message

Leaf = Callable[[Any], bool] | None


@dataclass(frozen=True)
class TreeSpec:
    """The shape of a tree.

    Attributes:
        type: class of the container, None for a leaf. context: the keys of a dict and the like. children_specs: shapes of the children.
    """

    type: Any
    context: Any = None
    children_specs: tuple[TreeSpec, ...] = ()

    @property
    def num_leaves(self) -> int:
        """Number of leaves."""
        return 1 if self.type is None else sum(child.num_leaves for child in self.children_specs)

    def is_leaf(self) -> bool:
        """Return whether this is a leaf."""
        return self.type is None


_Parts = Callable[[Any], tuple[Iterable[Any], Any]]
_Whole = Callable[[list[Any], Any], Any]
_registry: dict[Any, tuple[_Parts, _Whole]] = {
    list: (lambda x: (x, None), lambda children, _: children),
    tuple: (lambda x: (x, None), lambda children, _: tuple(children)),
    dict: (lambda x: (x.values(), tuple(x)), lambda children, keys: dict(zip(keys, children, strict=True))),
    OrderedDict: (lambda x: (x.values(), tuple(x)), lambda children, keys: OrderedDict(zip(keys, children, strict=True))),
    defaultdict: (
        lambda x: (x.values(), (x.default_factory, tuple(x))),
        lambda children, context: defaultdict(context[0], zip(context[1], children, strict=True)),
    ),
    deque: (lambda x: (x, x.maxlen), lambda children, maxlen: deque(children, maxlen)),
}


def register_pytree_node(cls: Any, flatten_fn: _Parts, unflatten_fn: _Whole, **names: Any) -> None:
    """Make instances of a class containers: ``flatten_fn(x)`` gives (children, context), `unflatten_fn` takes both and gives x."""
    _registry[cls] = (flatten_fn, unflatten_fn)


_register_pytree_node = register_pytree_node


def is_namedtuple_instance(obj: Any) -> bool:
    """Return whether an object is a named tuple."""
    return isinstance(obj, tuple) and hasattr(obj, "_fields")


def _rule(kind: Any) -> tuple[_Parts, _Whole] | None:
    found = _registry.get(kind)
    if found is None and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return (lambda x: (x, None)), (lambda children, _: kind(*children))
    return found


def _flatten(tree: Any, leaves: list[Any], is_leaf: Leaf) -> TreeSpec:
    rule = None if is_leaf is not None and is_leaf(tree) else _rule(type(tree))
    if rule is None:
        leaves.append(tree)
        return TreeSpec(None)
    children, context = rule[0](tree)
    return TreeSpec(type(tree), context, tuple([_flatten(child, leaves, is_leaf) for child in children]))


def tree_flatten(tree: Any, is_leaf: Leaf = None) -> tuple[list[Any], TreeSpec]:
    """Return the leaves of a tree, in order, and its shape."""
    leaves: list[Any] = []
    spec = _flatten(tree, leaves, is_leaf)
    return leaves, spec


def _build(leaves: Any, spec: TreeSpec) -> Any:
    if spec.type is None:
        return next(leaves)
    rule = _rule(spec.type)
    children = [_build(leaves, child) for child in spec.children_specs]
    return children if rule is None else rule[1](children, spec.context)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """Return the tree of a shape with these leaves.

    Raises:
        ValueError: too many or too few leaves.
    """
    if not isinstance(treespec, TreeSpec):
        received = type(treespec).__name__
        raise ArgumentError(message("tree_unflatten: the second argument", received=received, expected="a TreeSpec"))
    values = list(leaves)
    if len(values) != treespec.num_leaves:
        received, expected = f"{len(values)} leaves", f"{treespec.num_leaves}"
        raise ArgumentError(message("tree_unflatten: the number of leaves", received=received, expected=expected))
    return _build(iter(values), treespec)


def tree_leaves(tree: Any, is_leaf: Leaf = None) -> list[Any]:
    """Return the leaves of a tree, in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Leaf = None) -> TreeSpec:
    """Return the shape of a tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Leaf = None) -> Any:
    """Return the tree with the values of a function at its leaves (and at those of other trees of the same shape)."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_leaves(rest, is_leaf) for rest in rests]
    return tree_unflatten([func(*row) for row in zip(leaves, *others, strict=True)], spec)


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Leaf = None) -> Any:
    """Call a function for every leaf, and return the tree itself."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(kind: Any, func: Callable[[Any], Any], tree: Any, is_leaf: Leaf = None) -> Any:
    """Return the tree with the values of a function at the leaves of a type (or for which `kind` is true); others stay."""
    chosen = (lambda x: isinstance(x, kind)) if isinstance(kind, (type, tuple)) else kind
    return tree_map(lambda x: func(x) if chosen(x) else x, tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Leaf = None) -> bool:
    """Return whether a predicate holds for all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Leaf = None) -> bool:
    """Return whether a predicate holds for a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))
