"""Optimizers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from trine import namespace as _namespace  # noqa: F401 - gives the package its names before a subpackage takes one
from trine.optim import lr_scheduler
from trine.optim.adadelta import Adadelta
from trine.optim.adafactor import Adafactor
from trine.optim.adagrad import Adagrad
from trine.optim.adam import Adam
from trine.optim.adamax import Adamax
from trine.optim.adamw import AdamW
from trine.optim.asgd import ASGD
from trine.optim.lbfgs import LBFGS
from trine.optim.muon import Muon
from trine.optim.nadam import NAdam
from trine.optim.optimizer import Optimizer
from trine.optim.radam import RAdam
from trine.optim.rmsprop import RMSprop
from trine.optim.rprop import Rprop
from trine.optim.sgd import SGD
from trine.optim.sparse_adam import SparseAdam

if TYPE_CHECKING:
    from trine.optim import swa_utils as swa_utils

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]


def __getattr__(name: str) -> Any:
    if name == "swa_utils":  # needs `trine.nn`, which optimizers do without
        return importlib.import_module("trine.optim.swa_utils")
    raise AttributeError(f"module 'trine.optim' has no attribute '{name}'")
