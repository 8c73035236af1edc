"""Exact test whether one classifier is correct more often than another on the same samples, by more than a margin.

Legend: n samples; b of them only the candidate answers correctly, c only the champion; d = (b - c) / n.

For every margin the statistic is Tango's score (Tango 1998, Statistics in Medicine 17:891-908). Instead of its normal
approximation, the exact distribution of (b, c) is used, at its maximum over the unknown share of discordant samples
(exact unconditional test: Suissa and Shuster 1991, Biometrics 47:361-372, for margin 0; Hsueh, Liu and Chen 2001,
Biometrics 57:478-483, for others). The maximum is taken over a confidence set of that share, whose error is added to
the p-value (Berger and Boos 1994, JASA 89:1012-1016). So the rate of false passes is at most alpha for every n and any
number of discordant samples, where McNemar's chi-square and the score interval alone exceed it. At margin 0 the
statistic is McNemar's; the conditional test, also exact, passes fewer true gains.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Real = NDArray[np.float64]

GRID = 21  # number of shares of discordant samples in the search, and again around the maximum
SHARE_ERROR = 1e-4  # error of the confidence set of that share
RESOLUTION = 1e-5  # of a bound


class Interval(NamedTuple):
    """Two bounds, each at the one-sided confidence."""

    lower: float
    upper: float


def score(b: ArrayLike, c: ArrayLike, n: int, margin: float) -> Real:
    """Tango's z for the hypothesis that the difference is `margin`; broadcasts over b and c."""
    b, c = np.asarray(b, np.float64), np.asarray(c, np.float64)
    linear = (2 * n - b + c) * margin - b - c
    root = np.sqrt(np.maximum(linear**2 + 8 * n * c * margin * (1 - margin), 0))
    share = (root - linear) / (
        4 * n
    )  # of samples that only the champion answers correctly, most likely under the hypothesis
    variance = n * (2 * share + margin * (1 - margin))
    spread = np.sqrt(np.maximum(variance, 0))
    return np.asarray(np.divide(b - c - n * margin, spread, out=np.zeros_like(spread), where=variance > 1e-12))


def score_interval(b: int, c: int, n: int, confidence: float) -> Interval:
    """Tango's score interval; `confidence` is of each bound (0.975 for the usual two-sided 95 % interval)."""
    z = float(special.ndtri(confidence))
    return Interval(_score_lower(b, c, n, z), -_score_lower(c, b, n, z))


def p_value(b: int, c: int, n: int, margin: float) -> float:
    """The largest probability of a score at least as high, for any true difference of at most `margin`.

    Raises:
        ValueError: impossible counts or margin.
    """
    if min(b, c) < 0 or b + c > n or n < 1 or not -1 < margin < 1:
        raise ValueError(f"impossible counts or margin: b={b}, c={c}, n={n}, margin={margin}")
    lowest, highest = _discordant_share(b + c, n)
    lowest, highest = max(lowest, abs(margin)), max(highest, abs(margin))
    candidates = _plausible_c(n, (lowest - margin) / 2, (highest - margin) / 2)
    smallest_b = _smallest_b(candidates, n, margin, float(score(b, c, n, margin)))
    worst = 0.0
    for _ in range(2):
        shares = np.linspace(lowest, highest, GRID)
        probabilities = _tail(candidates, smallest_b, n, (shares - margin) / 2, margin)
        worst = max(worst, float(probabilities.max()))
        most_likely, step = shares[int(probabilities.argmax())], (highest - lowest) / (GRID - 1)
        lowest, highest = max(lowest, most_likely - step), min(highest, most_likely + step)
    return min(1.0, worst + SHARE_ERROR)


def interval(b: int, c: int, n: int, confidence: float) -> Interval:
    """Bounds of the true difference: the margins that the test does not reject, from both sides."""
    return Interval(_lower(b, c, n, 1 - confidence), -_lower(c, b, n, 1 - confidence))


def mid_p(b: int, c: int) -> float:
    """McNemar's one-sided mid-p value for margin 0 (Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91).

    For reports only; no decision depends on it.
    """
    above = special.bdtrc(b, b + c, 0.5) if b < b + c else 0.0
    at_or_above = special.bdtrc(b - 1, b + c, 0.5) if b else 1.0
    return float((above + at_or_above) / 2)


def _lower(b: int, c: int, n: int, alpha: float) -> float:
    low, high = -1 + RESOLUTION, (b - c) / n
    if high <= low:
        return -1.0
    guess = _score_lower(b, c, n, float(special.ndtri(1 - alpha)))
    for near in (guess - 2 / n, guess + 2 / n):  # usually close to the bound, on both sides
        if low < near < high:
            low, high = (near, high) if p_value(b, c, n, near) <= alpha else (low, near)
    while high - low > RESOLUTION:
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(b, c, n, middle) <= alpha else (low, middle)
    return low


def _score_lower(b: int, c: int, n: int, z: float) -> float:
    low, high = -1.0 + 1e-12, (b - c) / n
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if score(b, c, n, middle) > z else (low, middle)
    return low


def _discordant_share(count: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson 1934, Biometrika 26:404-413."""
    low = special.betaincinv(count, n - count + 1, SHARE_ERROR / 2) if count else 0.0
    high = special.betaincinv(count + 1, n - count, 1 - SHARE_ERROR / 2) if count < n else 1.0
    return float(low), float(high)


def _plausible_c(n: int, low: float, high: float) -> NDArray[np.int64]:
    """Possible values of c, without those that are ten standard deviations off for every share."""
    first = max(0, int(n * low - 10 * np.sqrt(n * low) - 20))
    return np.arange(first, min(n, int(n * high + 10 * np.sqrt(n * high) + 20)) + 1)


def _smallest_b(c: NDArray[np.int64], n: int, margin: float, min_score: float) -> NDArray[np.int64]:
    """For each c the smallest b whose score is at least `reached`; n - c + 1 if there is none."""
    low, high = np.zeros_like(c), n - c + 1  # the score grows with b
    while (low < high).any():
        middle = (low + high) // 2
        reaches = score(np.minimum(middle, n - c), c, n, margin) >= min_score - 1e-9
        reaches |= middle > n - c
        low, high = np.where(reaches, low, middle + 1), np.where(reaches, middle, high)
    return low


def _tail(c: NDArray[np.int64], smallest_b: NDArray[np.int64], n: int, share: Real, margin: float) -> Real:
    """P(b >= smallest_b(c)) for each share (S,) of samples that only the champion answers correctly.

    Args:
        c, smallest_b: (C,).
        share: (S,).
    """
    share = np.clip(share, 0, 1)[:, None]  # (S, 1)
    log_coefficient = special.gammaln(n + 1) - special.gammaln(c + 1) - special.gammaln(n - c + 1)
    weights = np.exp(log_coefficient + special.xlogy(c, share) + special.xlog1py(n - c, -share))  # (S, C)
    probability = np.clip(
        (share + margin) / np.maximum(1 - share, 1e-300), 0, 1
    )  # of b among the samples that are not c
    tails = np.where(smallest_b > 0, special.bdtrc(np.maximum(smallest_b - 1, 0), n - c, probability), 1.0)
    tails = np.where(smallest_b > n - c, 0.0, tails)
    return np.asarray((weights * tails).sum(axis=1))
