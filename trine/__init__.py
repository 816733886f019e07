"""Trine: dynamic programs that run as compiled static graphs.

>>> import trine
>>> x = trine.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trine.namespace import *  # noqa: F403

__version__ = "0.1.0"

MODULES = (
    "accelerator",
    "amp",
    "array_api",
    "autograd",
    "backends",
    "cpu",
    "cuda",
    "data",
    "distributed",
    "distributions",
    "fft",
    "func",
    "fx",
    "hub",
    "jit",
    "linalg",
    "masked",
    "multiprocessing",
    "nn",
    "onnx",
    "optim",
    "profiler",
    "signal",
    "special",
    "testing",
    "utils",
    "version",
)
_INTERNAL = "_C compiler config core dtypes engines errors namespace ops runtime serialization session shapes tools tree".split()
_AMP = """autocast autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache get_autocast_cpu_dtype get_autocast_dtype
get_autocast_gpu_dtype is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled set_autocast_cache_enabled
set_autocast_cpu_dtype set_autocast_cpu_enabled set_autocast_dtype set_autocast_enabled set_autocast_gpu_dtype""".split()
# Names of the array API standard that PyTorch does not have.
_STANDARD = """__array_namespace_info__ astype bitwise_invert broadcast_arrays cumulative_prod cumulative_sum expand_dims isdtype
matrix_transpose permute_dims repeat take_along_axis unique_all unique_counts unique_inverse unique_values unstack vecdot""".split()
_CHECKS = "_assert _check _check_index _check_is_size _check_not_implemented _check_type _check_value".split()
_LATE = {
    "explain": "trine.explanation",
    "load": "trine.serialization",
    "save": "trine.serialization",
    **dict.fromkeys(_AMP, "trine.amp"),
    **dict.fromkeys(_STANDARD, "trine.array_api"),
    **dict.fromkeys(_CHECKS, "trine.assertions"),
}


def __getattr__(name: str) -> Any:
    if name in MODULES or name in _INTERNAL:
        return importlib.import_module(f"trine.{name}")
    if name.startswith("_foreach_"):
        return getattr(importlib.import_module("trine.ops.foreach"), name)
    if name == "__all__" or name in _LATE or not name.startswith("_"):
        importlib.import_module("trine.namespace")
        if name in _LATE:
            globals()[name] = getattr(importlib.import_module(_LATE[name]), name)
        if name in globals():
            return globals()[name]
    if not name.startswith("_"):
        raise importlib.import_module("trine.missing").missing_name("trine", name)
    raise AttributeError(f"module 'trine' has no attribute '{name}'")


def __dir__() -> list[str]:
    importlib.import_module("trine.namespace")
    return sorted({*globals(), *MODULES})
