"""Optimizers."""

from trine import namespace as _namespace  # noqa: F401 - gives the package its names before a subpackage takes one
from trine.optim.adam import Adam, AdamW
from trine.optim.optimizer import Optimizer
from trine.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
