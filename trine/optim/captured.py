"""The step of an optimizer inside a captured function: what a replay has to compute anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trine.optim.recorded import RecordedOptimizer
    from trine.tensor import Tensor


class CapturedStep:
    """One step: whose, of which parameters, and the updates that it was made of.

    Attributes:
        coefficients: run-time operands of all updates, in order.
    """

    def __init__(self, optimizer: RecordedOptimizer, groups: Sequence[tuple[dict[str, Any], list[Tensor]]]) -> None:
        self.optimizer = optimizer
        self.groups = groups
        self.state = optimizer.state
        self.updates: list[Any] = []
        self.coefficients: list[float] = []
        self._before: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def add(self, update: Any, coefficients: Sequence[float]) -> None:
        """Note an update that was recorded: what it is made of, and its operands."""
        self.updates.append(update)
        self.coefficients += coefficients

    def again(self) -> list[float] | None:
        """Take the optimizer's numbers (its count of steps) one step further and return the operands of that step.

        Returns None, with nothing changed, if the step would be made of other updates.
        """
        optimizer = self.optimizer
        if optimizer.state is not self.state or optimizer.has_step_hooks():
            return None
        found = CapturedStep(optimizer, self.groups)
        if optimizer.start:
            states = [optimizer.state[p] for _, params in self.groups for p in params]
            if not all([name in state for state in states for name in optimizer.start]):
                return None
            self._before = [(state, {name: state[name] for name in optimizer.start}) for state in states]
        optimizer._replayed = found
        try:
            for group, params in self.groups:
                if params:
                    optimizer._update(group, params)
        except BaseException:
            self.back()
            raise
        finally:
            optimizer._replayed = None
        if found.updates == self.updates:
            optimizer._opt_called = True
            return found.coefficients
        self.back()
        return None

    def back(self) -> None:
        """Undo the last `again`."""
        for state, numbers in self._before:
            state.update(numbers)
