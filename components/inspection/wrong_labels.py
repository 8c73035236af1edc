"""Labels that are likely to be wrong: by a light model of other samples, or by a trained one that has not learnt them.

Legend: N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.inspection import features, label_issues, predictions
from components.inspection.label_issues import Suspects
from components.validation.leakage import NearPair

if TYPE_CHECKING:
    from components.inspection.trained_judge import Judged

TRUSTED = 0.9  # share of samples that a model must get right for its doubts to be mostly true


class WrongLabel(NamedTuple):
    """A sample whose label is likely to be wrong; margin: probability of the label minus that of the suggestion; judge:
    `a light model`, or the name of the trained one."""

    id: str
    split: str
    label: str
    suggested: str
    margin: float
    judge: str


class JudgedLabels(NamedTuple):
    """What one judge says: the number of samples that it judged, the estimated number of wrong labels, and which."""

    samples: int
    wrong: float
    labels: list[WrongLabel]


def together(verdicts: Sequence[JudgedLabels]) -> tuple[float | None, list[WrongLabel]]:
    """The estimated share of wrong labels, None if none was judged, and the likely ones, the likeliest first."""
    count = sum(verdict.samples for verdict in verdicts)
    labels = sorted((one for verdict in verdicts for one in verdict.labels), key=lambda one: one.margin)
    return (round(sum(verdict.wrong for verdict in verdicts) / count, 4) if count else None), labels


def by_light_model(
    listed: pd.DataFrame, values: Any, near: list[NearPair], notes: list[str], dataset: str,
    judged: tuple[str, dict[str, Judged]] | None,
) -> JudgedLabels:  # fmt: skip
    """The labels by a light model of the other folds; without those that a trained model judges."""
    groups = _groups(listed, near)
    firsts = pd.DataFrame({"label": listed["label"], "group": groups}).drop_duplicates("group")["label"].value_counts()
    usual = sorted(str(label) for label, count in firsts.items() if label and count >= predictions.FOLDS)
    if len(usual) < 2:
        notes.append(
            f"labels: not judged, there are not two labels of at least {predictions.FOLDS} different samples each"
        )
        return JudgedLabels(0, 0.0, [])
    is_usual = listed["label"].isin(usual).to_numpy()
    if skipped := int((~is_usual).sum()):
        few = f"fewer than {predictions.FOLDS} different samples"
        notes.append(f"labels: {skipped:,} samples of labels of {few} are not judged")
    rows = np.flatnonzero(is_usual)
    numbers, names = features.numbers_of(listed["label"].iloc[rows])
    groups, _ = features.numbers_of(pd.Series(groups[rows]))
    probabilities = predictions.out_of_fold(values[rows], numbers, groups, f"judging the labels of {dataset}")
    right = float((probabilities.argmax(axis=1) == numbers).mean())
    if right < TRUSTED:
        notes.append(
            f"labels: the light model that judges them is right on {right:.0%} of the samples only, so many of the "
            "labels that it doubts will be right: look at the first ones"
        )
    own = np.ones(len(rows), np.bool_) if judged is None else ~listed["split"].iloc[rows].isin(judged[1]).to_numpy()
    if not own.any():
        return JudgedLabels(0, 0.0, [])
    return _verdict(listed.iloc[rows[own]], probabilities[own], numbers[own], names, "a light model")


def by_trained_model(listed: pd.DataFrame, name: str, judged: dict[str, Judged], notes: list[str]) -> JudgedLabels:
    """The labels of validation and test by a trained model, which has not learnt from them."""
    parts = [(listed[listed["split"] == split], one) for split, one in judged.items()]
    chosen = [part.iloc[np.flatnonzero(one.finite)] for part, one in parts]
    probabilities = np.concatenate([one.probabilities[one.finite] for one in judged.values()])
    truth = np.concatenate([one.truth[one.finite] for one in judged.values()])
    right = float((probabilities.argmax(axis=1) == truth).mean()) if len(truth) else 0.0
    counts = " and ".join(f"{split} ({len(one.truth):,})" for split, one in judged.items())
    notes.append(
        f"labels of {counts} are judged by {name}, which did not learn from them and is right on {right:.0%} of them; "
        "those of train by a light model that is trained on other samples (cross-validation)"
    )
    if left_out := sum(int((~one.finite).sum()) for one in judged.values()):
        notes.append(f"labels: {left_out:,} samples for which {name} gives no finite answer are not judged")
    return _verdict(pd.concat(chosen), probabilities, truth, next(iter(judged.values())).classes, name)


def _verdict(
    listed: pd.DataFrame, probabilities: NDArray[np.float64], numbers: NDArray[np.int64], names: list[str], judge: str
) -> JudgedLabels:
    """Suspects among samples, by probabilities (N, K) and the numbers (N,) of their labels."""
    suspects: Suspects = label_issues.find(probabilities, numbers)
    found = []
    for row, suggested, margin in zip(*(part.tolist() for part in suspects[:3]), strict=True):
        sample = listed.iloc[row]
        found.append(
            WrongLabel(sample["id"], sample["split"], sample["label"], names[suggested], round(margin, 4), judge)
        )
    return JudgedLabels(len(numbers), suspects.noise * len(numbers), found)


def _groups(listed: pd.DataFrame, near: list[NearPair]) -> NDArray[np.int64]:
    """Numbers (N,) that are equal for copies, and for both samples of a pair of near-duplicates."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (parent := parents.get(name, name)) != name:
            name = parent
        return name

    content = dict(zip(listed["id"], listed["content"], strict=True))
    for pair in near:
        if pair.first in content and pair.second in content:
            one, other = sorted((root(content[pair.first]), root(content[pair.second])))
            parents[other] = one
    numbers, _ = features.numbers_of(listed["content"].map(root))
    return np.asarray(numbers)
