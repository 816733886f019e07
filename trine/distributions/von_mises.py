"""The von Mises distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.distribution import Distribution
from trine.distributions.utils import broadcast_all, lazy_property
from trine.ops import cos, log, rand, where, zeros_like
from trine.ops.special import i0e, i1e
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad

_TRIALS = 16
"""Candidates drawn for each sample; each is accepted with a probability above 0.65."""


class VonMises(Distribution):
    """The normal distribution on a circle; values are angles in [-pi, pi).

    Args:
        loc: angle. concentration: 0 is uniform.

    >>> import trine
    >>> VonMises(0.0, 1.0).log_prob(trine.tensor(0.0))
    tensor(-1.0738)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        kappa = self.concentration
        return kappa * (cos(self._checked(value) - self.loc) - 1) - math.log(2 * math.pi) - log(i0e(kappa))

    @property
    def mean(self) -> Tensor:
        """The mean direction."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:
        """The circular variance."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples, by rejection (Best and Fisher, "Efficient Simulation of the von Mises Distribution", 1979)."""
        with no_grad():
            shape = self._extended_shape(sample_shape)
            kappa = self.concentration.double()
            tau = 1 + (1 + 4 * kappa**2).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
            r = where(kappa < 1e-5, 1 / kappa + kappa, (1 + rho**2) / (2 * rho))
            x, done = zeros_like(kappa).expand(shape), zeros_like(kappa).expand(shape) > 0
            u = rand((3, _TRIALS, *shape), dtype=kappa.dtype)
            for trial in range(_TRIALS):
                u1, u2, u3 = (1 - u[i, trial] for i in range(3))
                z = cos(math.pi * u1)
                f = (1 + r * z) / (r + z)
                c = kappa * (r - f)
                accept = ((c * (2 - c) - u2 > 0) | (log(c / u2) + 1 - c >= 0)) & ~done
                x = where(accept, (u3 - 0.5).sign() * f.clamp(min=-1, max=1).acos(), x)
                done = done | accept
            sample: Tensor = ((x + math.pi + self.loc.double()) % (2 * math.pi) - math.pi).to(self.loc.dtype)
            return sample
