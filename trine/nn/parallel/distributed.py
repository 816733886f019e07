"""Data parallelism over processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trine import distributed as groups
from trine.errors import GradientError, message
from trine.nn.module import Module


class DistributedDataParallel(Module):
    """Averages gradients over the processes of a group; the group has one, so the module's own gradients stay.

    Attributes:
        module: the module itself; names in `state_dict` begin with ``module.``.

    Raises:
        ValueError: there is no process group. RuntimeError: the module has no parameter that requires a gradient.

    >>> import trine
    >>> trine.distributed.init_process_group("gloo", rank=0, world_size=1)
    >>> model = trine.nn.parallel.DistributedDataParallel(trine.nn.Linear(2, 1))
    >>> model(trine.ones(3, 2)).shape
    trine.Size([3, 1])
    >>> trine.distributed.destroy_process_group()
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        groups.get_world_size(process_group)
        if not any(p.requires_grad for p in module.parameters()):
            raise GradientError(
                message("DistributedDataParallel is not needed when a module doesn't have parameters that require a gradient")
            )
        self.module, self.dim, self.process_group = module, dim, process_group
        self.device_ids = device_ids
        self.broadcast_buffers, self.find_unused_parameters = broadcast_buffers, find_unused_parameters
        self.gradient_as_bucket_view, self.static_graph = gradient_as_bucket_view, static_graph
        self.require_backward_grad_sync = True

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside this context gradients are not averaged over processes."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def register_comm_hook(self, state: Any, hook: Any) -> None:
        """Do nothing: no gradient is sent."""
