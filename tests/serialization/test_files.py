"""Saving and loading: round trips, atomic writes, hostile files, exchange with the safetensors package."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import resource
import signal
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trine
from trine import nn
from trine.errors import CheckpointError
from trine.serialization import files

DTYPES = """bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128""".split()


def same(a: Any, b: Any) -> bool:
    """Equal in structure, types, dtypes, shapes and bits."""
    if isinstance(a, trine.Tensor):
        return isinstance(b, trine.Tensor) and a.dtype is b.dtype and a.shape == b.shape and a._array().tobytes() == b._array().tobytes()
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and [type(k) for k in a] == [type(k) for k in b] and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def saved(obj: Any) -> bytes:
    file = io.BytesIO()
    trine.save(obj, file)
    return file.getvalue()


def loaded(data: bytes) -> Any:
    return trine.load(io.BytesIO(data))


def make(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


# --- round trips --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype: str, tmp_path: Path) -> None:
    state = {
        "values": trine.tensor([[0, 1, 1], [1, 0, 1]]).to(getattr(trine, dtype)),
        "scalar": trine.tensor(1).to(getattr(trine, dtype)),
        "empty": trine.zeros(0, 3, dtype=getattr(trine, dtype)),
    }
    trine.save(state, tmp_path / "file")
    assert same(trine.load(tmp_path / "file"), state)


def test_special_values_keep_their_bits() -> None:
    x = trine.tensor([math.nan, math.inf, -math.inf, -0.0, 5e-324], dtype=trine.float64)
    assert same(loaded(saved({"x": x})), {"x": x})


def test_nested_data() -> None:
    data = {
        "list": [1, -2.5, True, None, "text \u00e9\U0001f600", math.inf, -math.inf, math.nan, 1 << 70],
        "tuple": (trine.ones(2), (), []),
        "size": trine.ones(2, 3).shape,
        3: {"int key": 1, 2.5: trine.zeros(1), True: "bool key"},
        "a": {"b": trine.ones(1)},
        "a.b": trine.zeros(1),
        "a.b'": trine.full((1,), 2.0),
        "__metadata__": trine.ones(1),
        "array": np.arange(6).reshape(2, 3),
        "complex": [trine.tensor([1 + 2j], dtype=trine.complex128)],
        "dtype": trine.bfloat16,
        "empty": {},
    }
    assert same(loaded(saved(data)), data)
    for value in (trine.ones(2), [], {}, 3, None, "text", {"__metadata__": trine.ones(1)}):
        assert same(loaded(saved(value)), value)
    assert same(loaded(saved({"n": np.float32(1.5), "i": np.int64(3), "b": np.bool_(True)})), {"n": 1.5, "i": 3, "b": True})


def test_a_tensor_that_occurs_twice_is_stored_once() -> None:
    x = trine.zeros(1000)
    data = saved([x, x])
    assert len(data) < 5000
    first, second = loaded(data)
    assert first is second


def test_views_and_parameters_are_saved_by_value() -> None:
    x = trine.arange(12).reshape(3, 4).float()
    state = {"column": x[:, 1], "transposed": x.t(), "weight": nn.Parameter(x), "expanded": x[:1].expand(3, 4)}
    result = loaded(saved(state))
    assert {k: v.tolist() for k, v in result.items()} == {k: v.tolist() for k, v in state.items()}
    assert not result["weight"].requires_grad and type(result["weight"]) is trine.Tensor
    result["weight"].add_(1)


def test_model_and_optimizer(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = trine.optim.Adam(net.parameters(), lr=0.1, betas=(0.8, 0.9))
    net(trine.ones(2, 3)).sum().backward()
    optimizer.step()
    checkpoint = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "rng": trine.get_rng_state()}
    trine.save(checkpoint, str(tmp_path / "c"))
    result = trine.load(str(tmp_path / "c"), map_location="cpu", weights_only=True)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    again = trine.optim.Adam(other.parameters())
    other.load_state_dict(result["model"])
    again.load_state_dict(result["optimizer"])
    assert same(dict(other.state_dict()), dict(net.state_dict())) and same(again.state_dict(), optimizer.state_dict())
    assert result["epoch"] == 3 and again.param_groups[0]["betas"] == (0.8, 0.9)


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    path = tmp_path / "file"
    for value, text in (
        ({"a": [object()]}, "an object at 'a.0'"),
        ({"net": nn.Linear(1, 1)}, "state_dict"),
        ({(1, 2): 3}, "dict key"),
        ({math.nan: 3}, "dict key"),
        (1 << 100_000, "int"),
        ({1, 2}, "set"),
        (np.array(["a"]), "ndarray"),
        (loop, "nested too deeply"),
        (lambda: 1, "function"),
    ):
        with pytest.raises((TypeError, CheckpointError), match=text):
            trine.save(value, path)
    for place in (3.5, None, ["x"]):
        with pytest.raises(TypeError, match="path"):
            trine.save(1, place)
        with pytest.raises(TypeError, match="path"):
            trine.load(place)
    assert not list(tmp_path.iterdir())


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8
)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(trees)
def test_any_nested_data(data: Any) -> None:
    assert same(loaded(saved(data)), data)


# --- places -------------------------------------------------------------------------------------------------------------------------------


def test_file_objects(tmp_path: Path) -> None:
    class Partial(io.RawIOBase):
        """Takes and gives a few bytes at a time."""

        def __init__(self, data: bytes = b"") -> None:
            self.data, self.position = bytearray(data), 0

        def writable(self) -> bool:
            return True

        def readable(self) -> bool:
            return True

        def write(self, piece: Any) -> int:
            self.data += bytes(piece[:7])
            return min(len(piece), 7)

        def read(self, count: int = -1) -> bytes:
            part = bytes(self.data[self.position : self.position + min(count, 5)])
            self.position += len(part)
            return part

        def readinto(self, view: Any) -> int:
            part = self.read(len(view))
            view[: len(part)] = part
            return len(part)

    class OnlyRead:
        def __init__(self, data: bytes) -> None:
            self.read = io.BytesIO(data).read

    state = {"w": trine.arange(10).float(), "b": trine.ones(3, dtype=trine.bool)}
    file = Partial()
    trine.save(state, file)
    assert bytes(file.data) == saved(state)
    for source in (Partial(bytes(file.data)), OnlyRead(bytes(file.data))):
        assert same(trine.load(source), state)
    for source in (OnlyRead(bytes(file.data)[:-1]), OnlyRead(bytes(file.data) + b"x"), Partial(bytes(file.data)[:-1])):
        with pytest.raises(CheckpointError, match="too early|more than"):
            trine.load(source)
    with open(tmp_path / "text", "w") as text, pytest.raises(CheckpointError, match="binary"):
        trine.save(state, text)
    with open(tmp_path / "text") as text, pytest.raises(CheckpointError, match="binary|str"):
        trine.load(text)


def test_symbolic_links_and_permissions(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    trine.save({"w": trine.ones(1)}, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~_umask()
    target.chmod(0o600)
    link.symlink_to(target)
    trine.save({"w": trine.zeros(1)}, link)
    assert link.is_symlink() and trine.load(target)["w"].tolist() == [0.0] and stat.S_IMODE(target.stat().st_mode) == 0o600
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "new")
    trine.save({"w": trine.ones(1)}, dangling)
    assert dangling.is_symlink() and (tmp_path / "new").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "link", "new", "target"]
    trine.save({"w": trine.ones(1)}, tmp_path / ("n" * 255))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_device_is_written_to_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    trine.save({"w": trine.ones(3)}, pipe)
    assert reader.communicate(timeout=10)[0] == saved({"w": trine.ones(3)})
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(CheckpointError):
        trine.load("/dev/null")


def test_impossible_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path, tmp_path / "no" / "where", tmp_path / "file" / "below"):
        with pytest.raises(CheckpointError, match="cannot write"):
            trine.save({"w": trine.ones(1)}, place)
    with pytest.raises(FileNotFoundError, match="cannot read"):
        trine.load(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="IsADirectory"):
        trine.load(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


# --- failures leave what was there --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["fsync", "replace", "open"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failing_write_leaves_the_old_file(function: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    trine.save({"w": trine.ones(2)}, path)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(files.os, function, fail)
        with pytest.raises(CheckpointError if isinstance(error, OSError) else KeyboardInterrupt, match="No space|"):
            trine.save({"w": trine.zeros(2)}, path)
    assert trine.load(path)["w"].tolist() == [1.0, 1.0]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_file_size_limit_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    trine.save({"w": trine.ones(2)}, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(CheckpointError, match="unchanged"):
            trine.save({"w": trine.zeros(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert trine.load(path)["w"].tolist() == [1.0, 1.0] and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failing_computation_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    trine.save({"w": trine.ones(2)}, path)
    with pytest.raises(IndexError):
        trine.save({"w": trine.ones(3)[trine.tensor([7])]}, path)
    assert trine.load(path)["w"].tolist() == [1.0, 1.0]


# --- hostile files ------------------------------------------------------------------------------------------------------------------------

HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "short": b"\x01\x00",
    "no header": struct.pack("<Q", 8),
    "huge header": struct.pack("<Q", 1 << 63) + b"{}",
    "header beyond the file": struct.pack("<Q", 1000) + b"{}",
    "zero header": struct.pack("<Q", 0),
    "not json": make(b"{nonsense"),
    "not utf-8": make(b'{"\xff": 1}'),
    "a list": make([]),
    "deep nesting": make(b"[" * 200_000 + b"]" * 200_000),
    "deep objects": make(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "entry is a number": make({"x": 3}),
    "missing field": make({"x": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "extra field": make({"x": entry() | {"more": 1}}, bytes(8)),
    "unknown dtype": make({"x": entry("F31")}, bytes(8)),
    "dtype is a list": make({"x": entry(["F32"])}, bytes(8)),
    "negative size": make({"x": entry(shape=[-2])}, bytes(8)),
    "float size": make({"x": entry(shape=[2.0])}, bytes(8)),
    "bool size": make({"x": entry(shape=[True, 2])}, bytes(8)),
    "shape is a number": make({"x": entry(shape=2)}, bytes(8)),
    "huge shape": make({"x": entry(shape=[1 << 40, 1 << 40], offsets=[0, 1 << 47])}),
    "many axes": make({"x": entry(shape=[1] * 100 + [2])}, bytes(8)),
    "overflowing number": make(b'{"x":{"dtype":"F32","shape":[1e999],"data_offsets":[0,8]}}', bytes(8)),
    "long number": make(b'{"x":{"dtype":"F32","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,8]}}', bytes(8)),
    "wrong shape": make({"x": entry(shape=[3])}, bytes(8)),
    "offsets backwards": make({"x": entry(offsets=[8, 0])}, bytes(8)),
    "three offsets": make({"x": entry(offsets=[0, 8, 8])}, bytes(8)),
    "offsets beyond": make({"x": entry(shape=[1 << 38], offsets=[0, 1 << 40])}, bytes(8)),
    "overlap": make({"x": entry(), "y": entry(offsets=[4, 12])}, bytes(12)),
    "same bytes": make({"x": entry(), "y": entry()}, bytes(8)),
    "gap": make({"x": entry(), "y": entry(offsets=[12, 20])}, bytes(20)),
    "starts late": make({"x": entry(offsets=[4, 12])}, bytes(12)),
    "trailing bytes": make({"x": entry()}, bytes(9)),
    "truncated body": make({"x": entry()}, bytes(7)),
    "duplicate name": make(b'{"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    "metadata is a list": make({"__metadata__": []}),
    "metadata is not text": make({"__metadata__": {"a": 1}}),
    **{
        f"structure {text[:40]}": make({"__metadata__": {files.STRUCTURE: text}})
        for text in (
            "",
            "nonsense",
            "[]",
            "3",
            '{"tensor":"nothing"}',
            '{"tensor":[]}',
            '{"array":{"value":3}}',
            '{"complex128":"x"}',
            '{"unknown":1}',
            '{"value":{}}',
            '{"value":1,"dtype":"x"}',
            '{"float":"12"}',
            '{"dtype":"object"}',
            '{"dtype":[]}',
            '{"dict":[[1]]}',
            '{"dict":3}',
            '{"dict":[[[],{"value":1}]]}',
            '{"dict":[["a",{"value":1}],["a",{"value":1}]]}',
            '{"list":{"a":1}}',
            '{"list":' * 500 + "[]" + "}" * 500,
            '{"list":[' * 100_000 + "]}" * 100_000,
        )
    },
    "pickle": pickle.dumps({"a": 1}),
    "pickle 2": pickle.dumps({"a": 1}, protocol=2),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(HOSTILE[name])
    for source in (path, io.BytesIO(HOSTILE[name])):
        with pytest.raises(CheckpointError) as error:
            trine.load(source)
        assert "load: " in str(error.value) and len(str(error.value)) < 2000


def test_nothing_in_pickles_and_archives_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return pytest.fail, ("executed",)

    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Evil()))
    for data in ((tmp_path / "archive").read_bytes(), pickle.dumps(Evil()), pickle.dumps(Evil(), protocol=2)):
        with pytest.raises(CheckpointError, match="not allowed"):
            trine.load(io.BytesIO(data))


GOOD = saved({"model": {"w": trine.arange(6).reshape(2, 3).float(), "b": trine.ones(2, dtype=trine.bfloat16)}, "n": [1, 2.5, "x"]})


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.data())
def test_random_damage(data: Any) -> None:
    """Damage gives a CheckpointError or, where only values or names were hit, other values; never anything else."""
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        kind, place = data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"])), data.draw(st.integers(0, len(damaged) - 1))
        if kind == "flip":
            damaged[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del damaged[place : place + data.draw(st.integers(1, 40))]
        elif kind == "insert":
            damaged[place:place] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            damaged[place:place] = damaged[place : place + 20]
        damaged = damaged or bytearray(b"x")
    try:
        loaded(bytes(damaged))
    except CheckpointError:
        pass


def test_every_truncation_is_noticed() -> None:
    for size in range(len(GOOD)):
        with pytest.raises(CheckpointError):
            loaded(GOOD[:size])


# --- exchange -----------------------------------------------------------------------------------------------------------------------------


def test_exchange_with_the_safetensors_package(tmp_path: Path) -> None:
    numpy_door = pytest.importorskip("safetensors.numpy")
    safetensors = pytest.importorskip("safetensors")
    state = {
        f"{dtype} \u00e9": trine.tensor([[0, 1, 1]]).to(getattr(trine, dtype))
        for dtype in DTYPES
        if dtype not in ("bfloat16", "complex128")
    }
    trine.save(state, tmp_path / "ours")
    theirs = numpy_door.load_file(tmp_path / "ours")
    assert set(theirs) == set(state) and all(
        np.array_equal(theirs[k], state[k].numpy()) and theirs[k].dtype == state[k].numpy().dtype for k in state
    )
    numpy_door.save_file(theirs, tmp_path / "theirs", metadata={"format": "np", "note": "x"})
    back = trine.load(tmp_path / "theirs")
    assert set(back) == set(state) and all(same(back[k], state[k]) for k in state)
    trine.save({"nested": [trine.ones(2), 1]}, tmp_path / "nested")
    with safetensors.safe_open(tmp_path / "nested", "np") as file:
        assert list(file.keys()) == ["nested.0"] and file.metadata()["format"] == "pt"


def test_exchange_with_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    door = pytest.importorskip("safetensors.torch")
    state = {"w": trine.tensor([1.5, -2.0]).bfloat16(), "b": trine.arange(3)}
    trine.save(state, tmp_path / "ours")
    theirs = door.load_file(tmp_path / "ours")
    assert theirs["w"].dtype is torch.bfloat16 and theirs["w"].tolist() == [1.5, -2.0] and theirs["b"].tolist() == [0, 1, 2]
    door.save_file(theirs, tmp_path / "theirs")
    assert same(trine.load(tmp_path / "theirs"), {"b": state["b"], "w": state["w"]}) or same(trine.load(tmp_path / "theirs"), state)


def test_saved_here_loaded_in_another_process(tmp_path: Path) -> None:
    trine.save({"w": trine.arange(4).float()}, tmp_path / "file")
    program = f"import trine; print(trine.load({str(tmp_path / 'file')!r})['w'].tolist())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[0.0, 1.0, 2.0, 3.0]\n", "")
