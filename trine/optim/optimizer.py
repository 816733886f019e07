"""The base of optimizers: parameter groups, state, state dicts, hooks around a step."""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeAlias, TypeVar

from trine.errors import ArgumentError, DTypeError, UnsupportedError, message
from trine.optim.state import load_value, pack_value
from trine.tensor import Tensor, flush
from trine.tensor.alias import is_leaf
from trine.tensor.execution import prepare
from trine.tensor.grad_mode import is_grad_enabled, no_grad, set_grad_enabled
from trine.tensor.hooks import HookHandle
from trine.tensor.recorder import local

Group = dict[str, Any]
ParamsT: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
Hook = Callable[..., Any]
F = TypeVar("F", bound=Callable[..., Any])

_step_pre_hooks: dict[int, Hook] = {}
_step_post_hooks: dict[int, Hook] = {}


class _Required:
    """Marks an option that every parameter group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Base class of all optimizers.

    Args:
        params: parameters, (name, parameter) pairs, or a list of groups: dicts with the key "params" and options of their own.
        defaults: options of the groups that do not give them.

    Attributes:
        param_groups: list of dicts with "params" and the options; options may be changed between steps (nothing is compiled again).
        state: parameter -> dict of what the rule keeps for it.

    A subclass implements `step`. Whatever it records runs when the step ends.

    >>> import trine
    >>> class Descent(trine.optim.Optimizer):
    ...     def __init__(self, params, lr):
    ...         super().__init__(params, {"lr": lr})
    ...     @trine.no_grad()
    ...     def step(self, closure=None):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p.add_(p.grad, alpha=-group["lr"])
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> (w * w).sum().backward()
    >>> Descent([w], lr=0.25).step()
    >>> w.tolist()
    [0.5]
    """

    numbers: ClassVar[tuple[str, ...]] = ("step",)
    """Names in the state that are Python numbers here and tensors in a state dict, as in PyTorch."""
    same_shape: ClassVar[tuple[str, ...]] = ()
    """Names in the state that have the shape of their parameter."""

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise DTypeError(
                message("optimizer: params", received="one Tensor", expected="an iterable of tensors or groups", fix="pass [tensor]")
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._make_hooks()
        groups: list[Any] = list(params)
        if not groups:
            raise ArgumentError(message("optimizer got an empty parameter list", expected="at least one parameter"))
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)
        flush()  # initial values are computed here, and the engine is loaded, so that the first training step is like the others
        prepare()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            setattr(cls, "step", _whole_step(vars(cls)["step"]))  # noqa: B010

    def _make_hooks(self) -> None:
        self._optimizer_step_pre_hooks: dict[int, Hook] = {}
        self._optimizer_step_post_hooks: dict[int, Hook] = {}
        self._optimizer_state_dict_pre_hooks: dict[int, Hook] = {}
        self._optimizer_state_dict_post_hooks: dict[int, Hook] = {}
        self._optimizer_load_state_dict_pre_hooks: dict[int, Hook] = {}
        self._optimizer_load_state_dict_post_hooks: dict[int, Hook] = {}
        self._stepping = False
        self._opt_called = False

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            self._make_hooks()
        self.defaults.setdefault("differentiable", False)

    # --- groups ---------------------------------------------------------------------------------------------------------------------

    def add_param_group(self, group: Group) -> None:
        """Add a group of parameters with options of its own.

        Raises:
            DTypeError: if a parameter is not a tensor. ArgumentError: if it is not a leaf, or is in a group already, if an option without
                default is missing, or if only some parameters have names.
        """
        if not isinstance(group, dict):
            raise DTypeError(message("param group", received=type(group).__name__, expected="a dict"))
        members = group["params"]
        if isinstance(members, set | frozenset):
            raise DTypeError(message("optimizer: params", received="a set, which has no order", expected="a list", fix="pass list(params)"))
        given = [members] if isinstance(members, Tensor) else list(members)
        params = [p[1] if isinstance(p, tuple) else p for p in given]
        made = {**self.defaults, **group, "params": params}
        if any(isinstance(p, tuple) for p in given):
            if not all(isinstance(p, tuple) for p in given):
                raise ArgumentError(message("all optimizer params should be with/without names", received="some (name, parameter) pairs"))
            made["param_names"] = [p[0] for p in given]
        self._check_names(made)
        missing = [name for name, value in made.items() if value is required]
        if missing:
            raise ArgumentError(message(f"parameter group didn't specify a value of required optimization parameter {missing[0]}"))
        self._check_params(params)
        self.param_groups.append(made)

    def _check_names(self, group: Group) -> None:
        if self.param_groups and ("param_names" in self.param_groups[0]) != ("param_names" in group):
            what = "all optimizer param groups should be with/without names"
            raise ArgumentError(message(what, received="a group " + ("with" if "param_names" in group else "without") + " names"))

    def _check_params(self, params: Sequence[Any]) -> None:
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise DTypeError(message("optimizer can only optimize tensors", received=type(p).__name__, expected="a Tensor"))
            if not (is_leaf(p) or p.retains_grad or self.defaults.get("differentiable")):
                raise ArgumentError(message("can't optimize a non-leaf tensor", received=f"a computed tensor of shape {tuple(p.shape)}"))
            if id(p) in known:
                what = "some parameters appear in more than one parameter group, or more than once in one"
                raise ArgumentError(message(what, received=f"a parameter of shape {tuple(p.shape)}"))
            known.add(id(p))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or set them to zero in place)."""
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if set_to_none:
                        p.grad = None
                    elif p._grad is not None:
                        p._grad.detach_().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients and run what is recorded.

        Args:
            closure: computes the loss again and returns it (its gradients too).
        """
        raise NotImplementedError(f"{type(self).__name__} must define step")

    # --- states ---------------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data and tensors: {"state": {index: …}, "param_groups": […]}, parameters by number."""
        for hook in list(self._optimizer_state_dict_pre_hooks.values()):
            hook(self)
        number: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                number.setdefault(id(p), len(number))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [number[id(p)] for p in group["params"]]
            groups.append(packed)
        state: dict[Any, Any] = {}
        for key, values in self.state.items():
            packed_values = {k: pack_value(v) if k in self.numbers else v for k, v in values.items()}
            state[number.get(id(key), key)] = packed_values
        made: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in list(self._optimizer_state_dict_post_hooks.values()):
            replaced = hook(self, made)
            made = made if replaced is None else replaced
        return made

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state made by `state_dict`, here or in PyTorch (of the same number of groups and parameters).

        Raises:
            ArgumentError: if groups or shapes do not match; the optimizer is unchanged then.
        """
        if isinstance(state_dict, dict):
            state_dict = dict(state_dict)
        for hook in list(self._optimizer_load_state_dict_pre_hooks.values()):
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        params = self._params_by_number(state_dict)
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for index, values in state_dict["state"].items():
            if isinstance(index, Tensor):
                state[index] = values
                continue
            p = params.get(int(index))
            if p is None:
                what = "load_state_dict: state of an unknown parameter"
                raise ArgumentError(message(what, received=index, expected=f"one of {list(params)}"))
            state[p] = {name: self._load(name, value, p) for name, value in values.items() if value is not None}
        self.state = state
        for mine, theirs in zip(self.param_groups, state_dict["param_groups"], strict=True):
            mine.update({k: v for k, v in theirs.items() if k != "params" and (k != "param_names" or k in mine)})
        for hook in list(self._optimizer_load_state_dict_post_hooks.values()):
            hook(self)
        flush()

    def _params_by_number(self, state_dict: Any) -> dict[int, Tensor]:
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
        return params

    def _load(self, name: str, value: Any, p: Tensor) -> Any:
        if name in self.numbers:
            return int(value) if name == "step" else float(value)
        made = load_value(value, p)
        if name in self.same_shape and made.shape != p.shape:
            received, expected = f"shape {tuple(made.shape)}", f"shape {tuple(p.shape)}, that of the parameter"
            raise ArgumentError(message(f"load_state_dict: {name} does not fit its parameter", received=received, expected=expected))
        return made

    # --- hooks ----------------------------------------------------------------------------------------------------------------------

    def has_step_hooks(self) -> bool:
        """Return whether a hook is called before or after each step."""
        return bool(self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks or _step_pre_hooks or _step_post_hooks)

    def register_step_pre_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return new ``(args, kwargs)`` (args begin with the optimizer)."""
        return HookHandle(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return HookHandle(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> HookHandle:
        """Call ``hook(optimizer)`` before `state_dict` (prepend: before the other hooks)."""
        return _registered(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> HookHandle:
        """Call ``hook(optimizer, state_dict)`` after `state_dict`; what it returns (if not None) is the result."""
        return _registered(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> HookHandle:
        """Call ``hook(optimizer, state_dict)`` before `load_state_dict`; what it returns (if not None) is loaded."""
        return _registered(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> HookHandle:
        """Call ``hook(optimizer)`` after `load_state_dict`."""
        return _registered(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    @staticmethod
    def _group_tensors_by_device_and_dtype(tensorlistlist: Sequence[Sequence[Any]], with_indices: bool = False) -> dict[Any, Any]:
        """Return (device, dtype) of the first list's tensors -> (the lists with these tensors, their positions)."""
        places: defaultdict[Any, list[int]] = defaultdict(list)
        for i, tensor in enumerate(tensorlistlist[0]):
            places[tensor.device, tensor.dtype].append(i)
        return {key: ([[row[i] for i in found] for row in tensorlistlist], found if with_indices else []) for key, found in places.items()}

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return "\n".join([*lines, ")"])


def _registered(hooks: dict[int, Hook], hook: Hook, prepend: bool) -> HookHandle:
    handle = HookHandle(hooks, hook)
    if prepend:
        others = [(k, v) for k, v in hooks.items() if k != handle.id]
        for key, _ in others:
            del hooks[key]
        hooks.update(others)
    return handle


def _whole_step(step: F) -> F:
    """Return a class's `step` with the hooks around it, ended by a flush (the outermost call's, where one step calls another)."""

    @functools.wraps(step)
    def whole_step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self._stepping:
            return step(self, *args, **kwargs)
        given: tuple[Any, ...] = (self, *args)
        self._stepping = True
        try:
            for hook in itertools.chain(list(_step_pre_hooks.values()), list(self._optimizer_step_pre_hooks.values())):
                given, kwargs = _replaced(hook(self, given, kwargs), given, kwargs)
            result = step(*given, **kwargs)
            self._opt_called = True  # what learning rate schedulers look at
            for hook in itertools.chain(list(self._optimizer_step_post_hooks.values()), list(_step_post_hooks.values())):
                hook(self, given, kwargs)
        finally:
            self._stepping = False
        if local.capture is None:
            flush()
        elif local.capture.optimizers[-1:] != [getattr(self, "_captured", None)] or self.has_step_hooks():
            local.capture.give_up(f"the step of {type(self).__name__} is more than an update of its parameters")
        return result

    return whole_step  # type: ignore[return-value]


def _replaced(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if result is None:
        return args, kwargs
    if isinstance(result, tuple) and len(result) == 2:
        return result
    what = "a step pre-hook returned something else than None or new arguments"
    raise UnsupportedError(message(what, received=repr(result)[:80], expected="None, or a tuple (args, kwargs)"))


def register_optimizer_step_pre_hook(hook: Hook) -> HookHandle:
    """Call ``hook(optimizer, args, kwargs)`` before the steps of all optimizers."""
    return HookHandle(_step_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Hook) -> HookHandle:
    """Call ``hook(optimizer, args, kwargs)`` after the steps of all optimizers."""
    return HookHandle(_step_post_hooks, hook)


def _described(value: Any) -> str:
    return f"a dict with {', '.join(map(str, value)) or 'nothing'}" if isinstance(value, dict) else type(value).__name__


# --- what optimizers written for PyTorch import from here -------------------------------------------------------------------------------


def _use_grad_for_differentiable(step: F) -> F:
    """Decorator of `step`: gradients are recorded in it if the optimizer is differentiable."""

    @functools.wraps(step)
    def wrapper(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        before = is_grad_enabled()
        with set_grad_enabled(bool(self.defaults.get("differentiable", False))):
            result = step(self, *args, **kwargs)
        set_grad_enabled(before)
        return result

    return wrapper  # type: ignore[return-value]


def _get_value(x: Any) -> Any:
    """Return a number, or the number in a tensor."""
    return x.item() if isinstance(x, Tensor) else x


def _default_to_fused_or_foreach(params: Sequence[Any], differentiable: bool, use_fused: bool = False) -> tuple[bool, bool]:
    """Return (fused, foreach): neither, for the plain loop over parameters is recorded and compiled as a whole."""
    return False, False


def _get_capturable_supported_devices(supports_xla: bool = True) -> list[str]:
    """Return the devices whose steps can be captured: none, for nothing needs it."""
    return []
