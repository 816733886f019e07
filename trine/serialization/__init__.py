"""Saving and loading: safetensors files, never executable ones."""

from trine.serialization.files import MissingFileError, load, save

__all__ = ["MissingFileError", "load", "save"]
