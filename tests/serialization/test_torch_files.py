"""PyTorch's checkpoints: read and written, in both of its formats, and refused where they could do harm."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trine
from trine.errors import CheckpointError, DTypeError
from trine.serialization import RefusedGlobalError

DTYPES = """bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128""".split()
ZIP = pytest.mark.parametrize("is_zip", [True, False])


def written(obj: Any, is_zip: bool = True) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(obj, file, _use_new_zipfile_serialization=is_zip)
    file.seek(0)
    return file


def bits(tensor: Any) -> bytes:
    if isinstance(tensor, torch.Tensor):
        return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return tensor.detach()._array().tobytes()


@ZIP
@pytest.mark.parametrize("name", DTYPES)
def test_dtypes_both_ways(name: str, is_zip: bool) -> None:
    if not is_zip and name in ("uint16", "uint32", "uint64"):
        pytest.skip("not in the older format")
    tensor = torch.arange(6).reshape(2, 3).to(getattr(torch, name))
    found = trine.load(written(tensor, is_zip))
    assert found.dtype is getattr(trine, name) and tuple(found.shape) == (2, 3) and bits(found) == bits(tensor)
    file = io.BytesIO()
    trine.save(found, file, format="torch")
    file.seek(0)
    again = torch.load(file, weights_only=True)
    assert again.dtype is tensor.dtype and torch.equal(again.view(torch.uint8), tensor.view(torch.uint8))


@ZIP
def test_strides_shared_memory_and_empty_tensors(is_zip: bool) -> None:
    base = torch.arange(12.0)
    given = {"a": base, "t": base.reshape(3, 4).t(), "part": base[2:5], "every": base[::3], "wide": base[:1].expand(5), "none": base[:0]}
    found = trine.load(written(given, is_zip))
    for name, tensor in given.items():
        assert found[name].tolist() == tensor.tolist(), name
    found["a"][3] = 100.0
    assert found["part"].tolist()[1] == found["t"].tolist()[3][0] == 100.0
    assert trine.load(written(torch.ones(2, 0, 3), is_zip)).shape == (2, 0, 3)


def nested(lib: Any) -> dict[str, Any]:
    lib.manual_seed(0)
    model = lib.nn.Sequential(lib.nn.Linear(3, 2), lib.nn.BatchNorm1d(2))
    optimizer = lib.optim.Adam(model.parameters(), lr=0.5)
    model(lib.ones(4, 3)).sum().backward()
    optimizer.step()
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "big": 1 << 70,
        "args": {"lr": 1e-3, "name": "x", "flags": (True, None, [1, 2.5]), "size": lib.Size([1, 2]), "dtype": lib.float16},
        "ordered": OrderedDict([("b", 1), ("a", 2)]),
        "set": {1, 2},
        "raw": b"\x00\xff",
        "number": 1 + 2j,
        7: lib.nn.Parameter(lib.ones(2)),
        "parameter": lib.nn.Parameter(lib.ones(2), requires_grad=False),
    }


def equal(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, torch.Tensor):
        return bool(isinstance(ours, trine.Tensor) and ours.requires_grad == theirs.requires_grad and bits(ours) == bits(theirs))
    if isinstance(theirs, torch.dtype):
        return str(ours).split(".")[-1] == str(theirs).split(".")[-1]
    if isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(equal(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)


@ZIP
def test_a_checkpoint_of_torch(is_zip: bool) -> None:
    theirs = nested(torch)
    ours = trine.load(written(theirs, is_zip), map_location="cpu", weights_only=True)
    assert equal(ours, theirs)
    model = trine.nn.Sequential(trine.nn.Linear(3, 2), trine.nn.BatchNorm1d(2))
    model.load_state_dict(ours["model"])
    optimizer = trine.optim.Adam(model.parameters())
    optimizer.load_state_dict(ours["optimizer"])
    assert optimizer.param_groups[0]["lr"] == 0.5 and isinstance(ours["ordered"], OrderedDict)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
def test_a_checkpoint_of_trine(suffix: str, tmp_path: Path) -> None:
    ours, path = nested(trine), tmp_path / f"checkpoint{suffix}"
    if suffix == ".safetensors":
        for name in ("set", "raw", "number"):
            del ours[name]
    trine.save(ours, path)
    again = trine.load(path)
    assert again["epoch"] == 3 and again["optimizer"]["state"][0]["exp_avg"].tolist() == ours["optimizer"]["state"][0]["exp_avg"].tolist()
    if suffix != ".safetensors":
        theirs = torch.load(path, weights_only=True)
        assert equal(again, theirs)
        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
        model.load_state_dict(theirs["model"])
        assert type(theirs[7]) is torch.nn.Parameter and theirs["args"]["size"] == torch.Size([1, 2])


def test_shared_memory_is_written_once() -> None:
    base = trine.arange(1000.0)
    tied = [base, base, base[10:20], base.reshape(10, 100).t()]
    file = io.BytesIO()
    trine.save(tied, file, format="torch")
    assert len(file.getvalue()) < 6000
    file.seek(0)
    theirs = torch.load(file, weights_only=True)
    assert theirs[0] is theirs[1] and theirs[3].stride() == (1, 100) and theirs[2].tolist() == list(range(10, 20))


def test_numpy_values_and_counters() -> None:
    given = {
        "scalar": np.float64(1.5),
        "array": np.arange(3, dtype=np.int16),
        "counter": Counter("aab"),
        "fortran": np.ones((2, 3), order="F"),
    }
    found = trine.load(io.BytesIO(written(given).getvalue()))
    assert found["scalar"] == 1.5 and found["array"].tolist() == [0, 1, 2] and found["array"].dtype == np.int16
    assert found["counter"] == Counter("aab") and found["fortran"].shape == (2, 3)


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("/tmp/should-not-exist-trine",)


@ZIP
def test_classes_are_refused_by_name_unless_allowed(is_zip: bool) -> None:
    with pytest.raises(RefusedGlobalError, match=r"posix\.mkdir.*not allowed") as error:
        trine.load(written({"a": torch.ones(1), "evil": Evil()}, is_zip), weights_only=False)
    assert isinstance(error.value, pickle.UnpicklingError) and not os.path.exists("/tmp/should-not-exist-trine")
    data = written({"args": argparse.Namespace(lr=0.1, n=3)}, is_zip)
    with pytest.raises(RefusedGlobalError, match=r"argparse\.Namespace"):
        trine.load(data)
    data.seek(0)
    with trine.serialization.safe_globals([argparse.Namespace]):
        assert trine.load(data)["args"].lr == 0.1
    assert trine.serialization.get_safe_globals() == []
    with pytest.raises(RefusedGlobalError, match="torch.nn.modules.linear.Linear"):
        trine.load(written(torch.nn.Linear(1, 1), is_zip))


@ZIP
def test_truncated_and_changed_files(is_zip: bool) -> None:
    data = written({"w": torch.arange(100.0), "n": [1, 2]}, is_zip).getvalue()
    for length in [*range(8, len(data), 37), len(data) - 1]:
        with pytest.raises(CheckpointError):
            trine.load(io.BytesIO(data[:length]))
    rng = np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(data)
        for position in rng.integers(0, len(data), 3):
            changed[position] ^= 1 << rng.integers(0, 8)
        try:
            trine.load(io.BytesIO(bytes(changed)))
        except CheckpointError:
            pass


def archive(pickled: bytes, storages: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED, extra: Any = ()) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        made.writestr("archive/data.pkl", pickled)
        for key, data in (storages or {}).items():
            made.writestr(f"archive/data/{key}", data)
        for name in extra:
            made.writestr(name, b"x")
    file.seek(0)
    return file


def tensor_pickle(numel: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...], key: str = "0") -> bytes:
    def sizes(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", v) for v in values) + b"t"

    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX" + struct.pack("<I", len(key)) + key.encode()
    storage += b"X\x03\x00\x00\x00cpu\x8a\x08" + struct.pack("<q", numel) + b"tQ"
    start = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"\x8a\x08" + struct.pack("<q", offset)
    return start + sizes(size) + sizes(stride) + b"\x89ccollections\nOrderedDict\n)RtR."


FOUR = {"0": bytes(16)}
HOSTILE: dict[str, io.BytesIO] = {
    "too many elements": archive(tensor_pickle(1 << 40, 0, (1,), (1,)), FOUR),
    "negative count": archive(tensor_pickle(-1, 0, (1,), (1,)), FOUR),
    "outside": archive(tensor_pickle(4, 1, (4,), (1,)), FOUR),
    "far stride": archive(tensor_pickle(4, 0, (2,), (1 << 40,)), FOUR),
    "negative offset": archive(tensor_pickle(4, -1, (1,), (1,)), FOUR),
    "negative stride": archive(tensor_pickle(4, 3, (2,), (-1,)), FOUR),
    "huge size": archive(tensor_pickle(4, 0, (1 << 50,), (0,)), FOUR),
    "missing storage": archive(tensor_pickle(4, 0, (4,), (1,), "1"), FOUR),
    "path": archive(tensor_pickle(4, 0, (4,), (1,), "../../../etc/passwd"), FOUR),
    "compressed": archive(tensor_pickle(4, 0, (4,), (1,)), {"0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED),
    "script": archive(b"\x80\x02N.", None, extra=["archive/constants.pkl"]),
    "two": archive(b"\x80\x02N.", None, extra=["other/data.pkl"]),
    "none": archive(b"", None),
    "no end": archive(b"\x80\x02N"),
    "opcode": archive(b"\x80\x02\x85."),
    "unknown opcode": archive(b"\x80\x02\xff."),
    "instance": archive(b"\x80\x02(iposix\nsystem\nt."),
    "extension": archive(b"\x80\x02\x82\x01."),
    "memo": archive(b"\x80\x02h\x05."),
    "call of a value": archive(b"\x80\x02NNR."),
    "build of a function": archive(b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aNsb."),
    "object dtype": archive(b"\x80\x02cnumpy\ndtype\n(X\x01\x00\x00\x00OtR."),
    "deep": archive(b"\x80\x02" + b"(" * 100_000 + b"t" * 50_000 + b"."),
    "unhashable key": archive(b"\x80\x02}]Ns."),
    "legacy": io.BytesIO(pickle.dumps(5, protocol=2)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, tmp_path: Path) -> None:
    data = HOSTILE[name].getvalue()
    (tmp_path / "file.pt").write_bytes(data)
    for source in (io.BytesIO(data), tmp_path / "file.pt"):
        with pytest.raises(CheckpointError) as error:
            trine.load(source)
        assert "load: " in str(error.value) and len(str(error.value)) < 2000


def test_what_cannot_be_saved() -> None:
    cycle: list[Any] = []
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    trine.save([cycle, cycle], io.BytesIO(), format="torch")
    for wrong in (object(), {"a": lambda: 1}):
        with pytest.raises(DTypeError, match="state_dict"):
            trine.save(wrong, io.BytesIO(), format="torch")
    with pytest.raises(CheckpointError, match="deeply"):
        trine.save(deep, io.BytesIO(), format="torch")
    with pytest.raises(ValueError, match="format"):
        trine.save({}, io.BytesIO(), format="zip")


class Model(trine.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = trine.nn.Sequential(trine.nn.Linear(2, 3), trine.nn.Dropout(0.5))
        self.tied = self.layers[0]
        self.activation = trine.nn.functional.relu
        self.register_buffer("scale", trine.tensor(2.0))

    def forward(self, x: Any) -> Any:
        return self.activation(self.layers(x)) * self.scale


def test_whole_modules_need_their_classes_allowed() -> None:
    model, file = Model().eval(), io.BytesIO()
    trine.save(model, file)
    file.seek(0)
    with pytest.raises(RefusedGlobalError, match="Model"):
        trine.load(file)
    file.seek(0)
    classes = [Model, trine.nn.Sequential, trine.nn.Linear, trine.nn.Dropout, trine.nn.functional.relu]
    with trine.serialization.safe_globals(classes):
        again = trine.load(file)
    x = trine.randn(4, 2)
    assert again(x).tolist() == model(x).tolist() and again.tied is again.layers[0] and not again.training
    assert isinstance(again.tied.weight, trine.nn.Parameter)
    assert [n for n, _ in again.named_parameters()] == [n for n, _ in model.named_parameters()]
