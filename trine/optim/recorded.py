"""Optimizers whose update is a rule: the step of all parameters of a group is recorded as one operation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from trine import dtypes
from trine.core.graph import Node
from trine.errors import ArgumentError, UnsupportedError, message
from trine.optim.captured import CapturedStep
from trine.optim.optimizer import Group, Optimizer
from trine.optim.rules import Rule, updated
from trine.runtime.memory import allocate
from trine.tensor import Tensor, record
from trine.tensor.alias import assign, assign_all, gradient_leaf
from trine.tensor.grad_mode import enable_grad, set_grad_enabled
from trine.tensor.recorder import local
from trine.tensor.state import Meta
from trine.tensor.tensor import from_buffer

INFINITY = math.inf
Numbers = dict[str, float]


class RecordedOptimizer(Optimizer):
    """Base of optimizers that are a pure update rule, tensors and numbers that it keeps, and coefficients.

    A subclass gives `rule`, `names` or `state_names`, and `coefficients`.
    """

    rule: ClassVar[Rule]
    names: ClassVar[tuple[str, ...]] = ()
    start: ClassVar[Numbers] = {"step": 0}
    """The numbers that are kept for a parameter, as they are before its first step."""
    _captured: CapturedStep
    _replayed: CapturedStep | None = None

    def state_names(self, group: Group, p: Tensor) -> tuple[str, ...]:
        """Return the names of the tensors that are kept for a parameter."""
        return self.names

    def initial_value(self, group: Group, name: str) -> float:
        """Return what a state is filled with before the first step."""
        return 0.0

    def initial_shape(self, name: str, p: Tensor) -> tuple[int, ...]:
        """Return the shape of a state."""
        return p._meta.shape

    def first_numbers(self, group: Group) -> Numbers:
        """Return the numbers of a parameter before its first step."""
        return self.start

    def flags(self, group: Group) -> Any:
        """Return what of the rule is switched on (static, hashable)."""
        raise NotImplementedError

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the run-time operands of a step, and bring the `numbers` up to date (they are those before the step)."""
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients and run what is recorded.

        Args:
            closure: computes the loss again and returns it (its gradients too).
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        groups = [(group, [p for p in group["params"] if p._grad is not None]) for group in self.param_groups]
        if local.capture is not None:
            self._captured = CapturedStep(self, groups)
            local.capture.optimizers.append(self._captured)
        with set_grad_enabled(bool(self.defaults.get("differentiable", False))):
            for group, params in groups:
                if params:
                    self._update(group, params)
        return loss

    def _update(self, group: Group, params: Sequence[Tensor]) -> None:
        together: defaultdict[Any, list[Tensor]] = defaultdict(list)
        for p in params:
            names = self._prepare(group, p)
            state = self.state[p] if self.start else {}
            together[(names, *(state[k] for k in self.start))].append(p)
        for key, members in together.items():
            numbers = dict(zip(self.start, key[1:], strict=True))
            coefficients = self.coefficients(group, numbers)
            self._apply(self.flags(group), members, key[0], coefficients, bool(group.get("differentiable")))
            for p in members if numbers else ():
                self.state[p].update(numbers)

    def _prepare(self, group: Group, p: Tensor) -> tuple[str, ...]:
        """Make what is missing in the state of a parameter and return the names of its tensors."""
        names = self.state_names(group, p)
        if names or self.start:
            state = self.state[p]
            if any(name not in state for name in self.start):
                state.update({k: v for k, v in self.first_numbers(group).items() if k not in state})
            for name in names:
                if state.get(name) is None:
                    state[name] = _filled(self.initial_shape(name, p), p, self.initial_value(group, name))
        return names

    def _apply(
        self, flags: Any, params: Sequence[Tensor], names: Sequence[str], coefficients: Sequence[float], differentiable: bool = False
    ) -> None:
        """Record one update of all `params`."""
        if local.capture is not None or self._replayed is not None:
            update = (flags, [id(p) for p in params], tuple(names), len(coefficients), differentiable)
            (self._replayed or self._captured).add(update, coefficients)
            if self._replayed is not None:
                return
        targets = list(params)
        for name in names:
            targets += [self.state[p][name] for p in params]
        count = len(params)
        operands = (*params, *(p._grad for p in params), *targets[count:], *coefficients)
        builder = update_through if differentiable else update_all
        made = record(builder, operands, type(self).rule, flags, count, len(names))
        if not differentiable:
            assign_all(targets, made)
            return
        for target, value in zip(targets, made, strict=True):
            assign(target, value)


def update_through(*operands: Any) -> tuple[Node, ...]:
    """Return the updated parameters, then the new states name by name.

    Operands: parameters, gradients, states (name by name), coefficients; then the rule, its flags, the number of parameters and of states.
    """
    *nodes, rule, flags, count, num_states = operands
    tensors = count * (2 + num_states)
    columns = [nodes[i * count : (i + 1) * count] for i in range(2 + num_states)]
    coefficients = tuple(nodes[tensors:])
    made = [updated(rule, flags, p, g, states, coefficients) for p, g, *states in zip(*columns, strict=True)]
    return tuple(new[k] for k in range(1 + num_states) for new in made)


def update_all(*operands: Any) -> tuple[Node, ...]:
    """`update_through`, with gradients that end at the updated parameters."""
    made = update_through(*operands)
    count = operands[-2]
    return (*(gradient_leaf(new) if p.requires_grad else new for new, p in zip(made, operands[:count], strict=False)), *made[count:])


def _filled(shape: tuple[int, ...], p: Tensor, value: float) -> Tensor:
    dtype = p._meta.dtype
    buffer = allocate(math.prod(shape) * dtype.itemsize)
    array = buffer.array(dtype.numpy, shape)
    array[...] = dtypes.to_bfloat16_bits(np.float32(value)) if dtype is dtypes.bfloat16 else value
    return from_buffer(buffer, Meta.of(shape, dtype))


def number(value: Any) -> float:
    """Return an option as a number (it may be a tensor of one element)."""
    return float(value)


def check_options(name: str, **options: tuple[Any, float, float]) -> None:
    """Check numeric options, given as name=(value, low, high), high excluded.

    Raises:
        ArgumentError
    """
    for option, (value, low, high) in options.items():
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ArgumentError(message(f"{name}: Tensor {option} must be 1-element", received=f"shape {tuple(value.shape)}"))
        elif not low <= value < high:
            raise ArgumentError(message(f"{name}: invalid {option}", received=value, expected=f"{low} <= {option} < {high}"))


def check_modes(name: str, foreach: bool | None, differentiable: bool, fused: bool | None) -> None:
    """Check options that say how an update is run; all updates are fused here, so that they change nothing.

    Raises:
        UnsupportedError: options that exclude each other.
    """
    if fused and (foreach or differentiable):
        other = "foreach" if foreach else "differentiable"
        raise UnsupportedError(message(f"{name}: `fused` and `{other}` cannot be True together", received=f"fused=True, {other}=True"))
