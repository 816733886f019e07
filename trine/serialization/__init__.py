"""Saving and loading: safetensors files, never executable ones."""

from trine.serialization.files import load, save

__all__ = ["load", "save"]
