"""Activation layers: thin classes over the functions of `trine.nn.functional`."""

from __future__ import annotations

from typing import Any

from trine.nn import functional as F
from trine.nn.module import Module
from trine.tensor import Tensor


class _Activation(Module):
    """An activation with keyword options: `function(input, **options)`; `names` are its arguments in order, with defaults.

    Its repr shows every option, `inplace` only where it is True.
    """

    function: Any
    names: tuple[tuple[str, Any], ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        if len(args) > len(self.names):
            raise TypeError(f"{type(self).__name__}() takes at most {len(self.names)} arguments, got {len(args)}")
        values = dict(self.names) | dict(zip((n for n, _ in self.names), args, strict=False))
        unknown = set(kwargs) - {n for n, _ in self.names}
        if unknown:
            raise TypeError(f"{type(self).__name__}() got unexpected keyword arguments {sorted(unknown)}")
        values.update(kwargs)
        self._options = values
        for name, value in values.items():
            setattr(self, name, value)

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, **{n: getattr(self, n) for n in self._options})  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        shown = [(n, getattr(self, n)) for n, _ in self.names]
        return ", ".join(f"{n}={value!r}" for n, value in shown if n != "inplace" or value)


class ReLU(_Activation):
    """max(x, 0)."""

    function = F.relu
    names = (("inplace", False),)

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, inplace=self.inplace)


class GELU(_Activation):
    """x times the normal distribution function of x; approximate="tanh" for the approximation (Hendrycks and Gimpel, 2016)."""

    function = F.gelu
    names = (("approximate", "none"),)


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    function = F.sigmoid


class Tanh(_Activation):
    """Hyperbolic tangent."""

    function = F.tanh


class SiLU(_Activation):
    """x * sigmoid(x)."""

    function = F.silu
    names = (("inplace", False),)


class ELU(_Activation):
    """x for x > 0, alpha * (exp(x) - 1) otherwise."""

    function = F.elu
    names = (("alpha", 1.0), ("inplace", False))


class LeakyReLU(_Activation):
    """x for x > 0, negative_slope * x otherwise."""

    function = F.leaky_relu
    names = (("negative_slope", 0.01), ("inplace", False))


class Softplus(_Activation):
    """log(1 + exp(beta x)) / beta, linear above threshold."""

    function = F.softplus
    names = (("beta", 1.0), ("threshold", 20.0))


class Hardtanh(_Activation):
    """x clamped to [min_val, max_val]."""

    function = F.hardtanh
    names = (("min_val", -1.0), ("max_val", 1.0), ("inplace", False))


class ReLU6(_Activation):
    """min(max(x, 0), 6)."""

    function = F.relu6
    names = (("inplace", False),)


class Softmax(_Activation):
    """exp(x) / sum(exp(x)) along `dim`."""

    function = F.softmax
    names = (("dim", None),)


class LogSoftmax(_Activation):
    """log(softmax(x)) along `dim`."""

    function = F.log_softmax
    names = (("dim", None),)


class Dropout(_Activation):
    """In training, sets elements to zero with probability p and scales the others by 1 / (1 - p) (Srivastava et al., 2014)."""

    function = F.dropout
    names = (("p", 0.5), ("inplace", False))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not 0 <= self.p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {self.p}")

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
