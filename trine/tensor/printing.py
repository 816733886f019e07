"""Tensors as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trine import dtypes
from trine.tensor.recorder import local

if TYPE_CHECKING:
    from trine.tensor.tensor import Tensor

_PLAIN = (dtypes.float32, dtypes.int64, dtypes.bool_)


@dataclass
class PrintOptions:
    """How tensors are printed.

    Attributes:
        precision: digits after the point. threshold: elements above which a summary is printed. edgeitems: elements kept at each
            end of an axis in a summary. linewidth: characters a line. sci_mode: scientific notation always, never, or None (as needed).
    """

    precision: int = 4
    threshold: int = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


options = PrintOptions()


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed; see `PrintOptions`. `profile` is "default", "short" or "full"."""
    if profile is not None:
        preset = {"default": (4, 1000, 3), "short": (2, 1000, 2), "full": (4, 1 << 62, 3)}[profile]
        options.precision, options.threshold, options.edgeitems = preset
    for name, value in (("precision", precision), ("threshold", threshold), ("edgeitems", edgeitems), ("linewidth", linewidth)):
        if value is not None:
            setattr(options, name, value)
    options.sci_mode = sci_mode


def format_tensor(tensor: Tensor) -> str:
    """Return ``tensor([1., 2.], requires_grad=True)``."""
    if local.levels and tensor._buffer is None and tensor._trace is local.trace:
        return f"tensor(..., size={tensor._meta.shape}, dtype={tensor._meta.dtype!r}, inside of a transformation)"
    array: Any = tensor._array()
    meta = tensor._meta
    if meta.dtype is dtypes.bfloat16:
        array = dtypes.from_bfloat16_bits(array)
    prefix = "tensor("
    text = np.array2string(
        array,
        precision=options.precision,
        threshold=options.threshold,
        edgeitems=options.edgeitems,
        max_line_width=options.linewidth,
        separator=", ",
        prefix=prefix,
        floatmode="maxprec" if meta.dtype.is_floating_point else "maxprec_equal",
    )
    suffix = []
    if 0 in meta.shape and len(meta.shape) != 1:
        suffix.append(f"size={meta.shape}")
    if meta.dtype not in _PLAIN:
        suffix.append(f"dtype={meta.dtype!r}")
    if meta.requires_grad:
        suffix.append("requires_grad=True" if tensor.grad_fn is None else f"grad_fn=<{tensor.grad_fn.name()}>")
    return prefix + ", ".join([text, *suffix]) + ")"
