from __future__ import annotations

import inspect

import pytest

from trine import errors

CATCHES = {
    "ShapeError": (RuntimeError, ValueError),
    "DTypeError": (TypeError, RuntimeError),
    "ArgumentError": (ValueError, TypeError, RuntimeError),
    "DeviceError": (ValueError, RuntimeError, AssertionError),
    "AxisError": (IndexError, ValueError),
    "IndexOutOfRangeError": (IndexError, RuntimeError),
    "InPlaceError": (RuntimeError,),
    "GradientError": (RuntimeError,),
    "LinAlgError": (RuntimeError,),
    "CheckpointError": (ValueError, RuntimeError),
    "CompileError": (RuntimeError,),
    "AllocationError": (MemoryError, RuntimeError),
    "UnsupportedError": (NotImplementedError,),
}


@pytest.mark.parametrize("name", CATCHES)
def test_each_error_is_caught_as_the_builtin(name):
    error = getattr(errors, name)
    for builtin in (*CATCHES[name], errors.TrineError):
        with pytest.raises(builtin, match="text"):
            raise error("text")


def test_the_table_is_complete():
    classes = {n for n, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.TrineError)}
    assert classes == {*CATCHES, "TrineError"}
    assert set(errors.__all__) == {*classes, "CacheWarning", "message"}


def test_message_leaves_out_what_is_not_given():
    assert errors.message("op: wrong") == "op: wrong"
    text = errors.message("op: wrong", received=(1, 2), fix="do that", where="a.py:3 in f")
    assert text.splitlines() == ["op: wrong", "  received: (1, 2)", "  fix: do that", "  at: a.py:3 in f"]
