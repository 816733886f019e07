"""Tensors that are pending in another thread's recording."""

from __future__ import annotations

import os
import time

from trine.errors import TrineError, message
from trine.runtime.memory import Buffer
from trine.tensor import execution
from trine.tensor.handle import Handle
from trine.tensor.recorder import Trace
from trine.tensor.state import State

_PAUSE = 2e-4  # seconds between two looks at a recording that its thread is running


def compute_foreign(tensor: Handle) -> Buffer:
    """Return the memory of a tensor that is pending in another thread's recording, and keep it in the tensor.

    The recording goes on undisturbed: what the tensor was computed from is computed here, from the same leaves.

    Raises:
        TrineError: if the recording is gone (its thread failed while running it).
    """
    while tensor._buffer is None:
        trace = tensor._trace
        if tensor._lost is not None:
            raise TrineError(tensor._lost)
        if trace is None or trace.closed:
            if tensor._buffer is not None or tensor._trace is not trace:
                continue
            raise TrineError(message("this tensor has no value", received="a tensor whose recording ended without computing it"))
        slot = tensor._slot
        copy = _snapshot(trace, slot)
        # The copy holds the leaves, and from then on their owner does not write over them; if it has begun to, it is waited for.
        if trace in execution.running or copy is None:
            time.sleep(_PAUSE)
        elif not trace.closed and tensor._trace is trace and tensor._slot == slot:
            _compute(tensor, copy, slot)
    return tensor._buffer


def _snapshot(trace: Trace, slot: int) -> Trace | None:
    """Return a recording that ends with a slot (None if the original is just ending)."""
    state: State | None = trace.state
    while state is not None and state.slot > slot:
        state = state.parent
    if state is None or state.end <= slot:
        return None
    # Copies of lists and dicts are atomic under the GIL.
    copy = Trace(state)
    copy.leaves, copy.scalars, copy.leaf_tensors = trace.leaves.copy(), trace.scalars.copy(), trace.leaf_tensors.copy()
    copy.hooked = {s: t for s, t in trace.hooked.copy().items() if s < state.end}
    copy.cuts, copy.donors = trace.cuts.copy(), trace.donors.copy()
    return copy


def _compute(tensor: Handle, copy: Trace, slot: int) -> None:
    entry = execution.find_plan(copy, (slot,), ())
    outputs = entry.executable.run(copy.leaves, copy.scalars)
    execution.hand_over(copy, entry, {slot: [tensor]}, outputs)


def _forget_threads() -> None:
    """In a forked child the other threads are gone, and with them what they were running."""
    for trace in execution.running:
        trace.closed = True
    execution.running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
