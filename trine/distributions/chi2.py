"""The chi-squared distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.gamma import Gamma
from trine.tensor import Tensor


class Chi2(Gamma):
    """The sum of `df` squared standard normal numbers.

    >>> Chi2(3.0).mean
    tensor(3.)
    """

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)

    @property
    def df(self) -> Tensor:
        """Degrees of freedom."""
        return self.concentration * 2
