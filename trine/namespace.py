"""What `import trine` offers: everything that `trine.<name>` finds, put there when the first name is used.

The package itself imports nothing, so that a program which only mentions it starts at once; this module is loaded by the first
attribute access, and by every door (`trine.nn`, `trine.optim`, …).
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from trine import dtypes as _dtypes
from trine.dtypes import (
    DType,
    bfloat16,
    complex64,
    complex128,
    float16,
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
from trine.errors import TrineError
from trine.ops import *  # noqa: F403
from trine.ops import __all__ as _ops_names
from trine.runtime.random import Generator
from trine.session import (
    are_deterministic_algorithms_enabled,
    cache_info,
    eager,
    get_default_device,
    get_deterministic_debug_mode,
    get_float32_matmul_precision,
    get_num_interop_threads,
    get_num_threads,
    get_rng_state,
    initial_seed,
    is_deterministic_algorithms_warn_only_enabled,
    is_warn_always_enabled,
    manual_seed,
    seed,
    set_default_device,
    set_default_tensor_type,
    set_deterministic_debug_mode,
    set_engine,
    set_float32_matmul_precision,
    set_flush_denormal,
    set_num_interop_threads,
    set_num_threads,
    set_rng_state,
    set_warn_always,
    synchronize,
    use_deterministic_algorithms,
)
from trine.tensor import Tensor
from trine.tensor.anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled
from trine.tensor.compiled import compile
from trine.tensor.convert import as_tensor, from_dlpack, from_numpy, get_default_dtype, set_default_dtype, tensor
from trine.tensor.device import Device as device
from trine.tensor.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from trine.tensor.layout import (
    Layout,
    MemoryFormat,
    channels_last,
    channels_last_3d,
    contiguous_format,
    legacy_contiguous_format,
    preserve_format,
    strided,
)
from trine.tensor.printing import set_printoptions
from trine.tensor.size import Size
from trine.tensor.tensor_types import (
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
)
from trine.tensor.vmap import vmap

if TYPE_CHECKING:  # found by `trine.__getattr__`, which loads their modules with the first use
    from trine.amp import autocast as autocast
    from trine.amp import autocast_decrement_nesting as autocast_decrement_nesting
    from trine.amp import autocast_increment_nesting as autocast_increment_nesting
    from trine.amp import clear_autocast_cache as clear_autocast_cache
    from trine.amp import get_autocast_cpu_dtype as get_autocast_cpu_dtype
    from trine.amp import get_autocast_dtype as get_autocast_dtype
    from trine.amp import get_autocast_gpu_dtype as get_autocast_gpu_dtype
    from trine.amp import is_autocast_cache_enabled as is_autocast_cache_enabled
    from trine.amp import is_autocast_cpu_enabled as is_autocast_cpu_enabled
    from trine.amp import is_autocast_enabled as is_autocast_enabled
    from trine.amp import set_autocast_cache_enabled as set_autocast_cache_enabled
    from trine.amp import set_autocast_cpu_dtype as set_autocast_cpu_dtype
    from trine.amp import set_autocast_cpu_enabled as set_autocast_cpu_enabled
    from trine.amp import set_autocast_dtype as set_autocast_dtype
    from trine.amp import set_autocast_enabled as set_autocast_enabled
    from trine.amp import set_autocast_gpu_dtype as set_autocast_gpu_dtype
    from trine.array_api import __array_namespace_info__ as __array_namespace_info__
    from trine.array_api import astype as astype
    from trine.array_api import bitwise_invert as bitwise_invert
    from trine.array_api import broadcast_arrays as broadcast_arrays
    from trine.array_api import cumulative_prod as cumulative_prod
    from trine.array_api import cumulative_sum as cumulative_sum
    from trine.array_api import expand_dims as expand_dims
    from trine.array_api import isdtype as isdtype
    from trine.array_api import matrix_transpose as matrix_transpose
    from trine.array_api import permute_dims as permute_dims
    from trine.array_api import repeat as repeat
    from trine.array_api import take_along_axis as take_along_axis
    from trine.array_api import unique_all as unique_all
    from trine.array_api import unique_counts as unique_counts
    from trine.array_api import unique_inverse as unique_inverse
    from trine.array_api import unique_values as unique_values
    from trine.array_api import unstack as unstack
    from trine.array_api import vecdot as vecdot
    from trine.explanation import explain as explain
    from trine.serialization import load as load
    from trine.serialization import save as save

bool = _dtypes.bool_
float = float32
double = float64
half = float16
int = int32
long = int64
short = int16
cfloat = complex64
cdouble = complex128
dtype = DType
e = math.e
inf = math.inf
nan = math.nan
layout = Layout
memory_format = MemoryFormat
newaxis = None
pi = math.pi


__all__ = [
    *_ops_names,
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DType",
    "DoubleTensor",
    "FloatTensor",
    "Generator",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "Size",
    "Tensor",
    "TrineError",
    "are_deterministic_algorithms_enabled",
    "as_tensor",
    "astype",
    "autocast",
    "autocast_decrement_nesting",
    "autocast_increment_nesting",
    "bfloat16",
    "bitwise_invert",
    "bool",
    "broadcast_arrays",
    "cache_info",
    "cdouble",
    "cfloat",
    "channels_last",
    "channels_last_3d",
    "clear_autocast_cache",
    "compile",
    "complex128",
    "complex64",
    "contiguous_format",
    "cumulative_prod",
    "cumulative_sum",
    "device",
    "double",
    "dtype",
    "e",
    "eager",
    "enable_grad",
    "expand_dims",
    "explain",
    "float",
    "float16",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "get_autocast_cpu_dtype",
    "get_autocast_dtype",
    "get_autocast_gpu_dtype",
    "get_default_device",
    "get_default_dtype",
    "get_deterministic_debug_mode",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "get_num_threads",
    "get_rng_state",
    "half",
    "inf",
    "inference_mode",
    "initial_seed",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "is_autocast_cache_enabled",
    "is_autocast_cpu_enabled",
    "is_autocast_enabled",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_grad_enabled",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_inference_mode_enabled",
    "is_warn_always_enabled",
    "isdtype",
    "layout",
    "legacy_contiguous_format",
    "load",
    "long",
    "manual_seed",
    "matrix_transpose",
    "memory_format",
    "nan",
    "newaxis",
    "no_grad",
    "permute_dims",
    "pi",
    "preserve_format",
    "repeat",
    "save",
    "seed",
    "set_autocast_cache_enabled",
    "set_autocast_cpu_dtype",
    "set_autocast_cpu_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
    "set_autocast_gpu_dtype",
    "set_default_device",
    "set_default_dtype",
    "set_default_tensor_type",
    "set_deterministic_debug_mode",
    "set_engine",
    "set_float32_matmul_precision",
    "set_flush_denormal",
    "set_grad_enabled",
    "set_num_interop_threads",
    "set_num_threads",
    "set_printoptions",
    "set_rng_state",
    "set_warn_always",
    "short",
    "strided",
    "synchronize",
    "take_along_axis",
    "tensor",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "unstack",
    "use_deterministic_algorithms",
    "vecdot",
    "vmap",
]


def _publish() -> None:
    """Give the package these names (the function `trine.tensor` takes the place of the subpackage of that name)."""
    here = globals()
    package = sys.modules["trine"]
    names = {name: here[name] for name in __all__ if name in here}
    vars(package).update(names, __all__=sorted({*__all__, *package.MODULES}))


_publish()
