"""Power laws with a floor: error(x) = a + b x^-c, fitted to a few noisy points; predictions with intervals.

x is the number of samples (Hestness et al. 2017, arXiv:1712.00409), of parameters or of optimizer steps (Kaplan et al.
2020, arXiv:2001.08361). a >= 0 is the error that no amount of x removes, b >= 0, and 0 < c <= 2.

With u = x / (the largest x), the law is e (f + (1 - f) u^-c): e is the error at the largest x, f = a / e the share of
it that stays. Each (f, c) of a grid is weighted by its likelihood, with e integrated out: the points are normal with
known standard deviations, and f, c and e have flat priors. A prediction is a mixture of normal distributions, one for
each grid point, so its interval holds the uncertainty of the floor and of the exponent, which few points leave open; a
least squares fit alone would hide it. If the points scatter more than their deviations say, all deviations are enlarged
by Birge's ratio (Birge 1932, doi:10.1103/PhysRev.40.207).

Legend: P points, G grid points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Real = NDArray[np.float64]

MIN_POINTS = 3  # different x; the law has three parameters
MAX_EXPONENT = 2.0
CONFIDENCE = 0.9
MODEL_ERROR = 0.01  # share of an error that a real curve departs from the law; the least deviation of a point
_FLOORS = np.linspace(0.0, 1.0, 61)
_EXPONENTS = np.linspace(0.02, MAX_EXPONENT, 67)


class Point(NamedTuple):
    """A measured error.

    Args:
        size: x, above 0.
        error: at least 0.
        deviation: its standard deviation, above 0.
    """

    size: float
    error: float
    deviation: float


class CredibleInterval(NamedTuple):
    """A value with a `CONFIDENCE` interval."""

    value: float
    lower: float
    upper: float


class PowerLaw(NamedTuple):
    """A fitted law.

    Args:
        floor, scale, exponent: a, b and c of the likeliest curve.
        largest: the largest x of the points.
        floors, exponents, weights: of the grid, (G,) each; the weights' sum is 1.
        errors, deviations: mean and standard deviation of e for each grid point, (G,).
        birge: factor by which the points' deviations were enlarged, at least 1.
    """

    floor: float
    scale: float
    exponent: float
    largest: float
    floors: Real
    exponents: Real
    weights: Real
    errors: Real
    deviations: Real
    birge: float

    def shape(self, size: float) -> Real:
        """error(size) / e of each grid point, (G,)."""
        return self.floors + (1 - self.floors) * (size / self.largest) ** -self.exponents

    def predict(self, size: float, noise: float = 0.0) -> CredibleInterval:
        """The error at a size.

        Args:
            noise: standard deviation of a new measurement; 0: the interval is that of the curve itself.
        """
        shape = self.shape(size)
        return _mixture(self.weights, self.errors * shape, np.hypot(self.deviations * shape, noise))

    def gain(self, size: float, factor: float = 2.0) -> CredibleInterval:
        """The error that `factor` times `size` takes away."""
        less = self.shape(size) - self.shape(factor * size)  # (G,)
        return _mixture(self.weights, self.errors * less, np.maximum(self.deviations * less, 1e-12))

    def relative_gain(self, size: float, factor: float = 2.0) -> CredibleInterval:
        """The same as a share of the error at `size`."""
        shares = self._relative_gains(size, factor)
        return _mixture(self.weights, shares, np.full(len(shares), 1e-6))

    def draw_relative_gains(self, rng: np.random.Generator, draws: int, size: float, factor: float = 2.0) -> Real:
        """Draws of the share of the error at `size` that `factor` times as much takes away, (draws,)."""
        drawn: Real = rng.choice(self._relative_gains(size, factor), size=draws, p=self.weights)
        return drawn

    def _relative_gains(self, size: float, factor: float) -> Real:
        shares: Real = 1 - self.shape(factor * size) / self.shape(size)  # (G,)
        return shares


def fit(points: Sequence[Point]) -> PowerLaw:
    """Fit the law.

    Raises:
        ValueError: points of fewer than `MIN_POINTS` sizes, or a size, error or deviation out of its range.
    """
    sizes, errors, deviations = (np.array(column, np.float64) for column in zip(*points, strict=True))
    if len(np.unique(sizes)) < MIN_POINTS:
        raise ValueError(f"a power law needs points of {MIN_POINTS} sizes or more, not {len(np.unique(sizes))}")
    if not (np.isfinite(errors).all() and (sizes > 0).all() and (errors >= 0).all() and (deviations > 0).all()):
        raise ValueError("sizes and deviations of a power law are above 0, errors are finite and at least 0")
    deviations = np.hypot(deviations, MODEL_ERROR * errors)
    largest = float(sizes.max())
    floors, exponents = (axis.ravel() for axis in np.meshgrid(_FLOORS, _EXPONENTS, indexing="ij"))
    shapes = floors[:, None] + (1 - floors[:, None]) * (sizes / largest) ** -exponents[:, None]  # (G, P)
    precision = deviations**-2  # (P,)
    information = (shapes**2 * precision).sum(axis=1)  # (G,)
    means = (shapes * errors * precision).sum(axis=1) / information
    chi2 = (((errors - means[:, None] * shapes) ** 2) * precision).sum(axis=1)
    freedom = max(1, len(points) - 3)
    birge = float(np.sqrt(max(1.0, chi2.min() / freedom)))
    log_likelihood = -chi2 / (2 * birge**2) - np.log(information) / 2
    weights = np.exp(log_likelihood - log_likelihood.max())
    best = int(chi2.argmin())
    floor, scale, exponent = _polished(sizes / largest, errors, deviations, means[best], floors[best], exponents[best])
    return PowerLaw(
        floor=floor,
        scale=scale * largest**exponent,
        exponent=exponent,
        largest=largest,
        floors=floors,
        exponents=exponents,
        weights=weights / weights.sum(),
        errors=means,
        deviations=birge / np.sqrt(information),
        birge=birge,
    )


def _polished(
    sizes: Real, errors: Real, deviations: Real, error: float, floor_share: float, exponent: float
) -> tuple[float, float, float]:
    """Floor, scale and exponent of least weighted squares, from the best grid point on; sizes are relative."""

    def residuals(values: Real) -> Real:
        result: Real = (values[0] + values[1] * sizes ** -values[2] - errors) / deviations
        return result

    top = max(float(errors.max()), 1e-12)
    start = np.clip([error * floor_share, error * (1 - floor_share), exponent], [0, 0, 1e-3], [top, top, MAX_EXPONENT])
    found = optimize.least_squares(
        residuals, start, bounds=([0, 0, 1e-3], [2 * top, 2 * top, MAX_EXPONENT]), x_scale=[top, top, 1.0]
    )
    return float(found.x[0]), float(found.x[1]), float(found.x[2])


def _mixture(weights: Real, means: Real, deviations: Real) -> CredibleInterval:
    """Median and `CONFIDENCE` quantiles of a mixture of normal distributions, by bisection."""
    kept = weights > weights.max() * 1e-5
    weights, means, deviations = weights[kept] / weights[kept].sum(), means[kept], deviations[kept]
    low, high = float((means - 8 * deviations).min()), float((means + 8 * deviations).max())

    def quantile(level: float) -> float:
        def excess(value: float) -> float:
            return float(weights @ special.ndtr((value - means) / deviations)) - level

        return float(optimize.brentq(excess, low, high, xtol=1e-10, rtol=1e-12)) if high > low else low

    return CredibleInterval(quantile(0.5), quantile((1 - CONFIDENCE) / 2), quantile((1 + CONFIDENCE) / 2))
