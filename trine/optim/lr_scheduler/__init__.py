"""Learning rate schedulers."""

from trine.optim.lr_scheduler.base import LRScheduler, _LRScheduler
from trine.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from trine.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from trine.optim.lr_scheduler.cyclic import CyclicLR
from trine.optim.lr_scheduler.factor import ConstantLR, ExponentialLR, LinearLR, MultiStepLR, PolynomialLR, StepLR
from trine.optim.lr_scheduler.one_cycle import OneCycleLR
from trine.optim.lr_scheduler.plateau import ReduceLROnPlateau
from trine.optim.lr_scheduler.user import LambdaLR, MultiplicativeLR
from trine.optim.optimizer import Optimizer

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "Optimizer",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "_LRScheduler",
]
