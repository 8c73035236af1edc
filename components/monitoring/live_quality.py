"""The quality of what was answered, from truths that were told later: by version and role, with intervals.

The truth has the form that the task's predictions have: a label, a list of labels, a number, a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from components.inference import told_truth
from components.inference.told_truth import label_of, number_of

CONFIDENCE = 0.95
_NAMED = 5  # names of no known class in a note


class LiveFigure(NamedTuple):
    """A figure with its interval.

    Args:
        metric: `accuracy` (of labels, of whole sets of labels, of texts) or `rmse` (of numbers).
        low, high: a 95 % interval.
        samples: predictions that it is of.
        unscored: predictions whose truth is of another kind than their answer.
        slice: of a column's values, that it is of; None: all.
        unknown: predictions whose truth names no known class; they are neither right nor wrong.
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
    unknown: int = 0


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


def figures(labelled: pd.DataFrame, name: str | None = None, known: Collection[str] | None = None) -> list[LiveFigure]:
    """A figure for each version and role of `labels.Labelled.table`.

    Args:
        name: of the slice that these predictions are.
        known: classes of any version of the model; None: those that these predictions name.
    """
    known = known_classes(labelled["output"]) if known is None else known
    found = []
    for (version, role), members in labelled.groupby(["version", "role"], sort=True):
        pairs = list(zip(members["output"], members["truth"], strict=True))
        scores = [score(output, truth, known) for output, truth in pairs]
        unknown = sum(bool(unknown_names(output, truth, known)) for output, truth in pairs)
        for metric in ("accuracy", "rmse"):
            values = np.array([one.value for one in scores if one is not None and one.metric == metric])
            if len(values):
                low, high = _proportion(values) if metric == "accuracy" else _root_mean(values)
                value = float(values.mean()) if metric == "accuracy" else float(np.sqrt(values.mean()))
                others = sum(one is None for one in scores) - unknown
                found.append(
                    LiveFigure(str(version), str(role), metric, value, low, high, len(values), others, name, unknown)
                )
    return found


def comparisons(
    labelled: pd.DataFrame, name: str | None = None, known: Collection[str] | None = None
) -> list[LiveDifference]:
    """Each challenger and shadow against each champion, where both have two answers with a truth.

    Pairs: Student's t interval of the mean difference. Else: Welch's t interval. Arguments are as of `figures`.
    """
    known = known_classes(labelled["output"]) if known is None else known
    table = labelled.assign(
        score=[score(output, truth, known) for output, truth in zip(labelled["output"], labelled["truth"], strict=True)]
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


def score(output: Mapping[str, Any], truth: Any, known: Collection[str] = ()) -> Score | None:
    """The score of a prediction; None if its truth is of another kind, or names no known class.

    Args:
        known: classes of other versions of the model. An answer of a version that lacks the class is wrong.
    """
    if unknown_names(output, truth, known):
        return None
    classes = classes_of(output)
    if "label" in output and isinstance(truth, str | int | float | bool):
        return Score("accuracy", float(str(output["label"]) == label_of(truth, classes)))
    if "labels" in output and isinstance(truth, list):
        told = {label_of(one, classes) for one in truth}
        return Score("accuracy", float({str(one) for one in output["labels"]} == told))
    if "value" in output and (number := number_of(truth)) is not None:
        return Score("rmse", (float(output["value"]) - number) ** 2)
    if "text" in output and isinstance(truth, str):
        return Score("accuracy", float(output["text"] == truth))
    return None


def unknown_names(output: Mapping[str, Any], truth: Any, known: Collection[str] = ()) -> list[str]:
    """The names in a truth that are no class of the answer's version, nor of another one.

    An answer without the probability or the score of each class does not say which classes there are.
    """
    own = told_truth.of_answer(output)
    names = [] if own is None else told_truth.unknown_names(truth, own)
    return [name for name in names if label_of(name, list(known)) not in known]


def known_classes(outputs: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The classes that answers of any version name with their probabilities or scores."""
    found: set[str] = set()
    for output in outputs:
        own = told_truth.of_answer(output)
        found.update(() if own is None else own.classes)
    return frozenset(found)


def unknown_counts(labelled: pd.DataFrame) -> dict[str, int]:
    """How many truths of a `labels.Labelled.table` have each name that is no known class, the commonest first."""
    known = known_classes(labelled["output"])
    pairs = zip(labelled["output"], labelled["truth"], strict=True)
    found = Counter(name for output, truth in pairs for name in unknown_names(output, truth, known))
    return dict(found.most_common())


def unknown_note(counts: Mapping[str, int], classes: Collection[str]) -> str | None:
    """What a person should know of truths that name no known class; None without any."""
    if not counts:
        return None
    parts = []
    for place, (name, count) in enumerate(counts.items()):
        near = told_truth.nearest(name, classes) if place < _NAMED else None
        parts.append(f"{name} ({count:,}{'' if near is None else f', nearest {near}'})")
    total = sum(counts.values())
    return (
        f"{total:,} {'truth is' if total == 1 else 'truths are'} of no known class, counted apart, neither right nor "
        f"wrong: {told_truth.named(parts, _NAMED)}. A slip can be told again, and the last truth counts; a class "
        "that is new in the world needs a training with samples of it"
    )


def classes_of(output: Mapping[str, Any]) -> list[str]:
    """The classes that an answer names with their probabilities or scores, and its label."""
    odds = output.get("probabilities", output.get("scores"))
    named = list(odds) if isinstance(odds, Mapping) else []
    return [*named, str(output["label"])] if "label" in output else named


def unscored(labelled: pd.DataFrame) -> int:
    """Predictions of a `labels.Labelled.table` whose truth is of another kind than the answer."""
    known = known_classes(labelled["output"])
    pairs = zip(labelled["output"], labelled["truth"], strict=True)
    return sum(
        score(output, truth, known) is None and not unknown_names(output, truth, known) for output, truth in pairs
    )


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
