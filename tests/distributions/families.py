"""The distributions that the tests compare with PyTorch's: arguments, and values to take densities of."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

RNG = np.random.default_rng(17)


def array(*values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)


def spread(rng: np.random.Generator, n: int) -> np.ndarray:
    a = rng.standard_normal((2, n, n))
    return a @ a.swapaxes(-1, -2) + n * np.eye(n)


MATRIX = spread(RNG, 3)
TRIL = np.linalg.cholesky(MATRIX)
LOC3 = RNG.standard_normal((2, 3))
SIMPLEX = RNG.dirichlet(np.ones(3), 2)
UNIT = array(0.1, 0.45, 0.9)
POSITIVE = array(0.3, 1.0, 2.5)
REAL = array(-1.5, 0.2, 2.0)
COUNTS = array(0.0, 1.0, 4.0)
CORRELATION = np.linalg.cholesky(np.array([[[1.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 1.0]]]))


class Case(NamedTuple):
    """A distribution with its arguments, and values."""

    name: str
    options: dict[str, Any]
    value: np.ndarray

    def make(self, library: Any, **more: Any) -> Any:
        made = {k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in self.options.items()}
        return getattr(library.distributions, self.name)(**made, **more)


CASES = [
    Case("Normal", {"loc": REAL, "scale": POSITIVE}, array(0.5, -1.0, 2.0)),
    Case("Bernoulli", {"probs": UNIT}, array(0.0, 1.0, 1.0)),
    Case("Bernoulli", {"logits": REAL}, array(0.0, 1.0, 1.0)),
    Case("Categorical", {"probs": SIMPLEX * 3}, np.array([0, 2])),
    Case("Categorical", {"logits": LOC3}, np.array([1, 2])),
    Case("Beta", {"concentration1": POSITIVE, "concentration0": array(2.0, 0.5, 3.0)}, UNIT),
    Case("Gamma", {"concentration": POSITIVE, "rate": array(2.0, 0.5, 3.0)}, array(0.2, 1.0, 3.0)),
    Case("Dirichlet", {"concentration": np.array([[0.5, 2.0, 3.0], [1.5, 1.2, 4.0]])}, SIMPLEX),
    Case("Uniform", {"low": array(-1.0, 0.0, 1.0), "high": array(1.0, 2.0, 4.0)}, array(0.5, 0.5, 2.0)),
    Case("Exponential", {"rate": POSITIVE}, array(0.2, 1.0, 3.0)),
    Case("Laplace", {"loc": REAL, "scale": POSITIVE}, array(0.5, -1.0, 2.0)),
    Case("LogNormal", {"loc": REAL, "scale": POSITIVE}, array(0.5, 1.0, 2.0)),
    Case("Poisson", {"rate": POSITIVE}, COUNTS),
    Case("Multinomial", {"total_count": 4, "probs": SIMPLEX}, np.array([[1.0, 1.0, 2.0], [0.0, 4.0, 0.0]])),
    Case("MultivariateNormal", {"loc": LOC3, "covariance_matrix": MATRIX}, RNG.standard_normal((2, 3))),
    Case("MultivariateNormal", {"loc": LOC3, "precision_matrix": MATRIX}, RNG.standard_normal((4, 2, 3))),
    Case("MultivariateNormal", {"loc": LOC3, "scale_tril": TRIL[0]}, RNG.standard_normal((2, 3))),
    Case("StudentT", {"df": array(0.9, 1.5, 5.0), "loc": REAL, "scale": POSITIVE}, array(0.5, -1.0, 2.0)),
    Case("Binomial", {"total_count": 5, "probs": UNIT}, COUNTS),
    Case("Binomial", {"total_count": array(5.0, 5.0, 5.0), "logits": REAL}, COUNTS),
    Case("Geometric", {"probs": UNIT}, COUNTS),
    Case("NegativeBinomial", {"total_count": array(2.0, 3.5, 1.0), "probs": UNIT}, COUNTS),
    Case("OneHotCategorical", {"probs": SIMPLEX}, np.eye(3)[[0, 2]]),
    Case("OneHotCategoricalStraightThrough", {"logits": LOC3}, np.eye(3)[[0, 2]]),
    Case("RelaxedBernoulli", {"temperature": array(0.7), "probs": UNIT}, array(0.2, 0.5, 0.6)),
    Case("RelaxedOneHotCategorical", {"temperature": array(0.7).reshape(()), "logits": LOC3}, SIMPLEX),
    Case("HalfNormal", {"scale": POSITIVE}, array(0.2, 1.0, 3.0)),
    Case("HalfCauchy", {"scale": POSITIVE}, array(0.2, 1.0, 3.0)),
    Case("Cauchy", {"loc": REAL, "scale": POSITIVE}, array(0.5, -1.0, 2.0)),
    Case("Chi2", {"df": POSITIVE}, array(0.2, 1.0, 3.0)),
    Case("Gumbel", {"loc": REAL, "scale": POSITIVE}, array(0.5, -1.0, 2.0)),
    Case("Kumaraswamy", {"concentration1": array(0.5, 1.5, 3.0), "concentration0": array(2.0, 1.5, 0.7)}, UNIT),
    Case("Pareto", {"scale": POSITIVE, "alpha": array(0.7, 1.5, 3.0)}, array(0.5, 1.5, 4.0)),
    Case("VonMises", {"loc": array(-1.0, 0.0, 2.0), "concentration": POSITIVE}, array(0.5, -1.0, 2.0)),
    Case("Weibull", {"scale": POSITIVE, "concentration": array(1.5, 1.0, 3.0)}, array(0.2, 1.0, 3.0)),
    Case("Wishart", {"df": array(4.0, 5.5), "covariance_matrix": MATRIX}, spread(RNG, 3)),
    Case("ContinuousBernoulli", {"probs": array(0.1, 0.5, 0.9)}, array(0.2, 0.5, 0.6)),
    Case("ContinuousBernoulli", {"logits": REAL}, array(0.2, 0.5, 0.6)),
    Case("FisherSnedecor", {"df1": array(1.0, 3.0, 5.0), "df2": array(1.5, 3.0, 6.0)}, array(0.2, 1.0, 3.0)),
    Case("LogisticNormal", {"loc": LOC3[:, :2], "scale": np.ones((2, 2)) * 0.7}, SIMPLEX),
    Case(
        "LowRankMultivariateNormal",
        {"loc": LOC3, "cov_factor": RNG.standard_normal((2, 3, 2)), "cov_diag": np.abs(RNG.standard_normal((2, 3))) + 0.5},
        RNG.standard_normal((2, 3)),
    ),
    Case("InverseGamma", {"concentration": array(0.5, 1.5, 3.0), "rate": POSITIVE}, array(0.2, 1.0, 3.0)),
    Case(  # PyTorch's takes float32 only
        "GeneralizedPareto",
        {k: v.astype(np.float32) for k, v in {"loc": REAL, "scale": POSITIVE, "concentration": array(-0.5, 0.0, 0.3)}.items()},
        array(-1.3, 0.9, 3.0).astype(np.float32),
    ),
    Case("LKJCholesky", {"dim": 3, "concentration": array(0.7, 2.0)}, np.repeat(CORRELATION, 2, 0)),
]
IDS = [f"{i}-{case.name}" for i, case in enumerate(CASES)]
