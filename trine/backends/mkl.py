"""The library Intel's MKL, which is not used."""

__all__ = ["is_available"]


def is_available() -> bool:
    """False: Intel's MKL is not used."""
    return False
