"""Data parallelism over devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.nn.module import Module


class DataParallel(Module):
    """Splits a batch over GPUs; there are none, so the module gets the whole batch.

    Attributes:
        module: the module itself; names in `state_dict` begin with ``module.``.

    >>> import trine
    >>> list(trine.nn.DataParallel(trine.nn.Linear(1, 1)).state_dict())
    ['module.weight', 'module.bias']
    """

    def __init__(self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module, self.dim = module, dim
        self.device_ids: list[Any] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """Return ``module(*inputs, **module_kwargs)``: there are no GPUs to split the batch over.

    >>> import trine
    >>> trine.nn.parallel.data_parallel(trine.nn.ReLU(), trine.ones(2))
    tensor([1., 1.])
    """
    given = inputs if isinstance(inputs, tuple) else () if inputs is None else (inputs,)
    return module(*given, **(module_kwargs or {}))
