"""Saving and loading: safetensors files, and PyTorch's checkpoints read and written without executing anything."""

from trine.serialization.files import MissingFileError, load, save
from trine.serialization.pickles import (
    RefusedGlobalError,
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    safe_globals,
)

__all__ = [
    "MissingFileError",
    "RefusedGlobalError",
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]
