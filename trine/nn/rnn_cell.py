"""Single steps of recurrent networks."""

from __future__ import annotations

import math
from typing import Any

from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.nn import init
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.ops.creation import empty
from trine.ops.recurrent import cell_nodes
from trine.tensor import Tensor, record


class RNNCellBase(Module):
    """What the cells share: weights ``weight_ih``, ``weight_hh``, ``bias_ih``, ``bias_hh``, and the form of input and states.

    >>> from trine import nn
    >>> nn.RNNCellBase(2, 3, bias=False, num_chunks=4).weight_ih.shape
    trine.Size([12, 2])
    """

    mode = ""

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(gates, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(gates, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(gates, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values (uniform, bound 1 / sqrt(hidden_size))."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.bias else f"{text}, bias={self.bias}"

    def _step(self, input: Tensor, states: tuple[Tensor, ...]) -> Any:
        """Return the new states for an input (B, I) or (I,)."""
        name = type(self).__name__
        for what, value, size in (("input", input, self.input_size), *(("hidden", s, self.hidden_size) for s in states)):
            if value.dim() not in (1, 2):
                raise ShapeError(message(f"{name}: Expected {what} to be 1D or 2D", received=f"{value.dim()}D"))
            if value.dim() != input.dim() or value.shape[-1] != size or value.shape[:-1] != input.shape[:-1]:
                received, expected = f"{what} {tuple(value.shape)} for input {tuple(input.shape)}", f"(B, {size}) or ({size},)"
                raise ShapeError(message(f"{name}: {what} has inconsistent sizes", received=received, expected=expected))
        biases = (self.bias_ih, self.bias_hh) if self.bias else ()
        if input.dim() == 2:
            return record(cell_nodes, (input, *states, self.weight_ih, self.weight_hh, *biases), self.mode, bool(states))
        rows = [t.unsqueeze(0) for t in (input, *states)]
        new = record(cell_nodes, (*rows, self.weight_ih, self.weight_hh, *biases), self.mode, bool(states))
        return tuple(t.squeeze(0) for t in new) if isinstance(new, tuple) else new.squeeze(0)


class RNNCell(RNNCellBase):
    """One step of an Elman network; arguments as for `RNN`.

    Shape:
        input (B, I) or (I,), state (B, H) or (H,), default 0; result: the new state.

    >>> import trine
    >>> trine.nn.RNNCell(2, 3)(trine.ones(4, 2)).shape
    trine.Size([4, 3])
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    @property
    def mode(self) -> str:  # type: ignore[override]
        """The name of the step."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(message("RNNCell: unknown nonlinearity", received=repr(self.nonlinearity), expected="'tanh' or 'relu'"))
        return f"RNN_{self.nonlinearity.upper()}"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, () if hx is None else (hx,))  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"


class GRUCell(RNNCellBase):
    """One step of gated recurrent units; shapes as for `RNNCell`.

    >>> import trine
    >>> trine.nn.GRUCell(2, 3)(trine.ones(4, 2), trine.zeros(4, 3)).shape
    trine.Size([4, 3])
    """

    mode = "GRU"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, () if hx is None else (hx,))  # type: ignore[no-any-return]


class LSTMCell(RNNCellBase):
    """One step of long short-term memory; shapes as for `RNNCell`, the states are pairs (h, c).

    >>> import trine
    >>> h, c = trine.nn.LSTMCell(2, 3)(trine.ones(4, 2))
    >>> h.shape, c.shape
    (trine.Size([4, 3]), trine.Size([4, 3]))
    """

    mode = "LSTM"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        if hx is not None and (isinstance(hx, Tensor) or len(hx) != 2):
            raise DTypeError(message("LSTMCell: hx", received=type(hx).__name__, expected="a pair (h, c)"))
        return self._step(input, () if hx is None else tuple(hx))  # type: ignore[no-any-return]
