"""Targets: what code is generated for. Chosen by the host's features, without loading LLVM."""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass

from trine import config
from trine.dtypes import DType
from trine.errors import ArgumentError, UnsupportedError, message

LEVELS = ("generic", "avx2", "avx512")

# Flags of /proc/cpuinfo that a level's code may rely on (x86-64-v3 and v4; "abm" is lzcnt there).
_AVX2_FLAGS = frozenset("avx avx2 bmi1 bmi2 f16c fma abm movbe xsave popcnt".split())
_AVX512_FLAGS = _AVX2_FLAGS | frozenset("avx512f avx512bw avx512cd avx512dq avx512vl".split())
# The same in LLVM's vocabulary.
_LLVM_NAMES = {"bmi1": "bmi", "abm": "lzcnt"}

# level -> (LLVM cpu, LLVM features, vector bits). A named cpu per level, never the host's own, so that cached kernels serve every machine
# of a level. skylake-avx512 asks for 256-bit vectors by default, which would split every 512-bit operation: hence -prefer-256-bit.
_X86_LEVELS = {
    "avx512": ("skylake-avx512", "-prefer-256-bit", 512),
    "avx2": ("haswell", "", 256),
    "generic": ("x86-64", "", 128),
}
_AARCH64_LEVELS = {"generic": ("generic", "+neon", 128)}
_ARCHITECTURES = {"x86_64": _X86_LEVELS, "aarch64": _AARCH64_LEVELS}
_MACHINE_NAMES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}

_LLVM_TYPES = {
    "bool": "i8", "int8": "i8", "uint8": "i8", "int16": "i16", "uint16": "i16", "int32": "i32", "uint32": "i32",
    "int64": "i64", "uint64": "i64", "float16": "half", "bfloat16": "bfloat", "float32": "float", "float64": "double",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """What a kernel is compiled for.

    Attributes:
        name: level: "avx512", "avx2" or "generic".
        triple: LLVM triple; always an ELF one, since the object loader reads ELF on every system.
        cpu, features: LLVM's cpu name and feature string.
        vector_bits: width of the vector registers that emitters use.
    """

    name: str
    triple: str
    cpu: str
    features: str
    vector_bits: int

    @property
    def arch(self) -> str:
        """The architecture: "x86_64" or "aarch64"."""
        return self.triple.partition("-")[0]

    @property
    def has_fma(self) -> bool:
        """True if `llvm.fma` is one instruction here (else it would be a slow library call)."""
        return self.vector_bits > 128 or self.arch == "aarch64"

    @property
    def has_half_conversion(self) -> bool:
        """True if float16 <-> float32 conversion is an instruction here."""
        return self.vector_bits > 128 or self.arch == "aarch64"

    def lanes(self, dtype: DType) -> int:
        """Return how many elements of `dtype` fit in one vector register."""
        return self.vector_bits // (8 * dtype.itemsize)

    def llvm_type(self, dtype: DType) -> str:
        """Return the LLVM type of an element in memory (bool is a byte, ``i8``)."""
        return llvm_type(dtype)


def llvm_type(dtype: DType) -> str:
    """Return the LLVM type of an element of `dtype` in memory. Raises KeyError for complex dtypes, which have no native kernels."""
    return _LLVM_TYPES[dtype.name]


def make_target(name: str, arch: str | None = None) -> Target:
    """Return the target of a level on an architecture (the host's by default), whether or not the host can run it.

    Raises:
        ArgumentError: the level does not exist on that architecture.
    """
    arch = arch or host_arch()
    levels = _ARCHITECTURES[arch]
    if name not in levels:
        raise ArgumentError(
            message(f"target: no such target on {arch}", received=name, expected=" or ".join(levels), fix="change or unset TRINE_TARGET")
        )
    cpu, features, vector_bits = levels[name]
    # The macOS ABI reserves x18 on AArch64; elsewhere the kernel's code does not miss it.
    if arch == "aarch64" and platform.system() == "Darwin":
        features += ",+reserve-x18"
    return Target(name, f"{arch}-unknown-linux-gnu", cpu, features, vector_bits)


def host_arch() -> str:
    """Return the host's architecture as LLVM names it. Raises UnsupportedError where there is no native code generation."""
    machine = platform.machine().lower()
    if machine not in _MACHINE_NAMES:
        raise UnsupportedError(
            message(
                "target: no native code generation for this processor",
                received=machine or "an unknown processor",
                expected=" or ".join(_ARCHITECTURES),
                fix="select the NumPy engine with TRINE_ENGINE=numpy",
            )
        )
    return _MACHINE_NAMES[machine]


@functools.cache
def host_targets() -> tuple[Target, ...]:
    """Return the targets that this host can run, lowest first."""
    arch = host_arch()
    if arch != "x86_64":
        return (make_target("generic", arch),)
    flags = host_features()
    required = {"generic": frozenset[str](), "avx2": _AVX2_FLAGS, "avx512": _AVX512_FLAGS}
    return tuple(make_target(level, arch) for level in LEVELS if required[level] <= flags)


@functools.cache
def host_features() -> frozenset[str]:
    """Return the host's x86 feature flags, named as in /proc/cpuinfo; elsewhere than on Linux LLVM is asked."""
    try:
        # Raw reads: the first processor's flags are near the start, and the file is long on a machine with many processors.
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            text = b""
            while chunk := file.read(4096):
                text += chunk
                start = text.find(b"flags")
                if start >= 0 and (end := text.find(b"\n", start)) >= 0:
                    return frozenset(text[start:end].partition(b":")[2].decode("ascii", "replace").split())
    except OSError:
        pass
    from trine.compiler import llvm

    enabled = llvm.host_features()
    return frozenset(flag for flag in _AVX512_FLAGS if enabled.get(_LLVM_NAMES.get(flag, flag), False))


def host_target() -> Target:
    """Return the best target for this host, or the one that the settings (TRINE_TARGET) force.

    Raises:
        ArgumentError: the host cannot run the forced target.
    """
    targets = host_targets()
    forced = config.settings.target
    if not forced:
        return targets[-1]
    for target in targets:
        if target.name == forced:
            return target
    raise ArgumentError(
        message(
            "target: this host cannot run the forced target",
            received=forced,
            expected=" or ".join(t.name for t in targets),
            fix="change or unset TRINE_TARGET",
        )
    )
