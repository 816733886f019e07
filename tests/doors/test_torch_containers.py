"""Containers, hooks, states and lazy modules: the same program with both libraries says the same."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import trine
from tests.doors.torch_parity import torch

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:torch", "ignore:Full backward hook:UserWarning", "ignore:Positional args")


def shown(value: Any) -> Any:
    """A value as plain Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {k: shown(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [shown(v) for v in value]
    return repr(value) if type(value).__module__.split(".")[0] in ("trine", "torch") else value


def kind_of(error: BaseException) -> set[type]:
    return {
        k for k in (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, NotImplementedError) if isinstance(error, k)
    }


def outcome(program: Callable[[Any], Any], library: Any) -> Any:
    try:
        return shown(program(library))
    except Exception as error:
        return error


def check(program: Callable[[Any], Any]) -> None:
    """The same values, or errors of the same kind."""
    ours, theirs = outcome(program, trine), outcome(program, torch)
    if isinstance(theirs, Exception):
        assert isinstance(ours, Exception), (ours, theirs)
        assert kind_of(ours) & kind_of(theirs), (ours, theirs)
    elif isinstance(ours, Exception):
        raise ours
    else:
        assert ours == theirs


def layers(library: Any, count: int = 3) -> list[Any]:
    return [library.nn.Linear(i + 1, i + 2) for i in range(count)]


def sequential(library: Any, count: int = 3) -> Any:
    return library.nn.Sequential(*layers(library, count))


def mutated(make: Callable[[Any], Any], change: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """A program that makes a container, changes it, and returns what the change gave, the text, and the names of the state."""

    def program(library: Any) -> Any:
        container = make(library)
        result = change(library, container)
        return result, repr(container), list(container.state_dict()), len(container)

    return program


SEQUENTIAL: list[Callable[[Any, Any], Any]] = [
    lambda library, s: s.append(library.nn.ReLU()) is s,
    lambda library, s: s.extend(layers(library, 2)) is s,
    lambda library, s: s.insert(1, library.nn.ReLU()) is s,
    lambda library, s: s.insert(-1, library.nn.ReLU()) is s,
    lambda library, s: s.insert(9, library.nn.ReLU()),
    lambda library, s: s.pop(1),
    lambda library, s: s.pop(slice(0, 2)),
    lambda library, s: s[7],
    lambda library, s: s[-1],
    lambda library, s: s[1:],
    lambda library, s: s.__setitem__(-1, library.nn.Tanh()),
    lambda library, s: s.__delitem__(0),
    lambda library, s: s.__delitem__(slice(0, 2)),
    lambda library, s: s + sequential(library, 1),
    lambda library, s: s * 2,
    lambda library, s: 2 * s,
    lambda library, s: s * 0,
    lambda library, s: s * 1.5,
    lambda library, s: s + [library.nn.ReLU()],
    lambda library, s: s.__iadd__(sequential(library, 1)) is s,
    lambda library, s: s.__imul__(2) is s,
    lambda library, s: s.add_module("named", library.nn.ReLU()),
    lambda library, s: [type(m).__name__ for m in s],
    lambda library, s: "0" in dir(s),
]


@pytest.mark.parametrize("number", range(len(SEQUENTIAL)))
def test_sequential(number: int) -> None:
    check(mutated(sequential, SEQUENTIAL[number]))


MODULE_LIST: list[Callable[[Any, Any], Any]] = [
    *SEQUENTIAL[:2],
    lambda library, s: s.insert(1, library.nn.ReLU()),
    *SEQUENTIAL[5:13],
    lambda library, s: s + [library.nn.ReLU()],
    lambda library, s: s.__iadd__([library.nn.ReLU()]) is s,
    lambda library, s: s.extend(3),
    lambda library, s: s(library.ones(1)),
    lambda library, s: s.append(3),
]


@pytest.mark.parametrize("number", range(len(MODULE_LIST)))
def test_module_list(number: int) -> None:
    check(mutated(lambda library: library.nn.ModuleList(layers(library)), MODULE_LIST[number]))


MODULE_DICT: list[Callable[[Any, Any], Any]] = [
    lambda library, d: d.pop("a"),
    lambda library, d: d.pop("z"),
    lambda library, d: d.clear(),
    lambda library, d: d.update([("c", library.nn.Tanh()), ("a", library.nn.ReLU())]),
    lambda library, d: d.update({"x": library.nn.Tanh()}),
    lambda library, d: d.update(library.nn.ModuleDict({"x": library.nn.Tanh()})),
    lambda library, d: d.update([("c",)]),
    lambda library, d: d.update(3),
    lambda library, d: (list(d), list(d.keys()), "a" in d, "z" in d, [type(v).__name__ for v in d.values()]),
    lambda library, d: d["z"],
    lambda library, d: d.__delitem__("b"),
    lambda library, d: d.__setitem__("a.b", library.nn.ReLU()),
]


@pytest.mark.parametrize("number", range(len(MODULE_DICT)))
def test_module_dict(number: int) -> None:
    check(mutated(lambda library: library.nn.ModuleDict({"a": library.nn.Linear(1, 2), "b": library.nn.ReLU()}), MODULE_DICT[number]))


PARAMETERS: list[Callable[[Any], Any]] = [
    lambda library: library.nn.ParameterList([library.ones(1), library.zeros(2)]).append(library.ones(3)),
    lambda library: [list(library.nn.ParameterList([library.ones(1), 3, "text"]).state_dict()), 3],
    lambda library: library.nn.ParameterList([library.ones(1), library.zeros(2)])[1:][0],
    lambda library: len(library.nn.ParameterList([library.ones(1)]).extend([library.ones(2)])),
    lambda library: library.nn.ParameterList(library.ones(1) for _ in range(2))[-1],
    lambda library: library.nn.ParameterList([library.ones(1)])[3],
    lambda library: library.nn.ParameterList()(3),
    lambda library: [p.requires_grad for p in library.nn.ParameterList([library.ones(1), library.ones(2)])],
    lambda library: list(library.nn.ParameterDict({"a": library.ones(1), "b": library.zeros(2)}).items()),
    lambda library: library.nn.ParameterDict({"a": library.ones(1)}).pop("a"),
    lambda library: library.nn.ParameterDict({"a": library.ones(1), "b": library.ones(2)}).popitem(),
    lambda library: library.nn.ParameterDict({"a": library.ones(1)}).get("z", 5),
    lambda library: library.nn.ParameterDict({"a": library.ones(1)}).setdefault("b", library.ones(2)),
    lambda library: list((library.nn.ParameterDict({"a": library.ones(1)}) | {"b": library.ones(2)}).keys()),
    lambda library: list(({"b": library.ones(2)} | library.nn.ParameterDict({"a": library.ones(1)})).keys()),
    lambda library: list(library.nn.ParameterDict({"a": library.ones(1)}).fromkeys(["x", "y"], 2.5).items()),
    lambda library: list(reversed(library.nn.ParameterDict({"a": library.ones(1), "b": library.ones(2)}))),
    lambda library: library.nn.ParameterDict({"a": library.ones(1)})["z"],
    lambda library: library.nn.ParameterDict({"a": library.ones(1)}).update(3),
    lambda library: list(library.nn.ParameterDict([("a", library.ones(1))]).copy().values()),
    lambda library: list(library.nn.ParameterDict({"a": library.ones(1)}).state_dict()),
]


@pytest.mark.parametrize("number", range(len(PARAMETERS)))
def test_parameter_containers(number: int) -> None:
    def program(library: Any) -> Any:
        result = PARAMETERS[number](library)
        return repr(result).replace("torch.", "trine.") if isinstance(result, library.nn.Module) else result

    check(program)


# --- modules ------------------------------------------------------------------------------------------------------------------------------


def net(library: Any) -> Any:
    nn = library.nn

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 3)
            self.body = nn.Sequential(nn.ReLU(), nn.Linear(3, 3))
            self.tied = self.first
            self.gain = nn.Parameter(library.ones(3))
            self.register_buffer("kept", library.zeros(2))
            self.register_buffer("lost", library.zeros(2), persistent=False)
            self.register_parameter("empty", None)
            self.offset = nn.Buffer(library.ones(3))

        def forward(self, x: Any, scale: float = 1.0) -> Any:
            return self.body(self.first(x)) * self.gain * scale + self.offset

    return Net()


def with_hooks(library: Any) -> Any:
    m, seen = library.nn.Linear(2, 2, bias=False), []
    m.register_state_dict_pre_hook(lambda module, prefix, keep: seen.append(["pre", prefix, keep]))
    m.register_state_dict_post_hook(lambda module, state, prefix, metadata: state.update({prefix + "more": library.ones(1)}))
    handle = m.register_load_state_dict_pre_hook(lambda module, state, *rest: seen.append(["load", sorted(state)]) or state.pop("more"))
    m.register_load_state_dict_post_hook(lambda module, keys: seen.append(["loaded", *keys]))
    m.load_state_dict(m.state_dict())
    handle.remove()
    m.load_state_dict(m.state_dict(), strict=False)
    return seen


def with_extra_state(library: Any) -> Any:
    class Counter(library.nn.Module):  # type: ignore[misc, name-defined]
        count = 3

        def get_extra_state(self) -> Any:
            return self.count

        def set_extra_state(self, state: Any) -> None:
            self.count = state

    first, second = library.nn.Sequential(Counter()), library.nn.Sequential(Counter())
    first[0].count = 7
    second.load_state_dict(first.state_dict())
    return dict(first.state_dict()), second[0].count, second.load_state_dict({}, strict=False)[0]


def with_own_loading(library: Any) -> Any:
    class Renamed(library.nn.Linear):  # type: ignore[misc, name-defined]
        _version = 2

        def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
            if metadata.get("version", 1) < 2:
                state[prefix + "weight"] = state.pop(prefix + "w")
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    m = library.nn.Sequential(Renamed(1, 1, bias=False))
    m.load_state_dict({"0.w": library.ones(1, 1) * 5})
    after_old = m[0].weight.tolist()
    m.load_state_dict(m.state_dict())
    return after_old, m[0].weight.tolist(), dict(m.state_dict()._metadata)


def backward_hooks(library: Any) -> Any:
    m, seen = library.nn.Linear(2, 1, bias=False), []
    library.nn.init.ones_(m.weight)
    m.register_full_backward_pre_hook(lambda module, grad: (grad[0] * 2,))
    m.register_full_backward_hook(lambda module, given, out: seen.append(shown([*given, *out])))
    x = library.ones(1, 2, requires_grad=True)
    m(x).sum().backward()
    return seen, x.grad, m.weight.grad


def always_called(library: Any) -> Any:
    class Broken(library.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            raise ValueError("broken")

    m, seen = Broken(), []
    m.register_forward_hook(lambda module, args, out: seen.append(out), always_call=True)
    m.register_forward_hook(lambda module, args, out: seen.append("never"))
    try:
        m(1)
    except ValueError:
        seen.append("raised")
    return seen


def global_hooks(library: Any) -> Any:
    hooks, seen = library.nn.modules.module if library is torch else __import__("trine.nn.hooks").nn.hooks, []
    handles = [
        hooks.register_module_forward_pre_hook(lambda module, args: seen.append(["pre", type(module).__name__])),
        hooks.register_module_forward_hook(lambda module, args, out: seen.append(["post", type(module).__name__])),
        hooks.register_module_full_backward_hook(lambda module, given, out: seen.append(["back", type(module).__name__])),
        hooks.register_module_parameter_registration_hook(lambda module, name, p: seen.append(["parameter", name])),
        hooks.register_module_module_registration_hook(lambda module, name, m: seen.append(["module", name])),
    ]
    try:
        library.nn.Sequential(library.nn.Linear(1, 1), library.nn.Tanh())(library.ones(1, 1)).sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    library.nn.Linear(1, 1)(library.ones(1, 1))
    return seen


def subclass_with_bases(library: Any) -> Any:
    class Named:
        def __init__(self, name: str = "none") -> None:
            self.name = name

    class Both(library.nn.Module, Named):  # type: ignore[misc, name-defined]
        call_super_init = True

    return Both(name="given").name, library.nn.Module(3)


PROGRAMS: list[Callable[[Any], Any]] = [
    lambda library: repr(net(library)),
    lambda library: [n for n, _ in net(library).named_parameters()],
    lambda library: [n for n, _ in net(library).named_parameters(prefix="net", remove_duplicate=False)],
    lambda library: [n for n, _ in net(library).named_parameters(recurse=False)],
    lambda library: [n for n, _ in net(library).named_buffers(prefix="p")],
    lambda library: [n for n, _ in net(library).named_modules(prefix="p")],
    lambda library: [n for n, _ in net(library).named_modules(remove_duplicate=False)],
    lambda library: [n for n, _ in net(library).named_children()],
    lambda library: len(list(net(library).modules(remove_duplicate=False))),
    lambda library: list(net(library).state_dict(prefix="a.")),
    lambda library: list(net(library).state_dict(None, "b.", True)),
    lambda library: [p.requires_grad for p in net(library).state_dict(keep_vars=True).values()],
    lambda library: net(library).get_submodule("body.1"),
    lambda library: net(library).get_submodule("body.7"),
    lambda library: net(library).get_submodule("gain"),
    lambda library: tuple(net(library).get_parameter("body.1.bias").shape),
    lambda library: net(library).get_parameter("body.1.nothing"),
    lambda library: net(library).get_buffer("kept"),
    lambda library: net(library).get_buffer("gain"),
    lambda library: (m := net(library)).set_submodule("body.0", library.nn.Tanh()) or repr(m.body),
    lambda library: (m := net(library)).set_submodule("new", library.nn.Tanh()) or repr(m.new),
    lambda library: net(library).set_submodule("new", library.nn.Tanh(), strict=True),
    lambda library: net(library).set_submodule("", library.nn.Tanh()),
    lambda library: net(library).set_submodule("gain.x", library.nn.Tanh()),
    lambda library: net(library).register_parameter("bad", library.nn.Parameter(library.ones(1)) * 2),
    lambda library: net(library).register_buffer("first", library.ones(1)),
    lambda library: net(library).load_state_dict({"gain": library.ones(4)}, strict=False),
    lambda library: list(net(library).load_state_dict({"gain": library.ones(3), "x.y": library.ones(1)}, strict=False)[1]),
    lambda library: net(library).load_state_dict(net(library).state_dict()),
    lambda library: net(library).to(library.int64),
    lambda library: str(net(library).to(dtype=library.float64).kept.dtype).split(".")[1],
    lambda library: str(net(library).type(library.float64).kept.dtype).split(".")[1],
    lambda library: tuple(net(library).to_empty(device="cpu").gain.shape),
    lambda library: net(library).share_memory().requires_grad_(False).eval().gain.requires_grad,
    lambda library: (
        (m := library.nn.Linear(1, 1)).half().double().float().bfloat16().weight.dtype == library.bfloat16 and len(list(m.buffers()))
    ),
    lambda library: library.nn.Module(1),
    lambda library: net(library).unknown,
    lambda library: (lambda m: (delattr(m, "gain"), delattr(m, "first"), list(m.state_dict()))[2])(net(library)),
    lambda library: copy.deepcopy(net(library)).state_dict().keys() == net(library).state_dict().keys(),
    with_hooks,
    with_extra_state,
    with_own_loading,
    backward_hooks,
    always_called,
    global_hooks,
    subclass_with_bases,
]


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_module(number: int) -> None:
    check(PROGRAMS[number])


# --- lazy modules -------------------------------------------------------------------------------------------------------------------------


def loaded_lazy(library: Any) -> Any:
    full = library.nn.Linear(3, 2)
    lazy = library.nn.LazyLinear(2)
    lazy.load_state_dict(full.state_dict())
    return type(lazy).__name__, (lazy.weight - full.weight).abs().sum().item(), type(lazy.weight).__name__


def saved_lazy(library: Any) -> Any:
    lazy = (
        pickle.loads(pickle.dumps(library.nn.Sequential(library.nn.LazyLinear(2))))
        if library is trine
        else library.nn.Sequential(library.nn.LazyLinear(2))
    )
    other = copy.deepcopy(lazy).double()
    other(library.ones(1, 3).double())
    return repr(lazy), repr(other), list(lazy.state_dict()), str(other[0].weight.dtype).split(".")[1], lazy[0].has_uninitialized_params()


LAZY: list[Callable[[Any], Any]] = [
    lambda library: repr(library.nn.LazyLinear(4)),
    lambda library: library.nn.LazyLinear(4).weight.shape,
    lambda library: repr(library.nn.LazyLinear(4).weight),
    lambda library: (m := library.nn.LazyLinear(4, bias=False))(library.ones(2, 3)).shape == (2, 4) and repr(m),
    lambda library: library.nn.Linear(3, 4).load_state_dict(library.nn.LazyLinear(4).state_dict()),
    lambda library: len(list(library.nn.LazyLinear(4).parameters())),
    loaded_lazy,
    saved_lazy,
]


@pytest.mark.parametrize("number", range(len(LAZY)))
def test_lazy(number: int) -> None:
    check(LAZY[number])
