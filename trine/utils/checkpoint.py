"""Gradient checkpointing."""

from trine.tensor.checkpoint import checkpoint, checkpoint_sequential, noop_context_fn, set_checkpoint_early_stop

__all__ = ["checkpoint", "checkpoint_sequential", "noop_context_fn", "set_checkpoint_early_stop"]
