"""Apple's GPUs, which are not used."""

__all__ = ["is_available", "is_built", "is_macos13_or_newer"]


def is_built() -> bool:
    """False: Trine is built without Metal."""
    return False


def is_available() -> bool:
    """False: there is no device "mps"."""
    return False


def is_macos13_or_newer(minor: int = 0) -> bool:
    """False: there is no device "mps"."""
    return False
