"""Gradient checkpointing."""

from trine.tensor.checkpoint import checkpoint

__all__ = ["checkpoint"]
