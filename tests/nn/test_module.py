"""What every module does: attributes, names, state, modes, conversion, hooks."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import trine
from trine import nn
from trine.errors import CheckpointError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(trine.ones(4))
        self.register_buffer("offset", trine.zeros(4))
        self.register_buffer("cache", trine.zeros(2), persistent=False)
        self.last = nn.Linear(4, 2, bias=False)

    def forward(self, x: Any) -> Any:
        return self.last(self.norm(self.first(x)).relu() * self.scale + self.offset)


def values(module: nn.Module) -> dict[str, list[Any]]:
    return {name: tensor.tolist() for name, tensor in module.state_dict().items()}


# --- attributes ---------------------------------------------------------------------------------------------------------------------------


def test_members_are_plain_attributes() -> None:
    net = Net()
    assert net.__dict__["first"] is net.first is net._modules["first"]
    assert net.__dict__["scale"] is net._parameters["scale"]
    assert net.last.bias is None and "bias" in net.last._parameters
    assert "scale" in dir(net)


def test_registries_and_attributes_stay_in_step() -> None:
    net = Net()
    replacement = nn.Parameter(trine.zeros(4))
    net._parameters["scale"] = replacement
    assert net.scale is replacement
    del net._parameters["scale"]
    with pytest.raises(AttributeError, match="no attribute 'scale'"):
        _ = net.scale
    net._parameters.update(scale=replacement)
    assert net._parameters.pop("scale") is replacement and not hasattr(net, "scale")
    assert net._parameters.pop("scale", None) is None
    with pytest.raises(KeyError):
        net._parameters.pop("scale")
    assert net._parameters.setdefault("scale", replacement) is net.scale
    net._modules = {"only": net.first}
    assert net.only is net._modules["only"] and not hasattr(net, "last")
    assert [name for name, _ in net.named_children()] == ["only"]
    assert net._modules.popitem()[0] == "only" and not hasattr(net, "only")
    net._buffers |= {"more": trine.ones(1)}
    assert net.more.tolist() == [1.0]
    net._buffers.clear()
    assert not hasattr(net, "more") and not hasattr(net, "offset")


def test_assigning_and_deleting() -> None:
    net = Net()
    net.scale = None
    assert net.scale is None and "scale" not in dict(net.named_parameters())
    net.scale = nn.Parameter(trine.zeros(4))
    assert "scale" in dict(net.named_parameters())
    net.offset = trine.ones(4)
    assert net.state_dict()["offset"].tolist() == [1.0] * 4
    for name, value in (("first", 3), ("scale", trine.ones(4)), ("offset", "text")):
        with pytest.raises(TypeError, match=f"cannot assign '{name}'"):
            setattr(net, name, value)
    net.first = nn.Parameter(trine.ones(1))
    assert "first" not in net._modules and "first" in net._parameters
    del net.first, net.norm
    assert not hasattr(net, "first") and not hasattr(net, "norm")
    with pytest.raises(AttributeError):
        del net.nothing
    net.number = 3
    net.number = nn.Parameter(trine.ones(1))
    assert "number" in net._parameters
    net.declared = nn.Buffer(trine.ones(2), persistent=False)
    assert "declared" in dict(net.named_buffers()) and "declared" not in net.state_dict()


def test_registering_checks_names_and_types() -> None:
    net = Net()
    for name in ("", "a.b"):
        with pytest.raises(KeyError, match="name must be"):
            net.register_parameter(name, None)
    with pytest.raises(TypeError, match="a string"):
        net.register_parameter(3, None)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("forward", trine.ones(1))
    with pytest.raises(TypeError, match="register_parameter"):
        net.register_parameter("p", trine.ones(1))
    with pytest.raises(TypeError, match="register_buffer"):
        net.register_buffer("b", 3)
    with pytest.raises(TypeError, match="add_module"):
        net.add_module("m", 3)

    class Early(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match="super"):
        Early()
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


def test_own_getattr_may_ask_the_base_class() -> None:
    class Wrapper(nn.Module):
        def __init__(self, wrapped: Any) -> None:
            super().__init__()
            self.wrapped = wrapped

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.wrapped, name)

    assert Wrapper(nn.Linear(2, 3)).out_features == 3


def test_a_dropped_module_is_freed_at_once() -> None:
    gc.collect()
    gc.disable()
    try:
        net = Net()
        trine.synchronize()  # a recording holds its tensors until it runs
        reference = weakref.ref(net.first.weight)
        del net
        assert reference() is None
    finally:
        gc.enable()


# --- names --------------------------------------------------------------------------------------------------------------------------------


def test_walking() -> None:
    net = Net()
    names = ["scale", "first.weight", "first.bias", "norm.weight", "norm.bias", "last.weight"]
    assert [n for n, _ in net.named_parameters()] == names
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert sum(p.numel() for p in net.parameters()) == 4 + 16 + 8 + 8
    assert [n for n, _ in net.named_buffers()] == ["offset", "cache", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "norm", "last"]
    assert net.get_submodule("first") is net.first and net.get_submodule("") is net
    assert net.get_parameter("first.weight") is net.first.weight
    assert net.get_buffer("norm.running_mean") is net.norm.running_mean
    for ask, name in ((net.get_submodule, "first.weight"), (net.get_parameter, "first.nothing"), (net.get_buffer, "scale")):
        with pytest.raises(AttributeError, match=name.rpartition(".")[2]):
            ask(name)


def test_shared_members_are_listed_once() -> None:
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(list(net.parameters())) == 2 and len(list(net.modules())) == 3
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    copied = copy.deepcopy(net)
    assert copied[0] is copied[2] and copied[0] is not layer


def test_sequences() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    net.append(nn.Linear(3, 1)).extend([nn.Tanh()])
    assert len(net) == 4 and net[-1] is list(net)[3] and isinstance(net[:2], nn.Sequential) and len(net[:2]) == 2
    net[1] = nn.Sigmoid()
    del net[3]
    assert [type(m).__name__ for m in net] == ["Linear", "Sigmoid", "Linear"]
    assert net(trine.ones(1, 2)).shape == (1, 1)
    with pytest.raises(IndexError, match="out of range"):
        _ = net[3]
    layers = nn.ModuleList([nn.ReLU()])
    layers.insert(0, nn.Linear(1, 1))
    layers[1] = nn.Tanh()
    assert [type(m).__name__ for m in layers] == ["Linear", "Tanh"] and list(layers.state_dict()) == ["0.weight", "0.bias"]
    assert len(layers[:1]) == 1
    del layers[0]
    assert len(layers) == 1 and isinstance(layers[0], nn.Tanh)
    named = nn.ModuleDict({"a": nn.ReLU()})
    named["b"] = nn.Tanh()
    del named["a"]
    assert list(named) == ["b"] == list(named.keys()) and "b" in named and len(named) == 1
    assert [type(m) for _, m in named.items()] == [nn.Tanh] == [type(m) for m in named.values()]
    parameters = nn.ParameterList([trine.ones(2), nn.Parameter(trine.zeros(1))])
    assert len(parameters) == 2 and parameters[-1].tolist() == [0.0] and all(p.requires_grad for p in parameters)
    with pytest.raises(ValueError, match="int"):
        _ = parameters["x"]


# --- state --------------------------------------------------------------------------------------------------------------------------------


def test_state_dict_shares_memory_and_loads_by_copy() -> None:
    net, other = Net(), Net()
    state = net.state_dict()
    assert list(state)[:2] == ["scale", "offset"] and "cache" not in state
    assert not state["scale"].requires_grad and net.state_dict(keep_vars=True)["scale"] is net.scale
    with trine.no_grad():
        net.scale.fill_(7.0)
    assert state["scale"].tolist() == [7.0] * 4
    pointer = other.first.weight.data_ptr()
    result = other.load_state_dict(state)
    assert result.missing_keys == [] == result.unexpected_keys
    assert values(net) == values(other) and other.first.weight.data_ptr() == pointer
    with trine.no_grad():
        net.scale.fill_(8.0)
    assert other.scale.tolist() == [7.0] * 4
    assert list(net.state_dict(prefix="model."))[0] == "model.scale"


def test_strict_loading_lists_everything_and_changes_nothing() -> None:
    net = Net()
    before = values(net)
    state = net.state_dict()
    bad = {name: trine.zeros(*tensor.shape) for name, tensor in state.items() if name not in ("offset", "norm.weight")}
    bad["first.weight"] = trine.ones(9, 9)
    bad["extra"] = trine.ones(1)
    bad["last.weight"] = np.ones((2, 4))
    with pytest.raises(CheckpointError) as error:
        net.load_state_dict(bad)
    text = str(error.value)
    for part in (
        "Net",
        'Unexpected key(s) in state_dict: "extra"',
        'Missing key(s) in state_dict: "offset", "norm.weight"',
        "size mismatch for first.weight: shape (9, 9)",
        "last.weight: a ndarray",
        "strict=False",
    ):
        assert part in text
    assert values(net) == before
    with pytest.raises(RuntimeError, match="first.weight"):
        net.load_state_dict(bad, strict=False)
    assert values(net) == before
    with pytest.raises(TypeError, match="mapping"):
        net.load_state_dict([1])  # type: ignore[arg-type]
    result = net.load_state_dict({"scale": trine.zeros(4), "extra": trine.ones(1)}, strict=False)
    assert result.unexpected_keys == ["extra"] and "offset" in result.missing_keys
    assert net.scale.tolist() == [0.0] * 4


def test_loading_another_dtype_converts_and_assign_takes_the_tensor() -> None:
    net = nn.Linear(2, 1, bias=False)
    net.load_state_dict({"weight": trine.tensor([[1.5, 2.5]], dtype=trine.float64)})
    assert net.weight.dtype is trine.float32 and net.weight.tolist() == [[1.5, 2.5]]
    given = trine.tensor([[3.0, 4.0]], dtype=trine.float64)
    net.load_state_dict({"weight": given}, assign=True)
    assert net.weight.dtype is trine.float64 and net.weight.requires_grad and net.weight.data_ptr() == given.data_ptr()


def test_deepcopy_and_pickle() -> None:
    net = Net()
    net(trine.ones(3, 3)).sum().backward()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert values(other) == values(net)
        assert other.scale is other._parameters["scale"] is other.__dict__["scale"] and other.scale is not net.scale
        assert isinstance(other.scale, nn.Parameter) and other.scale.requires_grad
        with trine.no_grad():
            other.scale.zero_()
        assert net.scale.tolist() == [1.0] * 4
        other.added = nn.Linear(1, 1)
        assert "added.weight" in other.state_dict() and not hasattr(net, "added")
    assert copy.deepcopy(net).scale.grad.tolist() == net.scale.grad.tolist()
    state = pickle.loads(pickle.dumps(net.state_dict()))
    assert {k: v.tolist() for k, v in state.items()} == values(net)


def test_repr() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(1, 2))

        def extra_repr(self) -> str:
            return "n=1"

    expected = "Outer(\n  n=1\n  (inner): Sequential(\n    (0): Linear(in_features=1, out_features=2, bias=True)\n  )\n)"
    assert repr(Outer()) == expected
    assert repr(nn.Parameter(trine.ones(1))).startswith("Parameter containing:\ntensor([1.]")


# --- modes and conversion -----------------------------------------------------------------------------------------------------------------


def test_modes() -> None:
    net = Net()
    assert net.eval() is net and not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="bool"):
        net.train("yes")  # type: ignore[arg-type]
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    assert all(p.requires_grad for p in net.parameters())


def test_zero_grad() -> None:
    net = nn.Linear(2, 1)
    net(trine.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.weight.grad.tolist() == [[0.0, 0.0]]
    net.zero_grad()
    assert net.weight.grad is None


def test_conversion() -> None:
    net = Net()
    weight = net.first.weight
    net(trine.ones(2, 3)).sum().backward()
    assert net.double() is net and net.first.weight is weight and weight.dtype is trine.float64 and weight.grad.dtype is trine.float64
    assert net.norm.running_mean.dtype is trine.float64 and net.norm.num_batches_tracked.dtype is trine.int64
    assert net.norm.__dict__["running_mean"] is net.norm._buffers["running_mean"]
    assert net(trine.ones(2, 3, dtype=trine.float64)).dtype is trine.float64
    for method, dtype in ((net.half, trine.float16), (net.bfloat16, trine.bfloat16), (net.float, trine.float32)):
        method()
        assert weight.dtype is dtype and weight.requires_grad and weight.is_leaf
    net.to(trine.float64)
    net.to(trine.ones(1))
    assert weight.dtype is trine.float32
    assert net.to("cpu").to(device="cpu").cpu() is net
    with pytest.raises(TypeError, match="floating"):
        net.to(trine.int64)
    net.to(dtype=trine.float64)
    assert weight.dtype is trine.float64


def test_half_network_trains() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 2)).bfloat16()
    out = net(trine.ones(2, 3, dtype=trine.bfloat16))
    out.sum().backward()
    assert out.dtype is trine.bfloat16 and net[0].weight.grad.dtype is trine.bfloat16


def test_apply() -> None:
    net, seen = Net(), []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "BatchNorm1d", "Linear", "Net"]


# --- hooks --------------------------------------------------------------------------------------------------------------------------------


def test_forward_hooks() -> None:
    net, calls = nn.Linear(1, 1, bias=False), []
    nn.init.ones_(net.weight)
    first = net.register_forward_pre_hook(lambda m, args: calls.append("pre") or (args[0] + 1,))
    net.register_forward_hook(lambda m, args, out: calls.append("hook") or out * 2)
    net.register_forward_hook(lambda m, args, kwargs, out: calls.append(sorted(kwargs)), with_kwargs=True, prepend=True)
    assert net(trine.tensor([[3.0]])).tolist() == [[8.0]]
    assert calls == ["pre", [], "hook"]
    first.remove()
    assert net(trine.tensor([[3.0]])).tolist() == [[6.0]]
    with net.register_forward_pre_hook(lambda m, args, kwargs: ((), {"input": trine.zeros(1, 1)}), with_kwargs=True):
        assert net(trine.tensor([[3.0]])).tolist() == [[0.0]]
    assert net(trine.tensor([[3.0]])).tolist() == [[6.0]]


def test_backward_hooks() -> None:
    net, seen = nn.Linear(2, 1, bias=False), []
    nn.init.ones_(net.weight)

    def hook(module: nn.Module, grad_input: Any, grad_output: Any) -> Any:
        seen.append(tuple(None if g is None else g.tolist() for g in (*grad_input, *grad_output)))
        return tuple(None if g is None else g * 10 for g in grad_input)

    handle = net.register_full_backward_hook(hook)
    x = trine.ones(1, 2, requires_grad=True)
    (net(x).sum() + x.sum()).backward()
    assert seen == [([[1.0, 1.0]], [[1.0]])]
    assert x.grad.tolist() == [[11.0, 11.0]] and net.weight.grad.tolist() == [[1.0, 1.0]]
    net(trine.ones(1, 2)).sum().backward()
    assert seen[1:] == [(None, [[1.0]])]
    with trine.no_grad():
        net(x)
    handle.remove()
    net(x).sum().backward()
    assert len(seen) == 2


def test_backward_hooks_of_several_arguments_and_results() -> None:
    class Swap(nn.Module):
        def forward(self, x: Any, y: Any, factor: float) -> Any:
            return y * factor, x

    net, seen = Swap(), []
    net.register_full_backward_hook(lambda m, given, out: seen.append([None if g is None else g.item() for g in (*given, *out)]))
    x, y = trine.tensor(1.0, requires_grad=True), trine.tensor(2.0, requires_grad=True)
    a, b = net(x, y, 3.0)
    (a * 5 + b * 7).backward()
    assert seen == [[7.0, 15.0, None, 5.0, 7.0]] and (x.grad.item(), y.grad.item()) == (7.0, 15.0)
