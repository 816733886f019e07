"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from trine.errors import DTypeError, ShapeError, message
from trine.ops.joining import cat
from trine.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return the elements of all parameters, one after the other, as one vector.

    >>> import trine
    >>> trine.nn.utils.parameters_to_vector(trine.nn.Linear(2, 3).parameters()).shape
    trine.Size([9])
    """
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the elements of a vector, one after the other.

    Raises:
        TypeError: `vec` is not a tensor. RuntimeError: it has fewer elements than the parameters.

    >>> import trine
    >>> layer = trine.nn.Linear(1, 1)
    >>> trine.nn.utils.vector_to_parameters(trine.tensor([2.0, 3.0]), layer.parameters())
    >>> layer.weight.item(), layer.bias.item()
    (2.0, 3.0)
    """
    if not isinstance(vec, Tensor):
        raise DTypeError(message("vector_to_parameters: vec", received=type(vec).__name__, expected="a Tensor"))
    position = 0
    for p in parameters:
        end = position + p.numel()
        if end > vec.numel():
            raise ShapeError(
                message("vector_to_parameters: the vector is too short", received=f"{vec.numel()} elements", expected=f"{end} or more")
            )
        p.data = vec[position:end].detach().reshape(p.shape)
        position = end
