"""The error that a power law is fitted to, as a function of a metric; 0 is the best possible value.

higher is better    the distance to the best value: 1, or 100 for BLEU and chrF.
perplexity          its logarithm, the cross entropy in nats, as in Kaplan et al. 2020, arXiv:2001.08361.
lower is better     the metric itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple

_TOPS = {"bleu": 100.0, "chrf": 100.0}
_LOGARITHMIC = frozenset({"perplexity"})


class ErrorScale(NamedTuple):
    """How a metric becomes an error.

    Args:
        top: best value of a metric that is better if higher; None: lower is better.
    """

    metric: str
    top: float | None
    logarithmic: bool

    def error(self, value: float) -> float:
        """The error of a value of the metric, at least 0."""
        if self.logarithmic:
            return max(0.0, math.log(value))
        return max(0.0, value if self.top is None else self.top - value)

    def metric_value(self, error: float) -> float:
        """The value of the metric with this error; errors below 0 count as 0."""
        least = max(0.0, error)
        if self.logarithmic:
            return math.exp(least)
        return least if self.top is None else self.top - least

    def deviation(self, deviation: float, value: float) -> float:
        """The standard deviation of the error, of that of the metric at a value."""
        return deviation / value if self.logarithmic else deviation

    def words(self) -> str:
        """What the error is."""
        name = self.metric.replace("_", " ")
        if self.logarithmic:
            return f"ln {name}"
        return name if self.top is None else f"{self.top:g} - {name}"


def of(metric: str, *, higher_is_better: bool) -> ErrorScale:
    """The scale of a metric; one that is better if higher and is not named here has the best value 1."""
    if not higher_is_better:
        return ErrorScale(metric, None, metric in _LOGARITHMIC)
    return ErrorScale(metric, _TOPS.get(metric, 1.0), logarithmic=False)
