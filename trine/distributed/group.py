"""The group of this process: made, asked and given up."""

from __future__ import annotations

import os
from typing import Any

from trine.errors import ArgumentError, TrineError, UnsupportedError, message


class Backend(str):
    """The name of a backend, in lower case."""

    UNDEFINED, GLOO, NCCL, MPI, UCC = "undefined", "gloo", "nccl", "mpi", "ucc"

    def __new__(cls, name: str) -> Backend:
        return super().__new__(cls, str(name).lower())


class NotInitializedError(TrineError, ValueError, RuntimeError):
    """There is no process group yet."""


class ProcessGroup:
    """A group with one member, this process.

    Attributes:
        backend: the name that was asked for.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def rank(self) -> int:
        """Return 0."""
        return 0

    def size(self) -> int:
        """Return 1."""
        return 1

    def name(self) -> str:
        """Return the name of the backend."""
        return str(self.backend)


class group:
    """The default group, as `group.WORLD`."""

    WORLD: ProcessGroup | None = None


class GroupMember:
    """The default group, as `GroupMember.WORLD`, and what stands for a group that this process is not in."""

    WORLD: ProcessGroup | None = None
    NON_GROUP_MEMBER = -100


def _size(name: str, given: int, default: int) -> int:
    return given if given >= 0 else int(os.environ.get(name, default))


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Make the default process group: this process alone.

    Args:
        backend: a name that `get_backend` returns; "gloo" unless given.
        world_size, rank: 1 and 0; where they are not given, the environment variables WORLD_SIZE and RANK count.

    Raises:
        UnsupportedError: the group would have several processes. ValueError: there is a group already, or the rank is impossible.

    >>> import trine
    >>> trine.distributed.init_process_group("gloo", rank=0, world_size=1)
    >>> trine.distributed.get_world_size()
    1
    >>> trine.distributed.destroy_process_group()
    """
    if group.WORLD is not None:
        raise ArgumentError(message("trying to initialize the default process group twice!", fix="destroy_process_group() first"))
    size, number = _size("WORLD_SIZE", world_size, 1), _size("RANK", rank, 0)
    if size > 1:
        what, fix = "distributed: groups of several processes are not available", "start one process"
        raise UnsupportedError(message(what, received=f"world_size={size}", expected="1", fix=fix))
    if number != 0 or size != 1:
        raise ArgumentError(message("distributed: impossible rank", received=f"rank={number}, world_size={size}", expected="0 of 1"))
    made = ProcessGroup(Backend((backend or "gloo").split(",")[0].split(":")[-1]))
    group.WORLD = GroupMember.WORLD = made


def destroy_process_group(group: Any = None) -> None:
    """Give up the default process group.

    Raises:
        ValueError: there is none.
    """
    _require(group)
    if group is None or group is globals()["group"].WORLD:
        globals()["group"].WORLD = GroupMember.WORLD = None


def _require(chosen: Any) -> ProcessGroup:
    """Return a group, the default one unless given.

    Raises:
        NotInitializedError: there is none.
    """
    if isinstance(chosen, ProcessGroup):
        return chosen
    if group.WORLD is None:
        what = "Default process group has not been initialized, please make sure to call init_process_group."
        raise NotInitializedError(message(what))
    return group.WORLD


def is_available() -> bool:
    """True: there are process groups (of one process)."""
    return True


def is_initialized() -> bool:
    """Return whether there is a default process group."""
    return group.WORLD is not None


def is_nccl_available() -> bool:
    """False: there are no GPUs."""
    return False


def is_mpi_available() -> bool:
    """False: MPI is not used."""
    return False


def is_gloo_available() -> bool:
    """True: "gloo" is accepted as the name of the backend."""
    return True


def is_backend_available(backend: str) -> bool:
    """Return whether a backend may be asked for on the CPU."""
    return str(backend).lower() == "gloo"


def is_torchelastic_launched() -> bool:
    """Return whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def get_rank(group: Any = None) -> int:
    """Return 0, the number of this process in its group."""
    return _require(group).rank()


def get_world_size(group: Any = None) -> int:
    """Return 1, the number of processes in the group."""
    return _require(group).size()


def get_backend(group: Any = None) -> str:
    """Return the backend that was asked for."""
    return str(_require(group).backend)


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """Return the environment variable LOCAL_RANK, or the fallback, or 0."""
    return int(os.environ.get("LOCAL_RANK", 0 if fallback_rank is None else fallback_rank))


def get_global_rank(group: Any, group_rank: int) -> int:
    """Return 0."""
    return check_rank(group_rank)


def get_group_rank(group: Any, global_rank: int) -> int:
    """Return 0."""
    return check_rank(global_rank)


def get_process_group_ranks(group: Any = None) -> list[int]:
    """Return the numbers of the processes of the group: [0]."""
    _require(group)
    return [0]


def new_group(ranks: Any = None, timeout: Any = None, backend: str | None = None, *args: Any, **kwargs: Any) -> Any:
    """Return a group of this process, or what stands for a group without it."""
    world = _require(None)
    for rank in ranks or ():
        check_rank(rank)
    if ranks is not None and not list(ranks):
        return GroupMember.NON_GROUP_MEMBER
    return ProcessGroup(world.backend if backend is None else Backend(backend))


def check_rank(rank: int) -> int:
    """Return the number of a process of the group.

    Raises:
        ValueError: it is not 0.
    """
    if rank != 0:
        raise ArgumentError(message("distributed: no such process", received=f"rank {rank}", expected="0, the only one"))
    return 0
