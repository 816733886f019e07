"""A dict of a module's members that shows each of them as an attribute of the module too."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from trine.tensor import changes

if TYPE_CHECKING:
    from trine.nn.members import Members

_MISSING = object()


class Registry(dict[str, Any]):
    """Parameters, buffers or children by name; every change is repeated in the module's ``__dict__``.

    Python then finds ``self.weight`` at once, instead of falling back to ``__getattr__`` (a twentieth of the time).
    """

    __slots__ = ("_owner",)

    def __init__(self, owner: Members, members: Any = ()) -> None:
        super().__init__()
        self._owner = weakref.ref(owner)  # weak, so that a module is freed as soon as nobody holds it
        self.update(members)

    def _hide(self, name: str) -> None:
        owner = self._owner()
        if owner is not None:
            owner.__dict__.pop(name, None)

    def __setitem__(self, name: str, member: Any) -> None:
        super().__setitem__(name, member)
        changes.note()
        owner = self._owner()
        if owner is not None:
            owner.__dict__[name] = member

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        changes.note()
        self._hide(name)

    def pop(self, name: str, default: Any = _MISSING) -> Any:
        if name not in self and default is not _MISSING:
            return default
        member = self[name]
        del self[name]
        return member

    def popitem(self) -> tuple[str, Any]:
        name, member = super().popitem()
        self._hide(name)
        return name, member

    def clear(self) -> None:
        for name in list(self):
            del self[name]

    def update(self, *args: Any, **kwargs: Any) -> None:
        for name, member in dict(*args, **kwargs).items():
            self[name] = member

    def __ior__(self, other: Any) -> Registry:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def replace(self, members: Any) -> None:
        """Take over other members, in their order."""
        members = dict(members)
        self.clear()
        self.update(members)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict(self),)
