"""What the processor can do."""

__all__ = ["get_cpu_capability"]

_NAMES = {"avx512": "AVX512", "avx2": "AVX2"}


def get_cpu_capability() -> str:
    """Return "AVX512", "AVX2" or "DEFAULT": what kernels are compiled for.

    >>> import trine
    >>> trine.backends.cpu.get_cpu_capability() in ("AVX512", "AVX2", "DEFAULT")
    True
    """
    from trine.compiler.target import host_target

    return _NAMES.get(host_target().name, "DEFAULT")
