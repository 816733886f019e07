"""Collective operations of one process: what one process sends, it receives."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from trine.distributed.group import _require, check_rank
from trine.errors import ShapeError, UnsupportedError, message
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class ReduceOp(enum.Enum):
    """How the values of several processes are joined; that of one process stays what it is."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


class Work:
    """A finished operation."""

    def wait(self, timeout: Any = None) -> bool:
        """True: it is finished."""
        return True

    def is_completed(self) -> bool:
        """True: it is finished."""
        return True

    def is_success(self) -> bool:
        """True: it went well."""
        return True


def _done(group: Any, async_op: bool) -> Work | None:
    _require(group)
    return Work() if async_op else None


def _copy(source: Tensor, target: Tensor) -> None:
    if source.shape != target.shape:
        received, expected = tuple(target.shape), tuple(source.shape)
        raise ShapeError(message("distributed: the tensors have different shapes", received=received, expected=expected))
    if source is not target:
        with no_grad():
            target.copy_(source)


def _one(tensors: Sequence[Any]) -> Any:
    if len(tensors) != 1:
        raise ShapeError(message("distributed: one tensor for each process", received=f"{len(tensors)} tensors", expected="1"))
    return tensors[0]


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait for all processes: for nobody."""
    return _done(group, async_op)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """Wait for all processes: for nobody."""
    _done(group, False)


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Join the tensors of all processes, in place: one stays what it is.

    >>> import trine
    >>> trine.distributed.init_process_group("gloo", rank=0, world_size=1)
    >>> x = trine.ones(2)
    >>> trine.distributed.all_reduce(x)
    >>> x
    tensor([1., 1.])
    >>> trine.distributed.destroy_process_group()
    """
    return _done(group, async_op)


def reduce(tensor: Tensor, dst: int = 0, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Join the tensors of all processes in the process `dst`: one stays what it is."""
    check_rank(dst)
    return _done(group, async_op)


def broadcast(tensor: Tensor, src: int = 0, group: Any = None, async_op: bool = False) -> Work | None:
    """Send a tensor from the process `src` to all: it stays what it is."""
    check_rank(src)
    return _done(group, async_op)


def all_gather(tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False) -> Work | None:
    """Write the tensors of all processes into the list."""
    work = _done(group, async_op)
    _copy(tensor, _one(tensor_list))
    return work


def all_gather_into_tensor(output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False) -> Work | None:
    """Write the tensors of all processes into one."""
    work = _done(group, async_op)
    _copy(input_tensor.reshape(output_tensor.shape), output_tensor)
    return work


def gather(tensor: Tensor, gather_list: list[Tensor] | None = None, dst: int = 0, group: Any = None, async_op: bool = False) -> Work | None:
    """Write the tensors of all processes into the list of the process `dst`."""
    check_rank(dst)
    work = _done(group, async_op)
    _copy(tensor, _one(gather_list or []))
    return work


def scatter(
    tensor: Tensor, scatter_list: list[Tensor] | None = None, src: int = 0, group: Any = None, async_op: bool = False
) -> Work | None:
    """Write into each process the tensor that the list of the process `src` has for it."""
    check_rank(src)
    work = _done(group, async_op)
    _copy(_one(scatter_list or []), tensor)
    return work


def reduce_scatter(
    output: Tensor, input_list: list[Tensor], op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Join lists of all processes, and write into each process its element."""
    work = _done(group, async_op)
    _copy(_one(input_list), output)
    return work


def reduce_scatter_tensor(output: Tensor, input: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Join tensors of all processes, and write into each process its part."""
    work = _done(group, async_op)
    _copy(input.reshape(output.shape), output)
    return work


def all_to_all(output_tensor_list: list[Tensor], input_tensor_list: list[Tensor], group: Any = None, async_op: bool = False) -> Work | None:
    """Send a tensor from each process to each."""
    work = _done(group, async_op)
    _copy(_one(input_tensor_list), _one(output_tensor_list))
    return work


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Any = None,
    input_split_sizes: Any = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Send a part of a tensor from each process to each."""
    work = _done(group, async_op)
    _copy(input, output)
    return work


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Write the objects of all processes into the list."""
    _done(group, False)
    _one(object_list)
    object_list[0] = obj


def gather_object(obj: Any, object_gather_list: list[Any] | None = None, dst: int = 0, group: Any = None) -> None:
    """Write the objects of all processes into the list of the process `dst`."""
    check_rank(dst)
    _done(group, False)
    if object_gather_list is not None:
        _one(object_gather_list)
        object_gather_list[0] = obj


def broadcast_object_list(object_list: list[Any], src: int = 0, group: Any = None, device: Any = None) -> None:
    """Send objects from the process `src` to all: they stay what they are."""
    check_rank(src)
    _done(group, False)


def scatter_object_list(
    scatter_object_output_list: list[Any], scatter_object_input_list: list[Any] | None = None, src: int = 0, group: Any = None
) -> None:
    """Write into each process the object that the list of the process `src` has for it."""
    check_rank(src)
    _done(group, False)
    scatter_object_output_list[0] = _one(scatter_object_input_list or [])


def _no_partner(name: str) -> UnsupportedError:
    return UnsupportedError(message(f"distributed.{name}: there is no other process", fix="guard it with get_world_size() > 1"))


def send(tensor: Tensor, dst: int = 0, group: Any = None, tag: int = 0) -> None:
    """Raise: there is no other process."""
    raise _no_partner("send")


def recv(tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0) -> int:
    """Raise: there is no other process."""
    raise _no_partner("recv")


def isend(tensor: Tensor, dst: int = 0, group: Any = None, tag: int = 0) -> Work:
    """Raise: there is no other process."""
    raise _no_partner("isend")


def irecv(tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0) -> Work:
    """Raise: there is no other process."""
    raise _no_partner("irecv")
