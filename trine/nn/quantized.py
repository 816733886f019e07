"""Operations as modules, as models write them that PyTorch is to quantize. Here they compute in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.nn.linear import Identity
from trine.nn.module import Module
from trine.ops.arithmetic import add, mul
from trine.ops.contraction import matmul
from trine.ops.joining import cat
from trine.tensor import Tensor

__all__ = ["FXFloatFunctional", "FloatFunctional"]


class FloatFunctional(Module):
    """Sums, products and joins whose results pass through `activation_post_process`, where PyTorch puts an observer.

    >>> import trine
    >>> trine.nn.quantized.FloatFunctional().add(trine.ones(1), trine.ones(1))
    tensor([2.])
    """

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process = Identity()

    def forward(self, x: Any) -> Any:
        raise RuntimeError("FloatFunctional is not intended to use the 'forward'. Please use the underlying operation")

    def _observed(self, result: Tensor) -> Tensor:
        return self.activation_post_process(result)  # type: ignore[no-any-return]

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``x + y``."""
        return self._observed(add(x, y))

    def add_scalar(self, x: Tensor, y: float) -> Tensor:
        """Return ``x + y`` for a number y; it is not observed."""
        return add(x, y)

    def mul(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``x * y``."""
        return self._observed(mul(x, y))

    def mul_scalar(self, x: Tensor, y: float) -> Tensor:
        """Return ``x * y`` for a number y; it is not observed."""
        return mul(x, y)

    def cat(self, x: Sequence[Tensor], dim: int = 0) -> Tensor:
        """Return the tensors one after the other."""
        return self._observed(cat(list(x), dim=dim))

    def add_relu(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ``relu(x + y)``."""
        return self._observed(add(x, y).relu())

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the matrix product."""
        return self._observed(matmul(x, y))


class FXFloatFunctional(FloatFunctional):
    """`FloatFunctional` under the name that PyTorch's graph mode uses."""
