"""How the elements of a view lie in the memory of its base: the strides that PyTorch would report.

A value is always computed as a row-major array, so strides decide nothing here; but programs ask for them, `contiguous` copies what is not
row-major, and `view` refuses what strides cannot express. They follow from the movement steps that lead from the base to the view.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from trine.core import build
from trine.core.graph import Node

if TYPE_CHECKING:
    from trine.tensor.handle import Handle

Shape = tuple[int, ...]


class ViewLayout(NamedTuple):
    """Sizes and strides of a view, and the position of its first element, in elements of the base; `is_view` is False for a copy."""

    shape: Shape
    strides: Shape
    offset: int
    is_view: bool = True

    @classmethod
    def row_major(cls, shape: Shape) -> ViewLayout:
        """Return the layout of a tensor of its own."""
        strides, step = [], 1
        for size in reversed(shape):
            strides.append(step)
            step *= max(size, 1)
        return cls(shape, tuple(reversed(strides)), 0)

    @property
    def is_contiguous(self) -> bool:
        """True if the elements lie one after the other in row-major order."""
        step = 1
        if 0 in self.shape:
            return True
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1:
                if stride != step:
                    return False
                step *= size
        return True

    def is_dense_in(self, order: Shape) -> bool:
        """True if the elements lie one after the other when the axes are walked in `order`, the slowest first."""
        if len(order) != len(self.shape):
            return False
        return ViewLayout(tuple([self.shape[k] for k in order]), tuple([self.strides[k] for k in order]), self.offset).is_contiguous

    def reshaped(self, shape: Shape) -> ViewLayout | None:
        """Return the layout in another shape with as many elements, or None if no strides express it."""
        if 0 in self.shape:
            return ViewLayout.row_major(shape)._replace(offset=self.offset)
        strides: list[int] = []
        axis = len(shape) - 1
        size, step = 1, self.strides[-1] if self.strides else 1
        for k in range(len(self.shape) - 1, -1, -1):
            size *= self.shape[k]
            joins = k > 0 and (self.shape[k - 1] == 1 or self.strides[k - 1] == size * step)
            if joins:
                continue
            covered = 1
            while axis >= 0 and (covered < size or shape[axis] == 1):
                strides.append(covered * step)
                covered *= shape[axis]
                axis -= 1
            if covered != size:
                return None
            size, step = 1, self.strides[k - 1] if k > 0 else 1
        while axis >= 0:
            strides.append(step if not strides else strides[-1] * shape[axis + 1])
            axis -= 1
        return ViewLayout(shape, tuple(reversed(strides)), self.offset)


LayoutRule = Callable[..., ViewLayout]

VIEW_LAYOUTS: dict[Callable[..., Node], LayoutRule] = {}
"""View builder -> ``rule(layout, result node, *attributes)``, for views whose strides do not follow from their movement primitives."""


def _permute(layout: ViewLayout, node: Node) -> ViewLayout:
    order = node.attrs[0]
    return ViewLayout(node.shape, tuple([layout.strides[k] for k in order]), layout.offset)


def _expand(layout: ViewLayout, node: Node) -> ViewLayout:
    lead = len(node.shape) - len(layout.shape)
    grown = [0 if size != new else stride for size, new, stride in zip(layout.shape, node.shape[lead:], layout.strides, strict=True)]
    return ViewLayout(node.shape, (*(0,) * lead, *grown), layout.offset)


def _slice(layout: ViewLayout, node: Node) -> ViewLayout:
    start, _, step = node.attrs
    offset = layout.offset + sum(begin * stride for begin, stride in zip(start, layout.strides, strict=True))
    return ViewLayout(node.shape, tuple([stride * by for stride, by in zip(layout.strides, step, strict=True)]), offset)


def _reshape(layout: ViewLayout, node: Node) -> ViewLayout:
    return layout.reshaped(node.shape) or ViewLayout.row_major(node.shape)._replace(is_view=False)


def _same(layout: ViewLayout, node: Node) -> ViewLayout:
    return layout


_RULES: dict[str, Callable[[ViewLayout, Node], ViewLayout]] = {
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "reshape": _reshape,
    "stop_gradient": _same,
    "bitcast": _same,
}


def _step(layout: ViewLayout, source: Node, builder: Callable[..., Node], attrs: tuple[Any, ...]) -> tuple[ViewLayout, Node]:
    """Return the layout after one view, and its node."""
    result = builder(source, *attrs)
    rule = VIEW_LAYOUTS.get(builder)
    if rule is not None:
        return rule(layout, result, *attrs), result
    chain: list[Node] = []
    node = result
    while node is not source:
        chain.append(node)
        if node.op not in _RULES:
            return ViewLayout.row_major(result.shape)._replace(is_view=False), result
        node = node.inputs[0]
    for node in reversed(chain):
        before = layout.is_view
        layout = _RULES[node.op](layout, node)
        layout = layout._replace(is_view=layout.is_view and before)
    return layout, result


_known: dict[Any, ViewLayout] = {}
_MAX_KNOWN = 1 << 14


def layout_of(tensor: Handle) -> ViewLayout:
    """Return the layout of a tensor in the memory of its base."""
    path = tensor._path
    if not path or tensor._alias is None:
        return ViewLayout.row_major(tensor._meta.shape)
    meta = tensor._alias.base._meta
    key = (meta.shape, meta.dtype, path)
    found = _known.get(key)
    if found is None:
        layout = ViewLayout.row_major(meta.shape)
        node = build.input(0, meta.shape, meta.dtype)
        for builder, attrs in path:
            layout, source = _step(layout, node, builder, attrs)
            # each view is looked at by itself: its node becomes the next one's source
            node = build.input(0, source.shape, source.dtype)
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        found = _known[key] = layout
    return found


def viewed(tensor: Handle, builder: Callable[..., Node], *attrs: Any) -> ViewLayout | None:
    """Return the layout of a view of a tensor, or None if no strides express it: PyTorch would copy."""
    layout = layout_of(tensor)
    meta = tensor._meta
    result, _ = _step(layout, build.input(0, meta.shape, meta.dtype), builder, attrs)
    return result if result.is_view else None
