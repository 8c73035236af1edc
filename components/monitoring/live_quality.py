"""The quality of what was answered, from truths that were told later: by version and role, with intervals.

The truth has the form that the task's predictions have: a label, a list of labels, a number, a text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
        slice: of a column's values, that it is of; None: all.
    """

    version: str
    role: str
    metric: str
    value: float
    low: float
    high: float
    samples: int
    unscored: int
    slice: str | None = None


class LiveDifference(NamedTuple):
    """A challenger against the champion, on what both answered, or else on what each answered.

    Args:
        difference: of the challenger's figure (accuracy; of numbers the mean squared error) from the champion's.
        low, high: a 95 % interval.
        paired: answers to the same samples are compared (a shadow); else the two have answered different ones.
        samples: pairs; else answers of the challenger.
    """

    champion: str
    challenger: str
    role: str
    metric: str
    difference: float
    low: float
    high: float
    paired: bool
    samples: int
    slice: str | None = None


def figures(labelled: pd.DataFrame, name: str | None = None) -> list[LiveFigure]:
    """A figure for each version and role of `labels.Labelled.table`.

    Args:
        name: of the slice that these predictions are.
    """
    found = []
    for (version, role), members in labelled.groupby(["version", "role"], sort=True):
        scores = [score(output, truth) for output, truth in zip(members["output"], members["truth"], strict=True)]
        for metric in ("accuracy", "rmse"):
            values = np.array([one.value for one in scores if one is not None and one.metric == metric])
            if len(values):
                low, high = _proportion(values) if metric == "accuracy" else _root_mean(values)
                value = float(values.mean()) if metric == "accuracy" else float(np.sqrt(values.mean()))
                unscored = sum(one is None for one in scores)
                found.append(LiveFigure(str(version), str(role), metric, value, low, high, len(values), unscored, name))
    return found


def comparisons(labelled: pd.DataFrame, name: str | None = None) -> list[LiveDifference]:
    """Each challenger and shadow against each champion, where both have two answers with a truth.

    Pairs: Student's t interval of the mean difference. Else: Welch's t interval.
    """
    table = labelled.assign(
        score=[score(output, truth) for output, truth in zip(labelled["output"], labelled["truth"], strict=True)]
    )
    table = table.loc[np.array([one is not None for one in table["score"]], bool)]
    table = table.assign(metric=[one.metric for one in table["score"]], score=[one.value for one in table["score"]])
    sides = dict(iter(table.groupby(["role", "version", "metric"], sort=True)))
    found = []
    for (role, version, metric), members in sides.items():
        for (other, champion, kind), theirs in sides.items():
            if role == "champion" or other != "champion" or kind != metric:
                continue
            both = members.merge(theirs, on=["id", "index"], suffixes=("", "_champion"))
            is_paired = len(both) >= 2
            if not is_paired and (len(members) < 2 or len(theirs) < 2):
                continue
            if is_paired:
                difference, margin = _paired((both["score"] - both["score_champion"]).to_numpy())
            else:
                difference, margin = _welch(members["score"].to_numpy(), theirs["score"].to_numpy())
            found.append(
                LiveDifference(
                    str(champion), str(version), str(role), str(metric), difference, difference - margin,
                    difference + margin, is_paired, len(both) if is_paired else len(members), name,
                )
            )  # fmt: skip
    return found


def _paired(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The mean, and half of its t interval."""
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)
    return float(differences.mean()), float(quantile * differences.std(ddof=1) / np.sqrt(len(differences)))


def _welch(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """The difference of the means, and half of Welch's interval (Welch 1947, Biometrika 34)."""
    interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(CONFIDENCE)
    difference = float(one.mean() - other.mean())
    margin = float(interval.high - interval.low) / 2
    return difference, 0.0 if np.isnan(margin) else margin  # both without spread


class Score(NamedTuple):
    """Of one prediction: whether it is right (`accuracy`, 0 or 1), or its squared error (`rmse`)."""

    metric: str
    value: float


def score(output: Mapping[str, Any], truth: Any) -> Score | None:
    """The score of a prediction; None if its truth is of another kind."""
    if "label" in output and isinstance(truth, str | int | float | bool):
        return Score("accuracy", float(str(output["label"]) == label_of(truth, classes_of(output))))
    if "labels" in output and isinstance(truth, list):
        told = {label_of(one, classes_of(output)) for one in truth}
        return Score("accuracy", float({str(one) for one in output["labels"]} == told))
    if "value" in output and (number := number_of(truth)) is not None:
        return Score("rmse", (float(output["value"]) - number) ** 2)
    if "text" in output and isinstance(truth, str):
        return Score("accuracy", float(output["text"] == truth))
    return None


def classes_of(output: Mapping[str, Any]) -> list[str]:
    """The classes that an answer names with their probabilities or scores, and its label."""
    odds = output.get("probabilities", output.get("scores"))
    named = list(odds) if isinstance(odds, Mapping) else []
    return [*named, str(output["label"])] if "label" in output else named


def label_of(truth: Any, classes: Sequence[str]) -> str:
    """A truth as the name of a class: files of tables write 7 as 7.0, and 1.20 as 1.2."""
    text = str(truth)
    if text in classes or (number := number_of(truth)) is None:
        return text
    alike = {one for one in classes if number_of(one) == number}
    return alike.pop() if len(alike) == 1 else text


def number_of(truth: Any) -> float | None:
    """A truth as a finite number, if it is one or the text of one."""
    if isinstance(truth, bool) or not isinstance(truth, int | float | str):
        return None
    try:
        number = float(truth)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def unscored(labelled: pd.DataFrame) -> int:
    """Predictions of a `labels.Labelled.table` whose truth is of another kind than the answer."""
    pairs = zip(labelled["output"], labelled["truth"], strict=True)
    return sum(score(output, truth) is None for output, truth in pairs)


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
