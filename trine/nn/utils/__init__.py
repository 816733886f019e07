"""Tools for modules."""

from trine.nn.utils import rnn

__all__ = ["rnn"]
