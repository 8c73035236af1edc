"""The quality of what was answered, from truths that were told later: by version and role, with intervals.

The truth has the form that the task's predictions have: a label, a list of labels, a number, a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95


class LiveFigure(NamedTuple):
    """A figure with its interval.

    Args:
        metric: `accuracy` (of labels, of whole sets of labels, of texts) or `rmse` (of numbers).
        low, high: a 95 % interval.
        samples: predictions that it is of.
        unscored: predictions whose truth is of another kind than their answer.
    """

    version: str
    role: str
    metric: str
    value: float
    low: float
    high: float
    samples: int
    unscored: int


def figures(labelled: pd.DataFrame) -> list[LiveFigure]:
    """A figure for each version and role of `labels.Labelled.table`."""
    found = []
    for (version, role), members in labelled.groupby(["version", "role"], sort=True):
        scores = [score(output, truth) for output, truth in zip(members["output"], members["truth"], strict=True)]
        for metric in ("accuracy", "rmse"):
            values = np.array([one.value for one in scores if one is not None and one.metric == metric])
            if len(values):
                low, high = _proportion(values) if metric == "accuracy" else _root_mean(values)
                value = float(values.mean()) if metric == "accuracy" else float(np.sqrt(values.mean()))
                unscored = sum(one is None for one in scores)
                found.append(LiveFigure(str(version), str(role), metric, value, low, high, len(values), unscored))
    return found


class Score(NamedTuple):
    """Of one prediction: whether it is right (`accuracy`, 0 or 1), or its squared error (`rmse`)."""

    metric: str
    value: float


def score(output: Mapping[str, Any], truth: Any) -> Score | None:
    """The score of a prediction; None if its truth is of another kind."""
    if "label" in output and isinstance(truth, str | int | bool):
        return Score("accuracy", float(str(output["label"]) == str(truth)))
    if "labels" in output and isinstance(truth, list):
        return Score("accuracy", float({str(one) for one in output["labels"]} == {str(one) for one in truth}))
    if "value" in output and isinstance(truth, int | float) and not isinstance(truth, bool):
        return Score("rmse", (float(output["value"]) - float(truth)) ** 2)
    if "text" in output and isinstance(truth, str):
        return Score("accuracy", float(output["text"] == truth))
    return None


def _proportion(values: NDArray[np.float64]) -> tuple[float, float]:
    """Wilson's interval of a proportion (Wilson 1927, JASA 22)."""
    interval = stats.binomtest(int(values.sum()), len(values)).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def _root_mean(squares: NDArray[np.float64]) -> tuple[float, float]:
    """The roots of the t interval of a mean; without two samples, no limit."""
    if len(squares) < 2:
        return 0.0, float("inf")
    margin = stats.t.ppf((1 + CONFIDENCE) / 2, len(squares) - 1) * squares.std(ddof=1) / np.sqrt(len(squares))
    mean = squares.mean()
    return float(np.sqrt(max(0.0, mean - margin))), float(np.sqrt(mean + margin))
