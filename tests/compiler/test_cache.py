"""The kernel cache: memory, disk, damaged files, other users' files, full disks, several writers."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from trine.compiler import cache as cache_module
from trine.compiler.cache import DiskCache, KernelCache, compiler_version, file_name
from trine.compiler.program import Kernel
from trine.compiler.target import Target, host_target
from trine.errors import CacheWarning, CompileError
from trine.runtime.objects import load

HOST = host_target()


class Counted:
    """Kernels that return a number, counting how often they are emitted."""

    def __init__(self) -> None:
        self.count = 0

    def kernel(self, value: int, key: object = None) -> Kernel:
        def emit(target: Target) -> str:
            self.count += 1
            return f"define i64 @kernel() {{\n  ret i64 {value}\n}}"

        return Kernel(("number", value) if key is None else key, emit)


def call(address: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64)(address)()


def files(directory: Path) -> list[Path]:
    return sorted((directory / "kernels").glob("*.kernel"))


@pytest.fixture
def source() -> Iterator[Counted]:
    yield Counted()


def test_memory_then_disk_then_compiler(tmp_path: Path, source: Counted) -> None:
    kernels = [source.kernel(i) for i in (3, 4, 3)]
    first = KernelCache(tmp_path, load)
    addresses = first.resolve(kernels, HOST)
    assert [call(a) for a in addresses] == [3, 4, 3]
    assert addresses[0] == addresses[2]
    assert first.resolve(kernels, HOST) == addresses
    info = first.info()
    assert (info.kernels, info.files, info.hits, info.disk_hits, info.misses) == (2, 2, 2, 0, 2)
    assert info.bytes > 0 and info.file_bytes > 0
    second = KernelCache(tmp_path, load)
    assert [call(a) for a in second.resolve(kernels, HOST)] == [3, 4, 3]
    assert source.count == 2
    assert (second.info().disk_hits, second.info().misses) == (2, 0)


def test_keys_that_are_equal_as_objects_stay_apart(tmp_path: Path, source: Counted) -> None:
    kernels = [source.kernel(i, key) for i, key in enumerate([("c", 0.0), ("c", -0.0), ("c", 0), ("c", False)])]
    assert [call(a) for a in KernelCache(tmp_path, load).resolve(kernels, HOST)] == [0, 1, 2, 3]


def test_memory_only(source: Counted) -> None:
    cache = KernelCache(None, load)
    assert call(cache.resolve([source.kernel(9)], HOST)[0]) == 9
    assert cache.info().files == 0


def test_names_depend_on_target_key_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Target("generic", HOST.triple, "x86-64", "", 128)
    names = {file_name("a", HOST), file_name("b", HOST), file_name("a", other)}
    monkeypatch.setattr(cache_module, "compiler_version", lambda: b"another")
    assert len(names | {file_name("a", HOST)}) == 4
    assert len(compiler_version()) == 32


@pytest.mark.parametrize("damage", ["flip", "truncate", "header", "empty", "swap"])
def test_damaged_files_are_compiled_anew(tmp_path: Path, source: Counted, damage: str) -> None:
    kernels = [source.kernel(5), source.kernel(6)]
    KernelCache(tmp_path, load).resolve(kernels, HOST)
    path, other = files(tmp_path)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-20] ^= 1
    elif damage == "truncate":
        del data[len(data) // 2 :]
    elif damage == "header":
        data[0] ^= 0xFF
    elif damage == "empty":
        data.clear()
    else:
        data = bytearray(other.read_bytes())
    path.write_bytes(data)
    with pytest.warns(CacheWarning, match="compiled anew") as seen:
        addresses = KernelCache(tmp_path, load).resolve(kernels, HOST)
    assert [call(a) for a in addresses] == [5, 6]
    assert len(seen) == 1
    assert source.count == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [call(a) for a in KernelCache(tmp_path, load).resolve(kernels, HOST)] == [5, 6]
    assert source.count == 3


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_directories_that_others_may_write_are_ignored(tmp_path: Path, source: Counted, mode: int) -> None:
    KernelCache(tmp_path, load).resolve([source.kernel(5)], HOST)
    os.chmod(tmp_path / "kernels", mode)
    with pytest.warns(CacheWarning, match="others may write"):
        assert call(KernelCache(tmp_path, load).resolve([source.kernel(5)], HOST)[0]) == 5
    assert source.count == 2


def test_files_that_others_may_write_are_ignored(tmp_path: Path, source: Counted) -> None:
    KernelCache(tmp_path, load).resolve([source.kernel(5)], HOST)
    os.chmod(files(tmp_path)[0], 0o666)
    with pytest.warns(CacheWarning, match="another user"):
        assert call(KernelCache(tmp_path, load).resolve([source.kernel(5)], HOST)[0]) == 5
    assert source.count == 2


def test_files_of_other_users_are_ignored(tmp_path: Path, source: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    KernelCache(tmp_path, load).resolve([source.kernel(5)], HOST)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.warns(CacheWarning, match="another user"):
        assert call(KernelCache(tmp_path, load).resolve([source.kernel(5)], HOST)[0]) == 5
    assert source.count == 2


def test_links_are_not_followed(tmp_path: Path, source: Counted) -> None:
    KernelCache(tmp_path, load).resolve([source.kernel(5)], HOST)
    path = files(tmp_path)[0]
    os.rename(path, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.warns(CacheWarning):
        assert call(KernelCache(tmp_path, load).resolve([source.kernel(5)], HOST)[0]) == 5
    assert source.count == 2


def test_a_place_that_cannot_be_a_directory(tmp_path: Path, source: Counted) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(CacheWarning, match="TRINE_CACHE_DIR") as seen:
        cache = KernelCache(tmp_path / "file", load)
        assert call(cache.resolve([source.kernel(5)], HOST)[0]) == 5
        assert call(cache.resolve([source.kernel(6)], HOST)[0]) == 6
    assert len(seen) == 1


def test_a_full_disk_is_no_failure(tmp_path: Path, source: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.warns(CacheWarning, match="cannot be written"):
        assert call(KernelCache(tmp_path, load).resolve([source.kernel(5)], HOST)[0]) == 5
    assert list((tmp_path / "kernels").iterdir()) == []


def test_the_files_are_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 10_000)
    names = [bytes([i]) * 32 for i in range(20)]
    for age, name in enumerate(names):
        disk.write([(name, bytes(1000))])
        path = disk._path(name)
        os.utime(path, (time.time() - 100 + age,) * 2)
    stale = Path(disk.directory) / "left.kernel.1.2"
    stale.write_bytes(b"x")
    os.utime(stale, (1, 1))
    disk.prune()
    count, size = disk.size()
    assert 0 < count < 10 and size <= 9000
    assert not stale.exists()
    assert disk.read(names[0]) is None
    assert disk.read(names[-1]) == bytes(1000)


def test_use_makes_a_file_young(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 10_000)
    disk.write([(bytes(32), b"object")])
    os.utime(disk._path(bytes(32)), (1, 1))
    assert disk.read(bytes(32)) == b"object"
    assert os.stat(disk._path(bytes(32))).st_mtime > 1000


def test_failures_release_other_threads(tmp_path: Path, source: Counted) -> None:
    cache = KernelCache(tmp_path, load)
    bad = Kernel("bad", lambda target: "nonsense")
    for _ in range(2):
        with pytest.raises(CompileError):
            cache.resolve([source.kernel(1), bad], HOST)
    assert call(cache.resolve([source.kernel(1)], HOST)[0]) == 1


def test_threads_share_one_compilation(tmp_path: Path, source: Counted) -> None:
    cache = KernelCache(tmp_path, load)
    kernels = [source.kernel(i) for i in range(12)]
    results: list[list[int]] = []

    def work(shift: int) -> None:
        rotated = kernels[shift:] + kernels[:shift]
        results.append(sorted(call(a) for a in cache.resolve(rotated, HOST)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [list(range(12))] * 6
    assert source.count == 12


def test_writers_in_several_processes(tmp_path: Path, source: Counted) -> None:
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from trine.compiler import cache as cache_module
cache_module.compiler_version = lambda: {compiler_version()!r}
from test_cache import Counted, HOST, KernelCache, call, load
source = Counted()
addresses = KernelCache(Path({str(tmp_path)!r}), load).resolve([source.kernel(i) for i in range(20)], HOST)
assert [call(a) for a in addresses] == list(range(20))
"""
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", script]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    KernelCache(tmp_path, load).resolve([source.kernel(i) for i in range(20)], HOST)
    assert source.count == 0
    assert len(list((tmp_path / "kernels").iterdir())) == 20


def test_a_warm_cache_does_not_load_llvm(tmp_path: Path, source: Counted) -> None:
    KernelCache(tmp_path, load).resolve([source.kernel(5)], HOST)
    script = f"""
import sys
from pathlib import Path
from trine.compiler import cache as cache_module
from trine.compiler.cache import KernelCache
from trine.compiler.program import Kernel
cache_module.compiler_version = lambda: {compiler_version()!r}
from trine.compiler.target import host_target
from trine.runtime.objects import load
KernelCache(Path({str(tmp_path)!r}), load).resolve([Kernel(("number", 5), None)], host_target())
assert not any(name.partition(".")[0] == "llvmlite" for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])


def test_a_forked_child_compiles(tmp_path: Path, source: Counted) -> None:
    cache = KernelCache(tmp_path, load)
    cache.resolve([source.kernel(1)], HOST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        good = [call(a) for a in cache.resolve([source.kernel(1), source.kernel(2)], HOST)] == [1, 2]
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
