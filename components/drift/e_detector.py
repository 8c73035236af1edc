"""Sequential detection of a change from uniform ranks, with a rate of false alarms that is proved and not tuned.

For each alternative (components.drift.alternatives) with likelihood ratio L_t of window t, the Shiryaev-Roberts
statistic R_t = (R_{t-1} + 1) L_t sums the evidence for a change at each window so far (Shiryaev 1963; Roberts 1966).
M_t is the weighted mean over the alternatives, an e-detector (Shin, Ramdas and Rinaldo 2024, "E-detectors", New England
Journal of Statistics in Data Science 2:229-260). Without drift each L_t has the expectation 1 given the past, so
M_t - t is a martingale. With N alarms until now, where M reached c and started again from 0, c N_t + M_t - t is a
supermartingale, as an alarm takes at least c away: the expected number of alarms in any T windows is at most T / c,
and the mean time to a false alarm at least c windows. Nothing of it depends on the size of the windows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.drift.alternatives import bank
from components.drift.distances import Real

MOST_LOG_RATIO = 230.0  # a window's evidence, and all of it, are cut here, so that numbers stay finite
MOST_STATISTIC = 1e100


class Detector(NamedTuple):
    """The state of detectors of independent streams (...), A alternatives each.

    Args:
        statistics: R, (..., A).
        sums: cumulative sums (Page 1954, Biometrika 41:100-115), which place the beginning of a change, (..., A).
        begins: the window from which each sum counts, (..., A).
    """

    statistics: Real
    sums: Real
    begins: NDArray[np.int64]


def start(streams: tuple[int, ...] = ()) -> Detector:
    """Detectors that saw no window."""
    shape = (*streams, len(bank().names))
    return Detector(np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64))


def log_threshold(streams: int, windows_per_month: float, false_alarms_per_month: float) -> float:
    """The logarithm of the threshold c of one of several streams whose alarms together keep to the rate."""
    return math.log(streams * windows_per_month / false_alarms_per_month)


def advance(detector: Detector, counts: Real, window: int) -> tuple[Detector, Real]:
    """The state after a window that is not empty, and the evidence log(M), (...).

    Args:
        counts: of the window's ranks in the cells, (..., CELLS).
        window: its number.
    """
    log_ratios = counts @ bank().log_ratios.T  # (..., A)
    ratios = np.exp(np.minimum(log_ratios, MOST_LOG_RATIO))
    statistics = np.minimum((detector.statistics + 1) * ratios, MOST_STATISTIC)
    evidence = np.log(np.maximum(statistics @ np.exp(bank().log_weights), 1e-300))
    begins = np.where(detector.sums <= 0, window, detector.begins)
    return Detector(statistics, np.maximum(detector.sums, 0) + log_ratios, begins), np.asarray(evidence)


def restart(detector: Detector, alarmed: NDArray[np.bool_]) -> Detector:
    """The state in which the detectors that raised an alarm, (...), start again."""
    at = alarmed[..., None]
    return Detector(
        np.where(at, 0.0, detector.statistics), np.where(at, 0.0, detector.sums), np.where(at, 0, detector.begins)
    )


def likeliest(detector: Detector) -> tuple[str, int]:
    """The alternative that explains a single detector's windows best, and the window in which it began."""
    best = int(np.argmax(np.log(np.maximum(detector.statistics, 1e-300)) + bank().log_weights))
    return bank().names[best], int(detector.begins[best])
