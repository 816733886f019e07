"""Window functions: `trine.signal.windows`, with the names of `torch.signal.windows`."""

from __future__ import annotations

from trine.namespace import Tensor  # noqa: F401  (the namespace before its parts)
from trine.ops.windows import (
    bartlett,
    blackman,
    cosine,
    exponential,
    gaussian,
    general_cosine,
    general_hamming,
    hamming,
    hann,
    kaiser,
    nuttall,
)

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]
