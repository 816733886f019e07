"""Optimizers."""

from trine.optim.adam import Adam, AdamW
from trine.optim.optimizer import Optimizer
from trine.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
