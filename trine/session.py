"""What concerns the process or the thread as a whole: running what is recorded, engines, threads, random state, caches."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine import config, engines
from trine.errors import ArgumentError, message
from trine.runtime import memory, random
from trine.tensor import flush
from trine.tensor.convert import from_numpy, set_default_dtype
from trine.tensor.device import Device, check_device
from trine.tensor.recorder import local, new_trace
from trine.tensor.state import automaton
from trine.tensor.tensor import Tensor
from trine.tensor.tensor_types import dtype_of


def synchronize(device: object = None) -> None:
    """Run everything that this thread has recorded."""
    flush()


class eager:
    """Execute each operation at once, for hunting a bug: a call switches it for the thread, `with` for a block.

    >>> import trine
    >>> with trine.eager(True):
    ...     y = trine.ones(2) + 1
    """

    def __init__(self, enabled: bool = True) -> None:
        self._before = local.eager
        _set_eager(enabled)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        _set_eager(self._before)


def _set_eager(enabled: bool) -> None:
    flush()
    local.eager = enabled
    new_trace()


def set_engine(name: str) -> None:
    """Choose what runs recorded programs from now on: "native" or "numpy" (the reference).

    Raises:
        ArgumentError: there is no such engine.
    """
    flush()
    engines.get(name)
    config.settings.engine = name


def set_num_threads(count: int) -> None:
    """Set the number of threads that a program may use, the calling one included."""
    from trine.runtime.pool import pool

    flush()
    pool.set_num_threads(count)
    config.settings.num_threads = count


def get_num_threads() -> int:
    """Return the number of threads that a program may use."""
    return config.settings.num_threads


def manual_seed(seed: int) -> random.Generator:
    """Seed the default generator; the same seed gives the same numbers on every engine and for any number of threads."""
    return random.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the system and return the seed."""
    return random.default_generator.seed()


def initial_seed() -> int:
    """Return the seed of the default generator."""
    return random.default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Return the state of the default generator as a uint8 tensor."""
    return from_numpy(np.frombuffer(random.default_generator.get_state(), np.uint8).copy())


def set_rng_state(new_state: Tensor) -> None:
    """Set the state of the default generator."""
    random.default_generator.set_state(new_state.numpy().tobytes())


def cache_info() -> dict[str, Any]:
    """Return the size and the limit of every cache: recorded programs, plans, kernels in memory and on disk, free memory."""
    info: dict[str, Any] = {"programs": automaton.info()}
    if config.settings.engine == "native":
        kernels = getattr(engines.current(), "kernels", None)
        if kernels is not None:
            info["kernels"] = kernels.info()._asdict() if hasattr(kernels.info(), "_asdict") else kernels.info()
    info["memory"] = memory.memory_info()._asdict()
    return info


# --- switches of PyTorch that have one position here ----------------------------------------------------------------------------------

_kept: dict[str, Any] = {"matmul": "highest", "deterministic": 0, "warn_always": False, "interop": 1}


def set_float32_matmul_precision(precision: str) -> None:
    """Set what `get_float32_matmul_precision` returns; products of float32 are always computed in float32.

    Args:
        precision: "highest", "high" or "medium".
    """
    if precision not in ("highest", "high", "medium"):
        expected = "'highest', 'high' or 'medium'"
        raise ArgumentError(message("set_float32_matmul_precision", received=repr(precision), expected=expected))
    _kept["matmul"] = precision


def get_float32_matmul_precision() -> str:
    """Return what `set_float32_matmul_precision` has set."""
    return str(_kept["matmul"])


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Set what `are_deterministic_algorithms_enabled` returns; results are the same in every run, whatever is set."""
    _kept["deterministic"] = (1 if warn_only else 2) if mode else 0


def are_deterministic_algorithms_enabled() -> bool:
    """Return what `use_deterministic_algorithms` has set."""
    return bool(_kept["deterministic"])


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Return whether `use_deterministic_algorithms` was called with ``warn_only=True``."""
    return bool(_kept["deterministic"] == 1)


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Set what `get_deterministic_debug_mode` returns: 0 "default", 1 "warn", 2 "error"; results are the same in every run."""
    names = ("default", "warn", "error")
    number = names.index(debug_mode) if isinstance(debug_mode, str) and debug_mode in names else debug_mode
    if number not in (0, 1, 2):
        raise ArgumentError(message("set_deterministic_debug_mode", received=repr(debug_mode), expected="0 to 2, or " + ", ".join(names)))
    _kept["deterministic"] = number


def get_deterministic_debug_mode() -> int:
    """Return what `set_deterministic_debug_mode` has set."""
    return int(_kept["deterministic"])


def set_num_interop_threads(count: int) -> None:
    """Set what `get_num_interop_threads` returns; operations of one program run one after the other."""
    if count < 1:
        raise ArgumentError(message("set_num_interop_threads", received=count, expected="1 or more"))
    _kept["interop"] = int(count)


def get_num_interop_threads() -> int:
    """Return what `set_num_interop_threads` has set."""
    return int(_kept["interop"])


def set_flush_denormal(mode: bool) -> bool:
    """Return False: subnormal numbers are always kept."""
    return False


def set_warn_always(b: bool) -> None:
    """Set what `is_warn_always_enabled` returns; Python's own filters decide which warnings are shown."""
    _kept["warn_always"] = bool(b)


def is_warn_always_enabled() -> bool:
    """Return what `set_warn_always` has set."""
    return bool(_kept["warn_always"])


def set_default_device(device: Any) -> None:
    """Set the device of new tensors: the CPU, the only one.

    Raises:
        RuntimeError: another device.
    """
    if device is not None:
        check_device(device)


def get_default_device() -> Device:
    """Return the device of new tensors: the CPU."""
    return Device("cpu")


def set_default_tensor_type(t: Any) -> None:
    """Set the dtype that Python floats become, by a tensor type (`DoubleTensor`) or its name.

    >>> import trine
    >>> trine.set_default_tensor_type("torch.DoubleTensor")
    >>> trine.tensor(1.0).dtype
    trine.float64
    >>> trine.set_default_tensor_type(trine.FloatTensor)
    """
    set_default_dtype(dtype_of(t))
