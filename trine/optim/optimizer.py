"""The base of optimizers: parameter groups, state, and the recorded step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, message
from trine.runtime.memory import allocate
from trine.tensor import Tensor, flush, record
from trine.tensor.alias import assign_all, gradient_leaf, is_leaf
from trine.tensor.convert import tensor
from trine.tensor.grad_mode import enable_grad, no_grad
from trine.tensor.state import Meta
from trine.tensor.tensor import from_buffer

Group = dict[str, Any]


class Optimizer:
    """Base class of all optimizers.

    Args:
        params: parameters, (name, parameter) pairs, or a list of groups: dicts with the key "params" and options of their own.
        defaults: options of the groups that do not give them.

    Attributes:
        param_groups: list of dicts with "params" and the options; options may be changed between steps (nothing is compiled again).
        state: parameter -> dict of what the rule keeps for it.

    A subclass implements `_update(group, params)`, which records the new values of parameters that have a gradient.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise DTypeError(
                message("optimizer: params", received="one Tensor", expected="an iterable of tensors or groups", fix="pass [tensor]")
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        groups = list(params)
        if not groups:
            raise ArgumentError(message("optimizer got an empty parameter list", expected="at least one parameter"))
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)
        flush()  # initial values are computed here, so that the first training step is like the others

    def add_param_group(self, group: Group) -> None:
        """Add a group of parameters with options of its own.

        Raises:
            DTypeError: if a parameter is not a tensor. ArgumentError: if it is not a leaf, or is in a group already.
        """
        if not isinstance(group, dict):
            raise DTypeError(message("param group", received=type(group).__name__, expected="a dict"))
        members = group["params"]
        if isinstance(members, set | frozenset):
            raise DTypeError(message("optimizer: params", received="a set, which has no order", expected="a list", fix="pass list(params)"))
        params = [members] if isinstance(members, Tensor) else list(members)
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise DTypeError(message("optimizer can only optimize tensors", received=type(p).__name__, expected="a Tensor"))
            if not is_leaf(p):
                raise ArgumentError(message("can't optimize a non-leaf tensor", received=f"a computed tensor of shape {tuple(p.shape)}"))
            if id(p) in known:
                what = "some parameters appear in more than one parameter group, or more than once in one"
                raise ArgumentError(message(what, received=f"a parameter of shape {tuple(p.shape)}"))
            known.add(id(p))
        self.param_groups.append({**self.defaults, **group, "params": params})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or set them to zero in place)."""
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if set_to_none:
                        p._grad = None
                    elif p._grad is not None:
                        p._grad.detach_().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients and run what is recorded.

        Args:
            closure: computes the loss again and returns it (its gradients too).
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                params = [p for p in group["params"] if p._grad is not None]
                if params:
                    self._update(group, params)
        flush()
        return loss

    def _update(self, group: Group, params: list[Tensor]) -> None:
        raise NotImplementedError

    def _apply(
        self, builder: Callable[..., Any], params: Sequence[Tensor], names: Sequence[str], coefficients: Sequence[float], flags: Any
    ) -> None:
        """Record one update of all `params`: builder(*params, *grads, *states (name by name), *coefficients, count, flags).

        It returns the new parameters, then the new states name by name. States begin as zeros.
        """
        states = [self.state[p] for p in params] if names else []
        targets = list(params)
        for name in names:
            for p, state in zip(params, states, strict=True):
                if state.get(name) is None:
                    state[name] = _zeros_like(p)
                targets.append(state[name])
        count = len(params)
        operands = (*params, *(p._grad for p in params), *targets[count:], *coefficients)
        assign_all(targets, record(builder, operands, count, flags))

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors: {"state": {index: …}, "param_groups": […]}, parameters by number."""
        number: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                number.setdefault(id(p), len(number))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [number[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {number[id(p)]: {k: _pack(v) for k, v in s.items()} for p, s in self.state.items() if id(p) in number}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state made by `state_dict` (of the same number of groups and parameters).

        Raises:
            ArgumentError: if groups or shapes do not match; the optimizer is unchanged then.
        """
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= set(state_dict):
            raise ArgumentError(message("load_state_dict", received=_described(state_dict), expected="a dict with state and param_groups"))
        groups = state_dict["param_groups"]
        here = [len(g["params"]) for g in self.param_groups]
        there = [len(g["params"]) for g in groups]
        if here != there:
            raise ArgumentError(
                message("loaded state dict has different parameter groups", received=f"sizes {there}", expected=f"sizes {here}")
            )
        params: dict[int, Tensor] = {}
        for mine, theirs in zip(self.param_groups, groups, strict=True):
            params.update(zip(theirs["params"], mine["params"], strict=True))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for index, values in state_dict["state"].items():
            p = params.get(int(index))
            if p is None:
                raise ArgumentError(
                    message("load_state_dict: state of an unknown parameter", received=index, expected=f"one of {list(params)}")
                )
            state[p] = {name: _unpack(name, value, p) for name, value in values.items() if value is not None}
        self.state = state
        for mine, theirs in zip(self.param_groups, groups, strict=True):
            mine.update({k: v for k, v in theirs.items() if k != "params"})
        flush()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return "\n".join([*lines, ")"])


def _zeros_like(p: Tensor) -> Tensor:
    buffer = allocate(p.nbytes)
    np.asarray(buffer)[...] = 0
    return from_buffer(buffer, Meta.of(p._meta.shape, p._meta.dtype))


def _pack(value: Any) -> Any:
    return tensor(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _unpack(name: str, value: Any, p: Tensor) -> Any:
    if name == "step":
        return int(float(value))
    if not isinstance(value, Tensor):
        return value
    if value.shape != p.shape:
        received, expected = f"shape {tuple(value.shape)}", f"shape {tuple(p.shape)}, that of the parameter"
        raise ArgumentError(message(f"load_state_dict: {name} does not fit its parameter", received=received, expected=expected))
    return value.detach().to(p.dtype).clone()


def _described(value: Any) -> str:
    return f"a dict with {', '.join(map(str, value)) or 'nothing'}" if isinstance(value, dict) else type(value).__name__


def parameter_result(new: Node, old: Node) -> Node:
    """Return an updated parameter as a node where gradients end, if the parameter requires grad."""
    return gradient_leaf(new) if old.requires_grad else new


def check_options(name: str, **options: tuple[Any, float, float]) -> None:
    """Check numeric options, given as name=(value, low, high), high excluded.

    Raises:
        ArgumentError
    """
    for option, (value, low, high) in options.items():
        if not isinstance(value, Tensor) and not low <= value < high:
            raise ArgumentError(message(f"{name}: invalid {option}", received=value, expected=f"{low} <= {option} < {high}"))
