"""Activation layers: thin classes over the functions of `trine.nn.functional`."""

from __future__ import annotations

from inspect import Parameter as Argument
from inspect import Signature
from typing import Any

from trine.errors import ArgumentError, ShapeError, message
from trine.nn import functional as F
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.ops.creation import empty
from trine.tensor import Tensor

_REQUIRED = Argument.empty


class Activation(Module):
    """An activation with options: `function(input, **options)`.

    `names` are the options in order, each with its default (`_REQUIRED` if there is none). The repr shows all of them, `inplace` only
    where it is True.
    """

    function: Any
    names: tuple[tuple[str, Any], ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "names" in vars(cls):
            arguments = [Argument(name, Argument.POSITIONAL_OR_KEYWORD, default=default) for name, default in cls.names]
            cls.__signature__ = Signature(arguments)  # type: ignore[attr-defined]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        if len(args) > len(self.names):
            raise TypeError(f"{type(self).__name__}() takes at most {len(self.names)} arguments, got {len(args)}")
        values = dict(self.names) | dict(zip((n for n, _ in self.names), args, strict=False))
        unknown = set(kwargs) - {n for n, _ in self.names}
        if unknown:
            raise TypeError(f"{type(self).__name__}() got unexpected keyword arguments {sorted(unknown)}")
        values.update(kwargs)
        missing = [name for name, value in values.items() if value is _REQUIRED]
        if missing:
            raise TypeError(f"{type(self).__name__}() needs the arguments {missing}")
        self._options = tuple(values)
        for name, value in values.items():
            setattr(self, name, value)

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, **{n: getattr(self, n) for n in self._options})  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        shown = [(n, getattr(self, n)) for n, _ in self.names]
        return ", ".join(f"{n}={value!r}" for n, value in shown if n != "inplace" or value)


_INPLACE = (("inplace", False),)


class Threshold(Activation):
    """x where it exceeds `threshold`, `value` elsewhere.

    >>> import trine
    >>> trine.nn.Threshold(0.5, 9.0)(trine.tensor([0.0, 1.0]))
    tensor([9., 1.])
    """

    function = F.threshold
    names = (("threshold", _REQUIRED), ("value", _REQUIRED), *_INPLACE)


class ReLU(Activation):
    """max(x, 0).

    >>> import trine
    >>> trine.nn.ReLU()(trine.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    function = F.relu
    names = _INPLACE

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, inplace=self.inplace)


class RReLU(Activation):
    """x for x > 0, otherwise x times a slope: drawn from [lower, upper] in training, their mean in evaluation (Xu et al., 2015).

    >>> import trine
    >>> trine.nn.RReLU(0.25, 0.5).eval()(trine.tensor([-8.0, 2.0]))
    tensor([-3.,  2.])
    """

    function = F.rrelu
    names = (("lower", 1.0 / 8), ("upper", 1.0 / 3), *_INPLACE)

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class Hardtanh(Activation):
    """x clamped to [min_val, max_val].

    >>> import trine
    >>> trine.nn.Hardtanh(-2.0, 2.0)(trine.tensor([-3.0, 1.0]))
    tensor([-2.,  1.])
    """

    function = F.hardtanh
    names = (("min_val", -1.0), ("max_val", 1.0), *_INPLACE)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.max_val > self.min_val:
            received = f"min_val={self.min_val}, max_val={self.max_val}"
            raise ArgumentError(message(f"{type(self).__name__}: an empty interval", received=received, expected="min_val < max_val"))


class ReLU6(Activation):
    """min(max(x, 0), 6).

    >>> import trine
    >>> trine.nn.ReLU6()(trine.tensor([-1.0, 8.0]))
    tensor([0., 6.])
    """

    function = F.relu6
    names = _INPLACE


class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    function = F.sigmoid
    names = ()


class Hardsigmoid(Activation):
    """x / 6 + 1/2, clamped to [0, 1]."""

    function = F.hardsigmoid
    names = _INPLACE


class Tanh(Activation):
    """Hyperbolic tangent."""

    function = F.tanh
    names = ()


class SiLU(Activation):
    """x * sigmoid(x), also called swish (Hendrycks and Gimpel, 2016)."""

    function = F.silu
    names = _INPLACE


class Mish(Activation):
    """x * tanh(softplus(x)) (Misra, 2019)."""

    function = F.mish
    names = _INPLACE


class Hardswish(Activation):
    """x * hardsigmoid(x) (Howard et al., 2019)."""

    function = F.hardswish
    names = _INPLACE


class ELU(Activation):
    """x for x > 0, alpha * (exp(x) - 1) otherwise (Clevert et al., 2016)."""

    function = F.elu
    names = (("alpha", 1.0), *_INPLACE)


class CELU(Activation):
    """x for x > 0, alpha * (exp(x / alpha) - 1) otherwise (Barron, 2017)."""

    function = F.celu
    names = (("alpha", 1.0), *_INPLACE)


class SELU(Activation):
    """The scaled ELU that keeps mean 0 and variance 1 (Klambauer et al., 2017)."""

    function = F.selu
    names = _INPLACE


class GLU(Activation):
    """The first half of axis `dim` times the sigmoid of the second half (Dauphin et al., 2017).

    >>> import trine
    >>> trine.nn.GLU()(trine.tensor([2.0, 0.0]))
    tensor([1.])
    """

    function = F.glu
    names = (("dim", -1),)


class GELU(Activation):
    """x times the normal distribution function of x; approximate="tanh" for the approximation (Hendrycks and Gimpel, 2016)."""

    function = F.gelu
    names = (("approximate", "none"),)


class _Shrink(Activation):
    names = (("lambd", 0.5),)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """x where its magnitude exceeds `lambd`, 0 elsewhere."""

    function = F.hardshrink
    names = (("lambd", 0.5),)


class Softshrink(_Shrink):
    """x moved towards 0 by `lambd`; smaller elements become 0."""

    function = F.softshrink
    names = (("lambd", 0.5),)


class LeakyReLU(Activation):
    """x for x > 0, negative_slope * x otherwise."""

    function = F.leaky_relu
    names = (("negative_slope", 0.01), *_INPLACE)


class LogSigmoid(Activation):
    """log(sigmoid(x)), without overflow."""

    function = F.logsigmoid
    names = ()


class Softplus(Activation):
    """log(1 + exp(beta x)) / beta, linear above threshold."""

    function = F.softplus
    names = (("beta", 1.0), ("threshold", 20.0))


class Softsign(Activation):
    """x / (1 + \\|x\\|)."""

    function = F.softsign
    names = ()


class Tanhshrink(Activation):
    """x - tanh(x)."""

    function = F.tanhshrink
    names = ()


class Softmin(Activation):
    """exp(-x) / sum(exp(-x)) along `dim`."""

    function = F.softmin
    names = (("dim", None),)


class Softmax(Activation):
    """exp(x) / sum(exp(x)) along `dim`.

    >>> import trine
    >>> trine.nn.Softmax(dim=0)(trine.zeros(2))
    tensor([0.5000, 0.5000])
    """

    function = F.softmax
    names = (("dim", None),)


class LogSoftmax(Activation):
    """log(softmax(x)) along `dim`."""

    function = F.log_softmax
    names = (("dim", None),)


class Softmax2d(Module):
    """Softmax over the channels of ``(N, C, H, W)`` or ``(C, H, W)``, at each place.

    >>> import trine
    >>> trine.nn.Softmax2d()(trine.zeros(1, 2, 1, 1)).flatten()
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (3, 4):
            received = f"shape {tuple(input.shape)}"
            raise ShapeError(message("Softmax2d: wrong number of axes", received=received, expected="(N, C, H, W) or (C, H, W)"))
        return F.softmax(input, -3)


class PReLU(Module):
    """x for x > 0, otherwise x times a slope that is learnt: one, or one per channel (He et al., 2015).

    Args:
        num_parameters: 1, or the number of channels (axis 1). init: initial slope.

    >>> import trine
    >>> trine.nn.PReLU()(trine.tensor([-4.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all slopes to the initial one."""
        from trine.nn import init

        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
