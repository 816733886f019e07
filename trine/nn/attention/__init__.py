"""Choosing how attention is computed: PyTorch's names; here there is one way, which the compiler makes."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator, Sequence

from trine.errors import DTypeError, message

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(enum.IntEnum):
    """Implementations of attention that PyTorch knows.

    >>> SDPBackend.MATH.name
    'MATH'
    """

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: Sequence[SDPBackend] | SDPBackend, set_priority: bool = False) -> Iterator[None]:
    """Accept a choice of implementations: inside, attention is computed as outside.

    Raises:
        DTypeError: not an `SDPBackend` or a list of them.

    >>> import trine
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     x = trine.nn.functional.scaled_dot_product_attention(*[trine.ones(1, 2, 2)] * 3)
    >>> x.shape
    trine.Size([1, 2, 2])
    """
    chosen = [backends] if isinstance(backends, SDPBackend) else list(backends)
    if not chosen or not all(isinstance(b, SDPBackend) for b in chosen):
        raise DTypeError(message("sdpa_kernel: backends", received=repr(backends), expected="an SDPBackend or a list of them"))
    yield
