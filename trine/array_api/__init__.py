"""The Python array API standard, version 2024.12: a namespace that differs from `trine` where PyTorch's conventions do.

Sums of unsigned integers are unsigned, `max` of an axis is an array, `sort` gives values only, `std` has no correction, `meshgrid` is
cartesian; everything else is `trine` under the standard's names and signatures (https://data-apis.org/array-api/2024.12).
"""

from __future__ import annotations

import importlib
import math
from typing import Any

from trine import namespace as _namespace  # noqa: F401 - gives the package its names before a subpackage takes one
from trine.array_api import creation, data_types, elementwise, linear_algebra, manipulation, statistics
from trine.array_api.creation import *  # noqa: F403
from trine.array_api.data_types import *  # noqa: F403
from trine.array_api.data_types import __array_namespace_info__
from trine.array_api.elementwise import *  # noqa: F403
from trine.array_api.linear_algebra import *  # noqa: F403
from trine.array_api.manipulation import *  # noqa: F403
from trine.array_api.statistics import *  # noqa: F403
from trine.dtypes import (
    bool_,
    complex64,
    complex128,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)

__array_api_version__ = "2024.12"

bool = bool_
e, inf, nan, newaxis, pi = math.e, math.inf, math.nan, None, math.pi


def __getattr__(name: str) -> Any:
    if name in ("fft", "linalg"):  # loaded with their first use
        return importlib.import_module(f"trine.array_api.{name}")
    raise AttributeError(f"module 'trine.array_api' has no attribute '{name}'")


# fmt: off
__all__ = [
    "__array_namespace_info__", "bool", "complex64", "complex128", "e", "float32", "float64", "inf", "int8", "int16", "int32", "int64",
    "nan", "newaxis", "pi", "uint8", "uint16", "uint32", "uint64",
]
# fmt: on
for _family in (creation, data_types, elementwise, linear_algebra, manipulation, statistics):
    __all__ += [_name for _name in _family.__all__ if _name not in __all__]
