"""Targets: the choice by features, and what a forced one does."""

from __future__ import annotations

import dataclasses

import pytest

from trine import config, dtypes
from trine.compiler import target as targets
from trine.compiler.target import Target, host_target, host_targets, llvm_type, make_target
from trine.errors import ArgumentError, UnsupportedError


def test_levels_of_x86() -> None:
    wide = make_target("avx512", "x86_64")
    assert (wide.vector_bits, wide.arch, wide.has_fma, wide.has_half_conversion) == (512, "x86_64", True, True)
    assert "-prefer-256-bit" in wide.features
    narrow = make_target("generic", "x86_64")
    assert (narrow.vector_bits, narrow.has_fma, narrow.has_half_conversion) == (128, False, False)


def test_generic_aarch64_has_fma() -> None:
    target = make_target("generic", "aarch64")
    assert (target.vector_bits, target.has_fma, target.has_half_conversion) == (128, True, True)


def test_lanes_and_types() -> None:
    target = make_target("avx2", "x86_64")
    assert [target.lanes(d) for d in (dtypes.float32, dtypes.float64, dtypes.int8)] == [8, 4, 32]
    assert [target.llvm_type(d) for d in (dtypes.bool_, dtypes.bfloat16, dtypes.uint64)] == ["i8", "bfloat", "i64"]
    with pytest.raises(KeyError):
        llvm_type(dtypes.complex64)


def test_unknown_level_names_the_choices() -> None:
    with pytest.raises(ArgumentError, match="generic") as error:
        make_target("avx2", "aarch64")
    assert "avx2" in str(error.value)


@pytest.mark.parametrize(
    ("flags", "best"),
    [
        (targets._AVX512_FLAGS, "avx512"),
        (targets._AVX512_FLAGS - {"avx512vl"}, "avx2"),
        (targets._AVX2_FLAGS | {"avx512f"}, "avx2"),
        (targets._AVX2_FLAGS - {"fma"}, "generic"),
        (frozenset[str](), "generic"),
    ],
)
def test_best_level_by_flags(monkeypatch: pytest.MonkeyPatch, flags: frozenset[str], best: str) -> None:
    monkeypatch.setattr(targets, "host_arch", lambda: "x86_64")
    monkeypatch.setattr(targets, "host_features", lambda: flags)
    assert host_targets.__wrapped__()[-1].name == best


def test_unknown_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets.platform, "machine", lambda: "vax")
    with pytest.raises(UnsupportedError, match="TRINE_ENGINE=numpy"):
        targets.host_arch()


def force(monkeypatch: pytest.MonkeyPatch, level: str | None) -> Target:
    monkeypatch.setattr(config, "settings", dataclasses.replace(config.settings, target=level))
    return host_target()


def test_forced_level(monkeypatch: pytest.MonkeyPatch) -> None:
    assert force(monkeypatch, "generic").name == "generic"
    assert force(monkeypatch, None) == host_targets()[-1]


def test_forced_level_that_the_host_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "host_targets", lambda: (make_target("generic"),))
    with pytest.raises(ArgumentError, match="TRINE_TARGET"):
        force(monkeypatch, "avx512")
