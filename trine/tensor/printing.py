"""Tensors as text, the way PyTorch writes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trine import dtypes
from trine.errors import ArgumentError, message
from trine.tensor.recorder import local

if TYPE_CHECKING:
    from trine.tensor.tensor import Tensor

Array = np.ndarray[Any, Any]

PREFIX = "tensor("


@dataclass
class PrintOptions:
    """How tensors are printed.

    Attributes:
        precision: digits after the point. threshold: elements above which a summary is printed. edgeitems: elements kept at each
            end of an axis in a summary. linewidth: characters a line. sci_mode: scientific notation always, never, or None (as needed).
    """

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {"default": PrintOptions(), "short": PrintOptions(precision=2, edgeitems=2), "full": PrintOptions(threshold=math.inf)}
options = PrintOptions()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed; see `PrintOptions`. `profile` is "default", "short" or "full".

    Raises:
        ArgumentError: there is no such profile.

    >>> import trine
    >>> trine.set_printoptions(precision=2)
    >>> trine.tensor(3.14159)
    tensor(3.14)
    >>> trine.set_printoptions(profile="default")
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    if profile is not None:
        if profile not in PROFILES:
            raise ArgumentError(message("set_printoptions: no such profile", received=repr(profile), expected=", ".join(PROFILES)))
        given = vars(PROFILES[profile]) | {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        if value is not None:
            setattr(options, name, value)
    options.sci_mode = sci_mode


@dataclass
class Style:
    """How the numbers of one tensor are written: all of them alike, and equally wide."""

    width: int = 1
    is_float: bool = False
    is_scientific: bool = False
    is_integral: bool = True

    def write(self, value: Any) -> str:
        """Return one number as text."""
        return self._digits(value).rjust(self.width)

    def _digits(self, value: Any) -> str:
        if not self.is_float:
            return str(value)
        if self.is_scientific:
            return f"{value:.{options.precision}e}"
        if self.is_integral:
            return f"{value:.0f}" + ("." if math.isfinite(value) else "")
        return f"{value:.{options.precision}f}"


def style_of(values: Array) -> Style:
    """Choose how the numbers of an array are written: as integers if they all are, with an exponent if they are far apart."""
    if values.size == 0:
        return Style()
    if values.dtype.kind != "f":
        return Style(max(len(str(values.min())), len(str(values.max()))))
    finite = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    if finite.size == 0:
        return Style(is_float=True)
    sizes = np.abs(finite)
    low, high = float(sizes.min()), float(sizes.max())
    is_scientific = (low < high / 1000.0 or high > 1.0e8 or low < 1.0e-4) if options.sci_mode is None else options.sci_mode
    style = Style(is_float=True, is_scientific=is_scientific, is_integral=bool((finite == np.ceil(finite)).all()))
    style.width = max(len(style._digits(float(v))) for v in (finite if finite.size <= 10_000 else _widest(finite)))
    return style


def _widest(values: Array) -> list[float]:
    return [float(values.min()), float(values.max()), float(values[np.abs(values).argmin()])]


def _edges(array: Array) -> Array:
    """Return the elements that a summary shows."""
    kept = options.edgeitems
    for axis, size in enumerate(array.shape):
        if size > 2 * kept:
            array = array.take([*range(kept), *range(size - kept, size)], axis)
    return array


class Writer:
    """Writes the elements of an array, with one style for the real and one for the imaginary parts."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.is_summary = array.size > options.threshold
        shown = _edges(array) if self.is_summary else array
        self.styles = (style_of(shown.real), style_of(shown.imag)) if shown.dtype.kind == "c" else (style_of(shown),)
        self.width = sum(style.width for style in self.styles) + (len(self.styles) - 1)

    def number(self, value: Any) -> str:
        """Return one element as text."""
        if len(self.styles) == 1:
            return self.styles[0].write(value)
        imaginary = (self.styles[1].write(value.imag) + "j").lstrip()
        return self.styles[0].write(value.real) + ("" if imaginary[0] in "+-" else "+") + imaginary

    def text(self, array: Array, indent: int) -> str:
        """Return (a part of) the array as text whose later lines are indented."""
        if array.ndim == 0:
            return self.number(array.item())
        kept = options.edgeitems
        is_cut = self.is_summary and array.shape[0] > 2 * kept
        parts = [array[:kept], array[len(array) - kept :]] if is_cut else [array]
        if array.ndim == 1:
            numbers = [[self.number(v) for v in part.tolist()] for part in parts]
            return self._rows(numbers[0] + [" ...", *numbers[1]] if is_cut else numbers[0], indent)
        blocks = [[self.text(row, indent + 1) for row in part] for part in parts]
        separator = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
        return "[" + separator.join(blocks[0] + ["...", *blocks[1]] if is_cut else blocks[0]) + "]"

    def _rows(self, numbers: list[str], indent: int) -> str:
        a_line = max(1, (options.linewidth - indent) // (self.width + 2))
        lines = [", ".join(numbers[i : i + a_line]) for i in range(0, len(numbers), a_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def format_tensor(tensor: Tensor) -> str:
    """Return ``tensor([1., 2.], requires_grad=True)``."""
    if local.levels and tensor._buffer is None and tensor._trace is local.trace:
        return f"tensor(..., size={tensor._meta.shape}, dtype={tensor._meta.dtype!r}, inside of a transformation)"
    array = tensor._numbers()
    text = PREFIX + ("[]" if array.size == 0 else Writer(array).text(array, len(PREFIX)))
    return _with_suffixes(text, _suffixes(tensor)) + ")"


def _suffixes(tensor: Tensor) -> list[str]:
    """Return what is said of a tensor behind its elements: what the elements do not say themselves."""
    from trine.tensor.convert import defaults

    meta = tensor._meta
    is_empty = 0 in meta.shape
    implied = [defaults.dtype] if is_empty else [defaults.dtype, defaults.complex_dtype, dtypes.int64, dtypes.bool_]
    suffixes = [f"size={meta.shape}"] if is_empty and len(meta.shape) != 1 else []
    if meta.dtype not in implied:
        suffixes.append(f"dtype={meta.dtype!r}")
    if meta.requires_grad:
        suffixes.append("requires_grad=True" if tensor.grad_fn is None else f"grad_fn=<{tensor.grad_fn.name()}>")
    return suffixes


def _with_suffixes(text: str, suffixes: list[str]) -> str:
    last_line = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if last_line + len(suffix) + 2 > options.linewidth:
            text, last_line = f"{text},\n{' ' * len(PREFIX)}{suffix}", len(PREFIX) + len(suffix)
        else:
            text, last_line = f"{text}, {suffix}", last_line + len(suffix) + 2
    return text
