"""Probabilities of the classes by a trained model, for samples that it did not learn from.

Only the validation and the test split of the data that the model was trained on are out of sample: the weights were
fitted on train. (The epoch was chosen on validation, which a model can hardly learn a single label from.)
Legend: N samples, K classes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.core.errors import UsageError
from components.core.progress import Progress
from components.evaluation import scorer
from components.evaluation.classification import ClassificationScores
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest
from components.identity.package import Package
from components.inference.predictor import Predictor

SPLITS = ("validation", "test")


class Judged(NamedTuple):
    """One split as the model sees it.

    Args:
        probabilities: (N, K) of the classes of the data, in the order of the split's rows.
        truth: (N,) numbers of the classes.
        finite: (N,) False where the model's answer is not finite; such a sample is not judged.
    """

    probabilities: NDArray[np.float64]
    truth: NDArray[np.int64]
    finite: NDArray[np.bool_]
    classes: list[str]


def judge(package: Package, prepared: Path, name: str) -> dict[str, Judged]:
    """The probabilities of both splits, by split.

    Args:
        name: what the model is called in messages.

    Raises:
        UsageError: the model was trained on other data, or does not give one class a sample.
        InferenceError, CorruptArtifactError: the model cannot predict.
    """
    sealed = manifest.load(prepared, "prepared")
    if package.facts.data_digest != sealed.digest:
        raise UsageError(
            f"{name} was trained on another version of the data: its train split may have these samples",
            where=str(prepared),
            got=f"a model of data {package.facts.data_digest[:12]}",
            expected=f"one of data {sealed.digest[:12]}",
            next_step=f"`modelyard run {package.facts.pipeline}`, or inspect without --model",
        )
    found = {}
    predictor = Predictor(package, threads=os.cpu_count() or 1)
    for split in SPLITS:
        frozen = FrozenSplit.open(prepared, sealed.facts, split)
        task_scorer = scorer.load_scorer(frozen.task)
        if "label" not in frozen.task.fields:
            raise UsageError(
                f"{name} does not give each sample one label",
                got=frozen.task.name,
                expected="a task of one label a sample",
                next_step="inspect without --model",
            )
        with Progress(f"judging the labels of {split}", scorer.expected_samples(task_scorer, frozen)) as progress:
            scored = task_scorer.score(predictor, frozen, progress.advance)
        if not isinstance(scored, ClassificationScores):
            raise UsageError(f"{name} gives no probabilities of classes", next_step="inspect without --model")
        own = np.asarray(scored.probabilities[:, :-1], np.float64)
        found[split] = Judged(own, scored.truth, scored.probabilities[:, -1] < 1, frozen.classes)
    return found
