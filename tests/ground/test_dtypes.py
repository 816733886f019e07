from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest

from trine import dtypes
from trine.errors import DTypeError


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda d: d.name)
def test_dtypes_are_interned_and_pickle_to_the_same_object(dtype):
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert copy.deepcopy(dtype) is dtype and copy.copy(dtype) is dtype
    assert dtypes.by_name(dtype.name) is dtype and dtypes.by_name(f"torch.{dtype.name}") is dtype
    assert repr(dtype) == f"trine.{dtype.name}"
    assert dtype.itemsize == dtype.numpy.itemsize


def test_predicates_agree_with_torch():
    torch = pytest.importorskip("torch")
    for dtype in dtypes.ALL:
        peer = getattr(torch, dtype.name)
        assert (dtype.is_floating_point, dtype.is_complex, dtype.itemsize) == (peer.is_floating_point, peer.is_complex, peer.itemsize)
        assert dtype.is_signed == peer.is_signed


def test_from_numpy():
    for dtype in dtypes.ALL:
        if dtype is not dtypes.bfloat16:
            assert dtypes.from_numpy(dtype.numpy) is dtype
    assert dtypes.from_numpy(">f4") is dtypes.float32
    assert dtypes.from_numpy(np.longlong) is dtypes.int64


@pytest.mark.parametrize("bad", [object, "U3", "M8[s]", [("a", "i4")], np.longdouble])
def test_from_numpy_refuses_what_has_no_counterpart(bad):
    with pytest.raises(DTypeError, match="no counterpart"):
        dtypes.from_numpy(bad)


def test_unknown_name():
    with pytest.raises(DTypeError, match="float31"):
        dtypes.by_name("float31")


def test_promotion_is_that_of_torch():
    torch = pytest.importorskip("torch")
    for a, b in itertools.product(dtypes.ALL, repeat=2):
        try:
            expected = str(torch.promote_types(getattr(torch, a.name), getattr(torch, b.name))).removeprefix("torch.")
        except RuntimeError:  # PyTorch has no common dtype of wide unsigned integers and others; NumPy has
            expected = str(np.promote_types(a.numpy, b.numpy)) if not (a.is_complex or b.is_complex) else (a if a.is_complex else b).name
            if expected == "float64":  # uint64 and a signed integer
                with pytest.raises(DTypeError, match=f"{a.name} and {b.name}"):
                    dtypes.promote(a, b)
                continue
        assert dtypes.promote(a, b).name == expected, (a, b)


def test_result_type_is_that_of_torch():
    torch = pytest.importorskip("torch")

    def operands():
        for dtype in dtypes.ALL:
            yield (dtype, dtypes.DIMENSIONED), torch.ones(2, dtype=getattr(torch, dtype.name))
            yield (dtype, dtypes.ZERO_DIM), torch.ones((), dtype=getattr(torch, dtype.name))
        for value in (True, 1, 1.0, 1j):
            yield (dtypes.of_python(value), dtypes.WEAK), value

    for (a, torch_a), (b, torch_b) in itertools.product(operands(), repeat=2):
        try:
            expected = str(torch.result_type(torch_a, torch_b)).removeprefix("torch.")
        except RuntimeError:
            continue  # a wide unsigned integer: see above
        # There is no complex32: float16 with a complex number gives complex64.
        assert dtypes.result_type(a, b).name == expected.replace("complex32", "complex64"), (a, b)


def test_default_dtype_of_weak_numbers():
    weak = (dtypes.float32, dtypes.WEAK)
    assert dtypes.result_type((dtypes.int64, dtypes.DIMENSIONED), weak, default=dtypes.float64) is dtypes.float64
    assert dtypes.result_type((dtypes.float32, dtypes.DIMENSIONED), weak, default=dtypes.float64) is dtypes.float32
    assert dtypes.of_python(1.0, dtypes.float64) is dtypes.float64
    with pytest.raises(DTypeError, match="not a number"):
        dtypes.of_python("1")
    with pytest.raises(DTypeError, match="no operands"):
        dtypes.result_type()


def test_of_python():
    cases = [(True, dtypes.bool_), (3, dtypes.int64), (0.5, dtypes.float32), (1j, dtypes.complex64), (np.int8(3), dtypes.int8)]
    for value, dtype in [*cases, (np.float32(1), dtypes.float32), (np.bool_(True), dtypes.bool_)]:
        assert dtypes.of_python(value) is dtype


def test_bfloat16_rounds_as_torch_does():
    torch = pytest.importorskip("torch")
    patterns = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint64).astype(np.uint32)
    ties = (np.arange(65536, dtype=np.uint32) << 16) | 0x8000
    values = np.concatenate([patterns, ties, ties + 1, ties - 1]).view(np.float32)
    bits = dtypes.to_bfloat16_bits(values)
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.uint16).numpy()
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(bits[numbers], expected[numbers])
    assert np.isnan(dtypes.from_bfloat16_bits(bits[~numbers])).all()


def test_bfloat16_survives_a_round_trip():
    every = np.arange(65536, dtype=np.uint32).astype(np.uint16)
    values = dtypes.from_bfloat16_bits(every)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(dtypes.to_bfloat16_bits(values)[numbers], every[numbers])
    assert dtypes.from_bfloat16_bits(np.array(0x3F80, np.uint16)).shape == ()
