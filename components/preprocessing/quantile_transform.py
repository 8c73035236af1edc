"""The quantile transform of numbers to a normal distribution, as a table of quantiles.

The usual preprocessing of networks for tables (Gorishniy et al. 2021, arXiv:2106.11959, section 4.3): as scikit-learn's
`QuantileTransformer(output_distribution="normal")`, but equal values at an end of the table get their mean rank, too,
and ranks keep half a sample away from 0 and 1. Legend: N samples, Q quantiles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.preprocessing import normal_quantiles

SAMPLES_A_QUANTILE, LEAST, MOST = 30, 10, 1000  # samples of each quantile; number of quantiles

Real = NDArray[np.float64]


def fit(values: Real) -> list[float]:
    """The quantiles (Q,) of finite values (N,), rising; one for each 30 samples, 10 to 1,000."""
    quantiles = np.percentile(values, percentages(len(values)))
    rising: list[float] = np.maximum.accumulate(quantiles).tolist()
    return rising


def percentages(samples: int) -> Real:
    """The percentages (Q,) at which so many values have their quantiles."""
    return np.linspace(0, 100, min(MOST, max(LEAST, samples // SAMPLES_A_QUANTILE)))


def transform(values: Real, quantiles: Real, samples: int) -> Real:
    """Values (N,) to normal scores (N,): the inverse of the normal distribution at the rank of each value.

    Args:
        quantiles: of `fit`, (Q,).
        samples: number of values of `fit`: ranks are at least half a sample from 0 and 1.
    """
    ranks = np.linspace(0, 1, len(quantiles))
    upward = np.interp(values, quantiles, ranks)
    downward = np.interp(-values, -quantiles[::-1], -ranks[::-1])
    edge = 0.5 / max(samples, 1)
    rank = np.clip((upward - downward) / 2, edge, 1 - edge)  # equal quantiles: the mean of the first and last rank
    return normal_quantiles.inverse(rank)
