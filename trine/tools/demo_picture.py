"""The picture of the demo: curves, confusion matrix, test digits with predictions."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trine.tools.demo_model import Array
from trine.tools.demo_train import History

GRID = 10  # digits along each side
BLUE, ORANGE, RED, GREY = "#2563eb", "#ea580c", "#dc2626", "#6b7280"
STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def write_picture(path: Path, history: History, images: Array, labels: Array, logits: Array, title: str) -> None:
    """Write the picture as a PNG file, whole or not at all.

    Args:
        path: of the file. history: of the training. images: (N, 28, 28) uint8. labels: (N,). logits: (N, 10). title: the first line.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(13, 8.4), layout="constrained", facecolor="white")  # no pyplot: no window, no global state
        figure.suptitle(title, x=0.012, ha="left", fontsize=15, fontweight="bold")
        left, right = _parts(figure, 1, 2, width_ratios=(1, 1.08), wspace=0.03)
        upper, lower = _parts(left, 2, 1, height_ratios=(1, 1.5))
        _draw_curves(upper.subplots(1, 2), history)
        _draw_confusion(lower.subplots(), labels, logits.argmax(1))
        _draw_digits(right, images, labels, logits)
        _save(figure, path)


def _parts(figure: Any, rows: int, columns: int, **ratios: Any) -> Any:
    return figure.subfigures(rows, columns, **ratios)


def smoothed(values: list[float], window: int) -> Array:
    """Return the running average of `values` over up to `window` values.

    >>> smoothed([1.0, 3.0, 5.0], 2).tolist()
    [1.0, 2.0, 4.0]
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(0, stop - window)
    result: Array = (total[stop] - total[start]) / (stop - start)
    return result


def _draw_curves(axes: Any, history: History) -> None:
    steps = np.arange(1, len(history.loss) + 1)
    window = max(1, len(steps) // 25)
    loss, share = axes
    loss.plot(steps, history.loss, color=BLUE, alpha=0.2, linewidth=0.7)
    loss.plot(steps, smoothed(history.loss, window), color=BLUE)
    loss.set(title="Training loss", xlabel="step", yscale="log")
    share.plot(steps, 100 * smoothed(history.accuracy, window), color=BLUE, label="training")
    share.plot(history.test_steps, [100 * value for value in history.test_accuracy], "o-", color=ORANGE, label="test")
    lowest = 100 * min(history.test_accuracy, default=0.9)
    share.set(title="Accuracy, %", xlabel="step", ylim=(min(90.0, lowest - 2), 100.3))
    share.legend(frameon=False, loc="lower right")
    for axis in axes:
        axis.grid(alpha=0.25)


def confusion_matrix(labels: Array, predictions: Array) -> Array:
    """Return the (10, 10) counts of digits: row the true digit, column the prediction.

    >>> confusion_matrix(np.array([1, 1, 2]), np.array([1, 7, 2]))[1].tolist()
    [0, 1, 0, 0, 0, 0, 0, 1, 0, 0]
    """
    return np.bincount(labels * 10 + predictions, minlength=100).reshape(10, 10)


def _draw_confusion(axis: Axes, labels: Array, predictions: Array) -> None:
    counts = confusion_matrix(labels, predictions)
    errors = counts * (1 - np.eye(10, dtype=counts.dtype))
    # the right answers are grey, so that the colour is left to the errors
    axis.imshow(np.where(np.eye(10) > 0, np.nan, errors), cmap="Oranges", vmin=0, vmax=max(1, errors.max()) * 1.3)
    axis.imshow(np.where(np.eye(10) > 0, 0.18, np.nan), cmap="Greys", vmin=0, vmax=1)
    for row, column in np.ndindex(10, 10):
        count = counts[row, column]
        if count:
            axis.text(column, row, str(count), ha="center", va="center", fontsize=8, color="black" if row != column else GREY)
    axis.set(title=f"Confusion: {errors.sum():,} errors", xlabel="prediction", ylabel="digit", xticks=range(10), yticks=range(10))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def chosen_digits(labels: Array, logits: Array, count: int) -> Array:
    """Return the indices of the digits to show: the surest errors first, then right ones evenly spread over the set."""
    is_error = logits.argmax(1) != labels
    largest = np.sort(logits, axis=1)
    errors = np.flatnonzero(is_error)
    errors = errors[np.argsort(largest[errors, -2] - largest[errors, -1], kind="stable")][: count // 2]
    right = np.flatnonzero(~is_error)
    spread = np.linspace(0, max(0, len(right) - 1), min(count - len(errors), len(right))).astype(int)
    return np.concatenate([errors, right[spread]])


def _draw_digits(figure: Any, images: Array, labels: Array, logits: Array) -> None:
    chosen = chosen_digits(labels, logits, GRID * GRID)
    predictions = logits.argmax(1)
    num_errors = int((predictions[chosen] != labels[chosen]).sum())
    heading = f"Test digits and predictions; {num_errors} errors in red, the true digit in brackets"
    figure.suptitle(heading, x=0.02, ha="left", fontsize=11, fontweight="bold")
    axes = figure.subplots(GRID, GRID).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, index in zip(axes, chosen, strict=False):
        is_error = predictions[index] != labels[index]
        axis.imshow(images[index], cmap="Reds" if is_error else "Greys", vmin=0, vmax=255, interpolation="nearest")
        text = f"{predictions[index]} ({labels[index]})" if is_error else str(predictions[index])
        axis.set_title(text, fontsize=9, pad=1.5, loc="center", color=RED if is_error else "black", fontweight="normal")


def _save(figure: Figure, path: Path) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".png")
    os.close(descriptor)
    try:
        figure.savefig(temporary, dpi=110)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
