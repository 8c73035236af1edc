"""The inverse of the standard normal distribution, for arrays: the bits of `statistics.NormalDist().inv_cdf`.

Algorithm AS 241 (Wichura, The Percentage Points of the Normal Distribution, Applied Statistics 37, 1988). Its middle is
a quotient of polynomials, whose operations NumPy does in the order of the standard library; the tails, where a
logarithm is taken, are left to the standard library. Legend: N values.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Number = TypeVar("Number", float, Real)

_MIDDLE = 0.425  # distance from 1/2
_FEW = 32  # values, which are computed one by one in less time
_NUMERATOR = (
    2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
    1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0,
)  # fmt: skip
_DENOMINATOR = (
    5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
    5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0,
)  # fmt: skip
_SCALAR = NormalDist().inv_cdf


def inverse(probabilities: Real) -> Real:
    """The normal scores (N,) of probabilities (N,) between 0 and 1, neither of them included."""
    if len(probabilities) < _FEW:
        return np.array([_one(value) for value in probabilities.tolist()], np.float64)
    distance = probabilities - 0.5
    scores = _middle(distance)
    tails = np.flatnonzero(np.abs(distance) > _MIDDLE)
    scores[tails] = [_SCALAR(value) for value in probabilities[tails].tolist()]
    return scores


def _one(probability: float) -> float:
    distance = probability - 0.5
    return _middle(distance) if abs(distance) <= _MIDDLE else _SCALAR(probability)


def _middle(distance: Number) -> Number:
    place = 0.180625 - distance * distance
    return _horner(_NUMERATOR, place) * distance / _horner(_DENOMINATOR, place)


def _horner(coefficients: tuple[float, ...], place: Number) -> Number:
    value = coefficients[0] * place + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * place + coefficient
    return value
