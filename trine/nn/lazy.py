"""Lazy modules: sizes that are found at the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trine.errors import TrineError, message
from trine.nn.linear import Linear
from trine.nn.parameter import UninitializedParameter, is_lazy
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad

if TYPE_CHECKING:
    from trine.nn.module import Module

    _Base = Module
else:
    _Base = object


class LazyModuleMixin(_Base):
    """Base, beside a module class, of modules whose parameters get their shapes at the first call.

    A subclass registers `UninitializedParameter`s (or buffers), and defines ``initialize_parameters(*args)``, which gives them shapes
    with `materialize`. The object is a `cls_to_become` afterwards, if that is set.

    >>> import trine
    >>> layer = trine.nn.LazyLinear(2)
    >>> layer(trine.ones(1, 3)).shape, layer
    (trine.Size([1, 2]), Linear(in_features=3, out_features=2, bias=True))
    """

    cls_to_become: type[Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(_materialize_before_loading, with_module=True)
        self._initialize_hook = self.register_forward_pre_hook(_initialize, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give the parameters their shapes and values, from the arguments of the first call; defined by every subclass."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Return True while a parameter or buffer has no shape."""
        return any(is_lazy(member) for member in (*self._parameters.values(), *self._buffers.values()))


def _initialize(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise _NotInitialized(message(f"module {type(module).__name__} has not been fully initialized", fix="materialize all parameters"))
    module._initialize_hook.remove()
    module._load_hook.remove()
    del module._initialize_hook, module._load_hook
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become


class _NotInitialized(TrineError, RuntimeError):
    """A lazy module has left parameters without a shape."""


def _materialize_before_loading(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give a lazy member the shape of the tensor that is about to be loaded into it."""
    for name, member in (*module._parameters.items(), *module._buffers.items()):
        value = state.get(prefix + name)
        if is_lazy(member) and isinstance(value, Tensor) and not is_lazy(value):
            with no_grad():
                member.materialize(value.shape)


class LazyLinear(LazyModuleMixin, Linear):
    """A `Linear` layer whose `in_features` is the last size of its first input.

    >>> import trine
    >>> trine.nn.LazyLinear(4)(trine.ones(2, 3)).shape
    trine.Size([2, 4])
    """

    cls_to_become = Linear
    weight: Any
    bias: Any

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, 0, False, device, dtype)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw new initial values, once the shapes are known."""
        if not self.has_uninitialized_params() and self.in_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Take `in_features` from the input."""
        with no_grad():
            if self.has_uninitialized_params():
                self.in_features = input.shape[-1]
                self.weight.materialize((self.out_features, self.in_features))
                if self.bias is not None:
                    self.bias.materialize((self.out_features,))
                self.reset_parameters()
            if self.in_features == 0:
                self.in_features = input.shape[-1]
