"""Anomaly mode: a backward pass that meets NaN names the user's line of the operation whose gradient it is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trine import dtypes
from trine.core.graph import Node
from trine.core.interpreter import evaluate
from trine.errors import GradientError, message
from trine.tensor.recorder import local

if TYPE_CHECKING:
    from trine.tensor.recorder import Trace


class Anomaly:
    """What a thread in anomaly mode knows.

    Attributes:
        check_nan: whether gradients are looked at.
        observed: (forward node, number of the operand, its gradient) of the differentiation in progress.
    """

    def __init__(self, check_nan: bool) -> None:
        self.check_nan = check_nan
        self.observed: list[tuple[Node, int, Node]] = []

    def key(self) -> Hashable:
        """Return what makes a transition one of its own: in this mode nothing is repeated from memory."""
        return object()

    def observe(self, node: Node, gradients: Sequence[Node | None]) -> None:
        """Note the gradients that one operation's rule gave."""
        self.observed += [(node, i, g) for i, g in enumerate(gradients) if g is not None and g.dtype.code in "fc"]

    def check(self, trace: Trace) -> None:
        """Compute the gradients noted so far, and raise for the first that holds NaN.

        Raises:
            GradientError
        """
        observed, self.observed = self.observed, []
        if not self.check_nan or not observed:
            return
        arrays: list[Any] = [None] * len(trace.leaves)
        for node in trace.nodes():
            if node.op == "input":
                arrays[node.attrs[0]] = trace.leaves[node.attrs[0]].array(node.dtype.numpy, node.shape)
        values = evaluate([g for _, _, g in observed], arrays, trace.scalars)
        for (node, index, gradient), value in zip(observed, values, strict=True):
            if np.isnan(dtypes.from_bfloat16_bits(value) if gradient.dtype is dtypes.bfloat16 else value).any():
                what = f"Function '{_function_name(node)}' returned nan values in its {index}th output."
                received = f"a gradient of shape {gradient.shape} with NaN"
                fix = "look at the operands of this operation: a division by zero, the root or the logarithm of zero"
                raise GradientError(message(what, received=received, fix=fix, where=node.source))


def _function_name(node: Node) -> str:
    from trine.tensor.grad_fn import GradFn

    return GradFn(node.op).name()


class detect_anomaly:
    """Context manager in which a backward pass that meets NaN raises, and names the line of the forward operation.

    For hunting a bug: every gradient is computed and looked at.

    Args:
        check_nan: look for NaN; else only errors inside custom functions get the line of their call.

    >>> import trine
    >>> x = trine.tensor([0.0], requires_grad=True)
    >>> with trine.autograd.detect_anomaly():
    ...     y = (x.sqrt() * 0).sum()
    ...     y.backward()
    Traceback (most recent call last):
    ...
    trine.errors.GradientError: Function 'SqrtBackward0' returned nan values in its 0th output.
    ...
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._mode: Anomaly | None = Anomaly(check_nan)

    def __enter__(self) -> None:
        self._before, local.anomaly = local.anomaly, self._mode

    def __exit__(self, *_: object) -> None:
        local.anomaly = self._before


class set_detect_anomaly(detect_anomaly):
    """Switch anomaly mode on or off, by a plain call or as a context manager."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = local.anomaly
        self._mode = Anomaly(check_nan) if mode else None
        local.anomaly = self._mode

    def __enter__(self) -> None:
        pass


def is_anomaly_enabled() -> bool:
    """Return True in anomaly mode."""
    return local.anomaly is not None


def is_anomaly_check_nan_enabled() -> bool:
    """Return True if gradients are looked at for NaN."""
    return local.anomaly is not None and local.anomaly.check_nan
