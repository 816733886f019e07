"""DLPack against NumPy and PyTorch, both ways; NumPy arrays and Python numbers."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np
import pytest

from trine import dtypes
from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, ShapeError, UnsupportedError
from trine.runtime import dlpack
from trine.runtime.memory import Buffer, allocate
from trine.runtime.numpy_interchange import from_numpy, from_python, to_numpy, to_python

torch = pytest.importorskip("torch")

TORCH_ONLY = {dtypes.bfloat16}


class Producer:
    """The least object that others can import."""

    def __init__(self, buffer: Buffer, dtype: DType, shape: tuple[int, ...], **options: Any) -> None:
        self.arguments, self.options = (buffer, dtype, shape), options

    def __dlpack__(self, *, stream: object = None, **options: Any) -> Any:
        return dlpack.to_capsule(*self.arguments, **self.options, **options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.DEVICE


def sample(dtype: DType, shape: tuple[int, ...] = (2, 3)) -> Producer:
    array = (np.arange(np.prod(shape)).reshape(shape) % 2).astype(dtype.numpy)
    return Producer(from_numpy(array)[0], dtype, shape)


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if d not in TORCH_ONLY], ids=lambda d: d.name)
def test_export_to_numpy(dtype: DType) -> None:
    producer = sample(dtype)
    array = np.from_dlpack(producer)
    assert array.dtype == dtype.numpy and array.flags.writeable
    array[1, 2] = 1
    assert producer.arguments[0].array(dtype.numpy, (2, 3))[1, 2] == 1
    exported = len(dlpack._exported)
    del array
    gc.collect()
    assert len(dlpack._exported) == exported - 1


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda d: d.name)
def test_torch_both_ways(dtype: DType) -> None:
    tensor = torch.from_dlpack(sample(dtype))
    assert tensor.dtype == getattr(torch, dtype.name) and tuple(tensor.shape) == (2, 3)
    back = dlpack.from_dlpack(tensor)
    assert back.dtype is dtype and back.shape == (2, 3) and back.buffer.external
    assert back.buffer.address == tensor.data_ptr()


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if d not in TORCH_ONLY], ids=lambda d: d.name)
def test_import_from_numpy(dtype: DType) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype.numpy)
    back = dlpack.from_dlpack(array)
    assert back.dtype is dtype and back.buffer.address == array.ctypes.data and not back.buffer.readonly
    del array
    gc.collect()
    np.testing.assert_array_equal(back.buffer.array(dtype.numpy, (2, 3)), np.arange(6).reshape(2, 3).astype(dtype.numpy))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (1, 5, 1)])
def test_shapes(shape: tuple[int, ...]) -> None:
    array = np.ones(shape, np.float32)
    for consumer in (np.from_dlpack, torch.from_dlpack):
        assert tuple(consumer(sample(dtypes.float32, shape)).shape) == shape
    for source in (array, torch.ones(shape)):
        back = dlpack.from_dlpack(source)
        np.testing.assert_array_equal(back.buffer.array(np.float32, back.shape), array)


def test_strided_export() -> None:
    buffer, dtype, _ = from_numpy(np.arange(12.0).reshape(3, 4))
    view = Producer(buffer, dtype, (2, 3), strides=(2, 4), byte_offset=8)
    expected = np.arange(12.0).reshape(3, 4)[:, 1::2].T
    np.testing.assert_array_equal(np.from_dlpack(view), expected)
    np.testing.assert_array_equal(torch.from_dlpack(view).numpy(), expected)


def test_strided_import_copies() -> None:
    base = np.arange(12.0).reshape(3, 4)
    for source in (base.T, base[::2, ::-1], torch.arange(12.0).reshape(3, 4).t(), torch.ones(1).expand(2, 3)):
        back = dlpack.from_dlpack(source)
        assert not back.buffer.external and not back.buffer.readonly
        np.testing.assert_array_equal(back.buffer.array(back.dtype.numpy, back.shape), np.asarray(source))
        with pytest.raises(UnsupportedError, match="not row-major"):
            dlpack.from_dlpack(source, copy=False)
    forced = dlpack.from_dlpack(base, copy=True)
    assert forced.buffer.address != base.ctypes.data and not forced.buffer.external
    assert dlpack.from_dlpack(base[:, :], copy=False).buffer.address == base.ctypes.data


def test_readonly() -> None:
    array = np.arange(3.0)
    array.flags.writeable = False
    back = dlpack.from_dlpack(array)
    assert back.buffer.readonly
    again = Producer(*back)
    assert not np.from_dlpack(again).flags.writeable
    with pytest.raises(BufferError, match="read-only"):
        again.__dlpack__()
    copied = np.from_dlpack(Producer(*back), copy=True)
    assert copied.flags.writeable
    copied[0] = 5
    assert array[0] == 0


def test_wrong_device() -> None:
    with pytest.raises(BufferError, match="dl_device"):
        sample(dtypes.float32).__dlpack__(dl_device=(2, 0))

    class Remote:
        def __dlpack__(self) -> None: ...

        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

    with pytest.raises(UnsupportedError, match="device type 2"):
        dlpack.from_dlpack(Remote())


def test_unused_capsules_release() -> None:
    exported = len(dlpack._exported)
    for options in ({}, {"max_version": (1, 0)}):
        capsule = sample(dtypes.float32).__dlpack__(**options)
        assert len(dlpack._exported) == exported + 1
        del capsule
        assert len(dlpack._exported) == exported


def test_a_capsule_is_consumed_once() -> None:
    exported = len(dlpack._exported)
    capsule = sample(dtypes.int16).__dlpack__(max_version=(1, 1))
    taken = dlpack.from_dlpack(capsule)
    with pytest.raises(ArgumentError, match="only once"):
        dlpack.from_dlpack(capsule)
    del capsule
    assert len(dlpack._exported) == exported + 1
    view = taken.buffer.array(np.int16, (2, 3))
    del taken
    gc.collect()
    assert len(dlpack._exported) == exported + 1 and view[0, 1] == 1
    del view
    gc.collect()
    assert len(dlpack._exported) == exported


def tampered(**changes: int) -> Any:
    """A capsule whose tensor has some fields overwritten."""
    capsule = sample(dtypes.float32).__dlpack__()
    managed = dlpack._Managed.from_address(dlpack._capsule_pointer(capsule, b"dltensor"))
    for name, value in changes.items():
        setattr(managed.tensor, name, value)
    return capsule


def test_bad_tensors() -> None:
    exported = len(dlpack._exported)
    for changes, error, text in [
        ({"lanes": 4}, DTypeError, "4 lanes"),
        ({"code": 9}, DTypeError, "type code 9"),
        ({"ndim": -1}, ArgumentError, "-1 axes"),
        ({"ndim": 1000}, ArgumentError, "1000 axes"),
        ({"device_type": 2}, UnsupportedError, "device type 2"),
    ]:
        with pytest.raises(error, match=text):
            dlpack.from_dlpack(tampered(**changes))
    gc.collect()
    assert len(dlpack._exported) == exported
    for wrong in (3, "text", object()):
        with pytest.raises(ArgumentError, match="not a DLPack object"):
            dlpack.from_dlpack(wrong)


def test_unversioned_producer() -> None:
    class Old:
        def __dlpack__(self, stream: object = None) -> Any:
            return sample(dtypes.float32).__dlpack__()

    assert dlpack.from_dlpack(Old()).shape == (2, 3)


def test_newer_format() -> None:
    capsule = sample(dtypes.float32).__dlpack__(max_version=(1, 0))
    dlpack._ManagedVersioned.from_address(dlpack._capsule_pointer(capsule, b"dltensor_versioned")).major = 2
    with pytest.raises(UnsupportedError, match="version 2"):
        dlpack.from_dlpack(capsule)


def test_unaligned_memory_is_copied() -> None:
    buffer = allocate(32)
    buffer.array(np.uint8, (32,))[:] = np.frombuffer(b"\0" + np.arange(3.0).tobytes() + b"\0" * 7, np.uint8)
    back = dlpack.from_dlpack(Producer(buffer, dtypes.float64, (3,), byte_offset=1))
    assert back.buffer.address % 8 == 0
    np.testing.assert_array_equal(back.buffer.array(np.float64, (3,)), np.arange(3.0))


# --- NumPy and Python numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda d: d.name)
def test_python_numbers(dtype: DType) -> None:
    for value in (0, 1) if dtype is dtypes.bool_ else (0, 3, 1.5, -2.5) if dtype.is_floating_point else (0, 3):
        result = to_python(from_python(value, dtype), dtype)
        assert result == value and type(result) is {"b": bool, "i": int, "u": int, "f": float, "c": complex}[dtype.code]
    assert to_python(from_python(1e300, dtypes.float32), dtypes.float32) == float("inf")
    if dtype.is_complex:
        assert to_python(from_python(1 + 2j, dtype), dtype) == 1 + 2j


def test_item_of_many() -> None:
    with pytest.raises(ShapeError, match="6 elements"):
        to_python(sample(dtypes.float32).arguments[0], dtypes.float32)


def test_numpy_both_ways() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    buffer, dtype, shape = from_numpy(array)
    assert (dtype, shape, buffer.external) == (dtypes.int32, (2, 3), True)
    copied, _, _ = from_numpy(array.T, copy=True)
    assert not copied.external
    view = to_numpy(copied, dtype, (3, 2))
    np.testing.assert_array_equal(view, array.T)
    assert copied.external and view.ctypes.data == copied.address
    with pytest.raises(DTypeError):
        from_numpy(np.array(["a"]))


def test_layouts_of_the_structures() -> None:
    assert ctypes.sizeof(dlpack._Tensor) == 48 and dlpack._ManagedVersioned.tensor.offset == 32 and dlpack._Managed.deleter.offset == 56
