"""Common parts of the tasks that give each sample any number of labels, also none.

Legend: N samples, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import LabelsOutput, OutputSpec
from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks import classification
from components.tasks.processor import BaseProcessor
from components.tasks.task import Metric, Prediction, ValidationMetric, Values
from components.tasks.task_defaults import TaskDefaults

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.preprocessing.stored import StoredSplit
    from components.tasks.task import RunGraph

HALF = 0.5
_BATCH = 256


class ThresholdSettings(Strict):
    """How scores become labels.

    Args:
        thresholds: `half`: a sample has the labels whose scores are at least 0.5; `f1`: each label has the threshold of
            the best F1 on the validation split, chosen after the training.
    """

    thresholds: Literal["half", "f1"] = "half"


class LabelsProcessor(BaseProcessor, ThresholdSettings):
    """Base of the fitted half of these tasks, beside a processor of the samples' content.

    Args:
        classes: names of the labels, in the order of the columns of `labels`.
        chosen: the threshold of each label, if they are chosen on the validation split.
    """

    classes: list[str]
    chosen: list[float] | None = None

    def output_spec(self) -> LabelsOutput:
        """Logits (N, K)."""
        return LabelsOutput(classes=len(self.classes))

    def label_array(self) -> ArraySpec:
        """`labels` bool (K,)."""
        return ArraySpec(name="labels", type="bool", shape=(len(self.classes),))

    def label_thresholds(self) -> list[float]:
        """The threshold of each label (K,)."""
        return [HALF] * len(self.classes) if self.chosen is None else list(self.chosen)

    def multi_hot(self, labels: Any) -> NDArray[np.bool_]:
        """Labels as bool (K,).

        Raises:
            SampleError: no list of texts, or a label that is none of the classes.
        """
        import numpy as np

        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise SampleError("labels must be a list of texts", got=repr(labels)[:80])
        found = np.zeros(len(self.classes), np.bool_)
        for label in labels:
            found[classification.number(label, self.classes)] = True
        return found

    def predictions(self, probabilities: NDArray[np.float32]) -> list[Prediction]:
        """Probabilities (N, K) as predictions: the labels at or above their thresholds, and the score of each label."""
        thresholds = self.label_thresholds()
        found = []
        for row in probabilities.tolist():
            rows = zip(self.classes, row, thresholds, strict=True)
            labels = [name for name, score, threshold in rows if score >= threshold]
            found.append({"labels": labels, "scores": dict(zip(self.classes, row, strict=True))})
        return found

    def after_training(self, run: RunGraph, validation: StoredSplit) -> Self:
        """The processor with the thresholds that are best on the validation split, if the settings ask for them."""
        import numpy as np

        if self.thresholds == "half":
            return self
        scores, truth = [], []
        for begin in range(0, len(validation), _BATCH):
            batch = validation.batch(np.arange(begin, min(begin + _BATCH, len(validation))))
            scores.append(run("model", {name: batch[name] for name in self.inputs()})["probabilities"])  # type: ignore[attr-defined]  # of the processor beside this one
            truth.append(batch["labels"])
        columns = zip(np.concatenate(scores).T, np.concatenate(truth).T, strict=True)
        return self.model_copy(update={"chosen": [best_threshold(*column) for column in columns]})


def best_threshold(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """The threshold of the best F1: midway between two neighbouring scores, so that small differences change no label.

    Of equal F1 the one nearest to 0.5. 0.5 if no sample has the label, or all samples have one score.

    Args:
        scores, truth: (N,) of one label.
    """
    import numpy as np

    order = np.argsort(-scores.astype(np.float64), kind="stable")
    ordered, correct = scores[order].astype(np.float64), np.cumsum(truth[order])  # (N,): right answers of the first n
    if not len(order) or correct[-1] == 0:
        return HALF
    ends = np.flatnonzero(ordered[:-1] > ordered[1:])  # the last place of each score but the lowest
    if not len(ends):
        return HALF
    f1 = 2 * correct[ends] / (ends + 1 + correct[-1])
    middle = (ordered[ends] + ordered[ends + 1]) / 2
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(middle[best[np.abs(middle[best] - HALF).argmin()]])


def schema(classes: Sequence[str]) -> dict[str, Any]:
    """JSON schema of a prediction."""
    score = {"type": "number", "minimum": 0, "maximum": 1}
    labels = {"type": "array", "items": {"type": "string", "enum": list(classes)}, "uniqueItems": True}
    scores = {
        "type": "object",
        "properties": dict.fromkeys(classes, score),
        "required": list(classes),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"labels": labels, "scores": scores},
        "required": ["labels", "scores"],
        "additionalProperties": False,
    }


class ManyLabels(TaskDefaults):
    """Base of the stateless half of these tasks: the field `labels` is the list of the names of the labels."""

    output_type: ClassVar[type[OutputSpec]] = LabelsOutput
    objective: ClassVar[str] = "components.training.objectives.labels:LabelsObjective"
    validation_metric: ClassVar[ValidationMetric] = ValidationMetric("macro_f1", higher_is_better=True)
    scorer: ClassVar[str] = "components.evaluation.multi_label:SCORER"
    metrics: ClassVar[dict[str, Metric]] = {
        "macro_f1": Metric(True, "mean F1 of the labels"),
        "micro_f1": Metric(True, "F1 of all decisions together"),
        "mean_average_precision": Metric(True, "mean over the labels of the average precision of their scores"),
        "subset_accuracy": Metric(True, "share of samples whose labels are all right"),
    }

    def labels(self, values: Values) -> list[str]:
        """The labels of the sample."""
        labels = values["labels"]
        return [str(label) for label in labels] if isinstance(labels, list) else []

    def strata(self, values: Values) -> list[str]:
        """The labels of the sample."""
        return self.labels(values)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether both predict the same labels."""
        return bool(ours["labels"] == theirs["labels"])


def truth(values: Values) -> str:
    """The labels of a raw sample as text, for an example."""
    return ", ".join(values["labels"]) or "none"


def describe(values: Values) -> dict[str, object]:
    """`labels`: the number of labels."""
    labels = values["labels"]
    return {"labels": len(labels) if isinstance(labels, list) else None}
