"""Exponential families."""

from __future__ import annotations

from typing import Any

from trine.distributions.distribution import Distribution
from trine.tensor import Tensor
from trine.tensor.autograd import grad


class ExponentialFamily(Distribution):
    """Base of exponential families: densities ``exp(<t(x), theta> - F(theta) + k(x))``.

    A subclass gives the natural parameters `_natural_params`, the log normalizer `_log_normalizer(*theta)` and `_mean_carrier_measure`,
    and gets an entropy by the Bregman divergence of F (Nielsen and Nock, "Entropies and cross-entropies of exponential families", 2010).
    """

    @property
    def _mean_carrier_measure(self) -> Any:
        raise self._missing("entropy")

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise self._missing("_natural_params")

    def _log_normalizer(self, *natural_params: Any) -> Tensor:
        raise self._missing("_log_normalizer")

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        carrier = self._mean_carrier_measure
        parameters = [p.detach().requires_grad_() for p in self._natural_params]
        normalizer = self._log_normalizer(*parameters)
        gradients = grad(normalizer.sum(), parameters, create_graph=True)
        result = normalizer - carrier
        for parameter, gradient in zip(self._natural_params, gradients, strict=True):
            term = parameter * gradient
            count = term.dim() - len(self._batch_shape)
            result = result - (term if count == 0 else term.reshape((*self._batch_shape, -1)).sum(-1))
        return result  # type: ignore[no-any-return]
