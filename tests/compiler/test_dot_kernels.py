"""The code of the matrix multiplication kernels: sums stay in registers, and other architectures compile."""

from __future__ import annotations

import pytest

from trine import dtypes
from trine.compiler import llvm
from trine.compiler.lower.dot import tile_shape
from trine.compiler.program import Kernel
from trine.compiler.target import Target, make_target
from trine.compiler.templates.dot import Tile, inner_tile, micro_kernel, tile
from trine.compiler.templates.dot_driver import driver_function, driver_kernel
from trine.compiler.templates.dot_finish import finish_kernel
from trine.compiler.templates.dot_integer import integer_kernel
from trine.compiler.templates.dot_pack import pack_kernel, packer


def few_rows(geometry: Tile) -> tuple[int, int] | None:
    """The tile of one more vector that serves some numbers of rows, if there is one."""
    shapes = {tile_shape(m, geometry.rows, geometry.vectors) for m in range(1, 65)}
    return next((shape for shape in shapes if shape[1] > geometry.vectors), None)


def micro_kernels(target: Target) -> list[Kernel]:
    """The largest tiles of each walk, where registers are scarce."""
    geometry = tile(target, dtypes.float32)
    rows, columns = inner_tile(target, 4)
    return [
        *(micro_kernel(dtypes.float32, walk, geometry.rows - i, geometry.vectors) for walk in ("row", "column") for i in (0, 1, 3)),
        *(micro_kernel(dtypes.float32, walk, *few) for walk in ("row", "column") if (few := few_rows(geometry)) is not None),
        micro_kernel(dtypes.float32, "inner", rows, columns),
        micro_kernel(dtypes.float32, "inner", *inner_tile(target, 1)),
        micro_kernel(dtypes.float32, "vector", 1),
    ]


# The scalar tail of scalar products has more addresses than the plain x86-64 registers hold.
@pytest.mark.parametrize("target", [make_target("avx512", "x86_64"), make_target("avx2", "x86_64")], ids=lambda t: t.name)
def test_sums_stay_in_registers(target: Target) -> None:
    for kernel in micro_kernels(target):
        assert llvm.count_spills(llvm.assembly(kernel.emit(target), target)) == 0, kernel.key


def test_every_kernel_compiles_for_aarch64() -> None:
    target = make_target("generic", "aarch64")
    float32, half = dtypes.float32, dtypes.float16
    kernels = [
        *micro_kernels(target),
        *(packer(source, float32, layout) for source in (float32, half) for layout in ("copy", "transpose", "gather")),
        *(pack_kernel(float32, float32), driver_kernel(0), driver_function(float32, float32, float32), finish_kernel(float32, half, 0)),
        integer_kernel(dtypes.int64, 0),
    ]
    for kernel in kernels:
        assert llvm.compile_object(kernel.emit(target), target).startswith(b"\x7fELF"), kernel.key
