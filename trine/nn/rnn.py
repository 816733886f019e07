"""Recurrent layers."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import numpy as np

from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.nn import init
from trine.nn.module import Module
from trine.nn.packing import PackedSequence
from trine.nn.parameter import Parameter
from trine.ops.creation import empty
from trine.ops.random import stream
from trine.ops.recurrent import Network, recurrent_nodes
from trine.tensor import Tensor, record
from trine.tensor.convert import from_numpy

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class RNNBase(Module):
    """What `RNN`, `LSTM` and `GRU` share: weights, options, and the form of input and states.

    Parameters of layer k: ``weight_ih_lk`` (gates * hidden_size, input), ``weight_hh_lk`` (gates * hidden_size, hidden), ``bias_ih_lk``,
    ``bias_hh_lk``, ``weight_hr_lk`` (proj_size, hidden_size); those of the other direction end in ``_reverse``.

    >>> from trine import nn
    >>> [name for name, _ in nn.RNNBase("GRU", 2, 3).named_parameters()]
    ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional, self.proj_size = bias, batch_first, bidirectional, proj_size
        _check_options(self, dropout)
        self.dropout = float(dropout)
        self._all_weights: list[list[str]] = []
        outputs, gates = proj_size or hidden_size, _GATES[mode] * hidden_size
        for layer in range(num_layers):
            for suffix in ("", "_reverse") if bidirectional else ("",):
                inputs = input_size if layer == 0 else outputs * (1 + bidirectional)
                shapes = {"weight_ih": (gates, inputs), "weight_hh": (gates, outputs)}
                if bias:
                    shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}  # type: ignore[dict-item]
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = {f"{name}_l{layer}{suffix}": shape for name, shape in shapes.items()}
                for name, shape in names.items():
                    setattr(self, name, Parameter(empty(*shape, device=device, dtype=dtype)))
                self._all_weights.append(list(names))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values (uniform, bound 1 / sqrt(hidden_size))."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Any]:
        values = self.__dict__
        return [values[name] if name in values else getattr(self, name) for names in self._all_weights for name in names]

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Do nothing: weights need no special place in memory."""

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False}
        return text + "".join(f", {n}={getattr(self, n)}" for n, default in defaults.items() if getattr(self, n) != default)

    # --- input and states -----------------------------------------------------------------------------------------------------------

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Return the outputs of the last layer for every step, and the last states of all layers."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        name = self.mode.split("_")[0]
        if input.dim() not in (2, 3):
            raise ShapeError(message(f"{name}: Expected input to be 2D or 3D", received=f"{input.dim()}D", expected="(T, B, I) or (T, I)"))
        states = self._given_states(hx, input.dim())
        if input.dim() == 3:
            output, *last = self._run(input, states, None, self.batch_first)
            return output, self._as_hidden(last)
        output, *last = self._run(input.unsqueeze(1), [s.unsqueeze(1) for s in states], None, False)
        return output.squeeze(1), self._as_hidden([s.squeeze(1) for s in last])

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> Any:
        padded = packed._padded_data()
        lengths = packed._lengths()
        ragged = bool((lengths != padded.shape[0]).any())
        output, *last = self._run(padded, self._given_states(hx, 3), lengths if ragged else None, False)
        return PackedSequence._from_padded(output, packed), self._as_hidden(last)

    def _given_states(self, hx: Any, rank: int) -> list[Tensor]:
        states: list[Tensor] = [] if hx is None else [hx] if isinstance(hx, Tensor) else list(hx)
        for state in states:
            if state.dim() != rank:
                kind = "batched 3-D" if rank == 3 else "unbatched 2-D"
                what = f"For {kind} input, hx should also be {rank}-D"
                raise ShapeError(message(f"{self.mode}: {what}", received=f"{state.dim()}-D", expected=f"{rank}-D states"))
        return states

    def _as_hidden(self, states: list[Tensor]) -> Any:
        return states[0]

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def _run(self, input: Tensor, states: list[Tensor], lengths: np.ndarray[Any, Any] | None, batch_first: bool) -> Any:
        weights = self._flat_weights
        _check_input(self, input, weights[0])
        batch = input.shape[0 if batch_first else 1]
        directions = 2 if self.bidirectional else 1
        for number, (state, size) in enumerate(zip(states, self._state_sizes(), strict=False)):
            expected = (self.num_layers * directions, batch, size)
            if tuple(state.shape) != expected:
                name = f"hidden[{number}]" if len(self._state_sizes()) > 1 else "hidden"
                raise ShapeError(message(f"Expected {name} size {expected}", received=tuple(state.shape), expected=expected))
        drops = self.training and self.dropout > 0 and self.num_layers > 1
        operands: list[Any] = [input, *states]
        if lengths is not None:
            operands.append(from_numpy(lengths))
        operands += weights
        if drops:
            size = (self.proj_size or self.hidden_size) * directions
            count = input.shape[0] * input.shape[1] * size * (self.num_layers - 1)
            operands += [*stream(count), self.dropout]
        network = Network(
            self.mode,
            self.num_layers,
            directions,
            self.bias,
            self.proj_size > 0,
            batch_first,
            bool(states),
            lengths is not None,
            drops,
        )
        return record(recurrent_nodes, operands, network)


def _check_options(layer: RNNBase, dropout: Any) -> None:
    """Raise for options that make no sense, as PyTorch does."""
    if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= dropout <= 1:  # type: ignore[operator]
        raise ArgumentError(message("dropout should be a number in range [0, 1]", received=repr(dropout)))
    if dropout > 0 and layer.num_layers == 1:  # type: ignore[operator]
        text = "dropout is added after all but the last recurrent layer, so dropout > 0 expects num_layers > 1"
        warnings.warn(f"{text}, but got dropout={dropout} and num_layers=1", UserWarning, stacklevel=4)
    for name, kind in (("bias", bool), ("batch_first", bool), ("input_size", int), ("hidden_size", int)):
        value = getattr(layer, name)
        if not isinstance(value, kind):
            raise DTypeError(message(f"{name} should be of type {kind.__name__}", received=type(value).__name__))
    for name in ("input_size", "hidden_size", "num_layers"):
        if getattr(layer, name) <= 0:
            raise ArgumentError(message(f"{name} must be greater than zero", received=getattr(layer, name)))
    if layer.proj_size < 0 or layer.proj_size >= layer.hidden_size:
        expected = f"from 0 (none) to {layer.hidden_size - 1}, smaller than hidden_size"
        raise ArgumentError(message("proj_size", received=layer.proj_size, expected=expected))
    if layer.mode not in _GATES:
        raise ArgumentError(message("Unrecognized RNN mode", received=layer.mode, expected=", ".join(_GATES)))


def _check_input(layer: RNNBase, input: Tensor, weight: Tensor) -> None:
    if input.dtype is not weight.dtype:
        fix = f"input.to({weight.dtype!r}), or model.to({input.dtype!r})"
        raise ArgumentError(message("RNN input dtype does not match weight dtype", received=f"{input.dtype}, {weight.dtype}", fix=fix))
    if input.dim() != 3:
        raise ShapeError(message("input must have 3 dimensions", received=f"{input.dim()}", expected="(T, B, input_size)"))
    if input.shape[-1] != layer.input_size:
        received, expected = input.shape[-1], layer.input_size
        raise ShapeError(message("input.size(-1) must be equal to input_size", received=received, expected=expected))
    if 0 in input.shape[: 2 if layer.batch_first else 1]:
        raise ShapeError(message("Expected sequence length to be larger than 0 in RNN", received=tuple(input.shape)))


class RNN(RNNBase):
    """An Elman network: ``h = tanh(x W_ih^T + b_ih + h W_hh^T + b_hh)`` (Elman, 1990).

    Args:
        input_size, hidden_size: of a step's input and state. num_layers: layers on top of each other.
        nonlinearity: "tanh" or "relu". bias: whether there are biases. batch_first: (B, T, I) instead of (T, B, I).
        dropout: probability that an output is dropped before the next layer, in training. bidirectional: also from the end.

    Shape:
        input (T, B, I), (T, I) or a `PackedSequence`; initial state (layers * directions, B, H), default 0; output (T, B, directions * H)
        and the last states.

    >>> import trine
    >>> output, state = trine.nn.RNN(2, 3, num_layers=2)(trine.ones(4, 5, 2))
    >>> output.shape, state.shape
    (trine.Size([4, 5, 3]), trine.Size([2, 5, 3]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", *args: Any, **kwargs: Any
    ) -> None:
        if "proj_size" in kwargs:
            raise ArgumentError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(message("RNN: unknown nonlinearity", received=repr(nonlinearity), expected="'tanh' or 'relu'"))
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity


class GRU(RNNBase):
    """Gated recurrent units (Cho et al., 2014); arguments and shapes as for `RNN`.

    >>> import trine
    >>> output, state = trine.nn.GRU(2, 3, batch_first=True)(trine.ones(5, 4, 2))
    >>> output.shape, state.shape
    (trine.Size([5, 4, 3]), trine.Size([1, 5, 3]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ArgumentError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997); arguments as for `RNN`.

    Args:
        proj_size: size of the state after a projection (Sak et al., 2014), or 0 for none.

    Shape:
        as for `RNN`; the states are pairs (h, c).

    >>> import trine
    >>> output, (h, c) = trine.nn.LSTM(2, 3, bidirectional=True)(trine.ones(4, 5, 2))
    >>> output.shape, c.shape
    (trine.Size([4, 5, 6]), trine.Size([2, 5, 3]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def _given_states(self, hx: Any, rank: int) -> list[Tensor]:
        if hx is not None and (isinstance(hx, Tensor) or len(hx) != 2):
            raise DTypeError(message("LSTM: hx", received=type(hx).__name__, expected="a pair (h_0, c_0)"))
        return super()._given_states(hx, rank)

    def _as_hidden(self, states: list[Tensor]) -> Any:
        return tuple(states)

    def _state_sizes(self) -> tuple[int, ...]:
        return self.proj_size or self.hidden_size, self.hidden_size
