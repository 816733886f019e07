"""What a tensor is made of: a place in a recording, or memory, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trine.runtime.memory import Buffer
    from trine.tensor.alias import AliasGroup
    from trine.tensor.fragment import Fragment
    from trine.tensor.recorder import Trace
    from trine.tensor.state import Meta

_DEFAULTS: dict[str, Any] = {
    "_buffer": None,
    "_alias": None,
    "_grad": None,
    "_fragment": None,
    "_version": 0,
    "_hooks": None,
    "_path": (),
    "_alias_version": 0,
    "_lost": None,
    "_retains_grad": False,
    "_name": None,
    "_counter": 0,
}


class Handle:
    """The fields of a tensor.

    A tensor is *pending* while `_buffer` is None: its value is result number `_slot` of the recording `_trace`. A *concrete* one has
    its row-major elements in `_buffer`; if `_trace` is the current recording, it is leaf `_slot` there.

    Fields that are rarely set have no value of their own until then and read as their default.

    Attributes:
        _trace, _slot: place in a recording.
        _meta: shape, dtype, requires_grad.
        _buffer: memory, or None.
        _alias: the group of tensors that share memory with this one, or None; `_path`: movement steps from the group's base;
            `_alias_version`: the group's version that this tensor's value belongs to.
        _grad: accumulated gradient. _fragment: where a concrete non-leaf's gradient goes: (fragment, output number).
        _version: number of in-place writes, through any tensor that shares the memory and has the same `_counter` (what `x.data` gives has
            a count of its own). _hooks: gradient hooks. _lost: why the value is not available (an error at run time).
    """

    __slots__ = (
        "_trace",
        "_slot",
        "_meta",
        "_buffer",
        "_alias",
        "_grad",
        "_fragment",
        "_version",
        "_hooks",
        "_path",
        "_alias_version",
        "_lost",
        "_retains_grad",
        "_name",
        "_counter",
        "__dict__",
        "__weakref__",
    )

    _trace: Trace | None
    _slot: int
    _meta: Meta
    _buffer: Buffer | None
    _alias: AliasGroup | None
    _grad: Any
    _fragment: tuple[Fragment, int] | None
    _version: int
    _hooks: Any
    _path: tuple[Any, ...]
    _alias_version: int
    _lost: str | None
    _retains_grad: bool
    _name: str | None
    _counter: int

    def __getattr__(self, name: str) -> Any:
        try:
            return _DEFAULTS[name]
        except KeyError:
            if not name.startswith("_"):
                from trine.missing import MissingNameError, missing_name

                error = missing_name("trine.Tensor", name)
                if isinstance(error, MissingNameError):
                    raise error from None
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'") from None
