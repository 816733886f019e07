"""Names that PyTorch programs import from `autograd.function` and `autograd.variable`."""

from __future__ import annotations

from typing import Any

from trine.tensor.function import Function, FunctionContext, once_differentiable
from trine.tensor.tensor import Tensor

__all__ = ["Function", "FunctionCtx", "InplaceFunction", "Variable", "once_differentiable"]

FunctionCtx = FunctionContext
InplaceFunction = Function


def Variable(data: Any, requires_grad: bool = False, volatile: bool | None = None) -> Tensor:  # noqa: N802 - PyTorch's name
    """Return `data` as a tensor: PyTorch's name from the time when tensors had no gradients.

    >>> import trine
    >>> trine.autograd.Variable(trine.ones(1), requires_grad=True).requires_grad
    True
    """
    tensor = data.detach()
    return tensor.requires_grad_() if requires_grad else tensor  # type: ignore[no-any-return]
