"""The learning rate of each batch, as a pure function of the step."""

from __future__ import annotations

import math
from typing import Literal

WARM_UP_SHARE = 0.3
FIRST_DIVISOR = 25.0
LAST_DIVISOR = 1e4

Schedule = Literal["constant", "cosine", "onecycle", "step"]


def learning_rate(schedule: Schedule, peak: float, step: int, total_steps: int) -> float:
    """The learning rate for a step.

    constant: peak. cosine: peak/2 (1 + cos(pi t)), t = step / total (Loshchilov and Hutter 2017, arXiv:1608.03983,
    eq. 5, one cycle). step: a tenth after half of the steps, a hundredth after three quarters (He et al. 2015,
    arXiv:1512.03385, section 4.2). onecycle: cosine from peak/25 up to peak over the first 30 %, then cosine down to
    peak/25e4 (Smith and Topin 2018, arXiv:1708.07120, in the two-phase form of torch's OneCycleLR).

    Args:
        step: 0 for the first batch.
        total_steps: batches of the whole training.
    """
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return _anneal(peak, 0.0, step / total_steps)
    if schedule == "step":
        return peak * (1.0 if 2 * step < total_steps else 0.1 if 4 * step < 3 * total_steps else 0.01)
    first = peak / FIRST_DIVISOR
    turn = max(0.0, WARM_UP_SHARE * total_steps - 1)
    if step < turn:
        return _anneal(first, peak, step / turn)
    rest = max(1.0, total_steps - 1 - turn)
    return _anneal(peak, first / LAST_DIVISOR, min(1.0, (step - turn) / rest))


def _anneal(begin: float, end: float, share: float) -> float:
    """Half a cosine from `begin` (share 0) to `end` (share 1)."""
    return end + (begin - end) / 2 * (1 + math.cos(math.pi * share))
