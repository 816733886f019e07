"""Export to ONNX: PyTorch's name, so that programs that only offer it can be imported."""

from __future__ import annotations

from typing import Any, NoReturn

from trine.errors import UnsupportedError, message

__all__ = ["export", "is_in_onnx_export"]


def export(model: Any, args: Any = (), f: Any = None, **options: Any) -> NoReturn:
    """Raise: there is no exporter yet.

    Raises:
        UnsupportedError: always.
    """
    fix = "save the state_dict with trine.save(state, 'model.pth'), load it in PyTorch and export it there"
    raise UnsupportedError(message("onnx.export: not available in Trine", received=type(model).__name__, fix=fix))


def is_in_onnx_export() -> bool:
    """Return False: no export is in progress."""
    return False
