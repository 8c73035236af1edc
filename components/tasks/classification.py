"""Common parts of the tasks that give each sample one class.

Legend: N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ClassesOutput, OutputSpec
from components.core.errors import SampleError
from components.tasks.task import Metric, Prediction, ValidationMetric, Values
from components.tasks.task_defaults import TaskDefaults

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LABELS = ArraySpec(name="labels", type="int64", shape=())


def predictions(probabilities: NDArray[np.float32], classes: Sequence[str]) -> list[Prediction]:
    """Probabilities (N, K) as predictions: the likeliest class, and the probability of each class."""
    return [
        {"label": classes[int(row.argmax())], "probabilities": dict(zip(classes, row.tolist(), strict=True))}
        for row in probabilities
    ]


def schema(classes: Sequence[str]) -> dict[str, Any]:
    """JSON schema of such a prediction."""
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "type": "object",
        "properties": {
            "label": {"type": "string", "enum": list(classes)},
            "probabilities": {
                "type": "object",
                "properties": dict.fromkeys(classes, probability),
                "required": list(classes),
                "additionalProperties": False,
            },
        },
        "required": ["label", "probabilities"],
        "additionalProperties": False,
    }


def number(label: str, classes: Sequence[str]) -> int:
    """The number of a class.

    Raises:
        SampleError: the label is none of the classes.
    """
    try:
        return classes.index(label)
    except ValueError as error:
        raise SampleError("the label is none of the classes", got=label, expected=", ".join(classes)) from error


class OneClass(TaskDefaults):
    """Base of the stateless half of these tasks: the field `label` is the name of the class."""

    output_type: ClassVar[type[OutputSpec]] = ClassesOutput
    objective: ClassVar[str] = "components.training.objectives.classification:ClassificationObjective"
    validation_metric: ClassVar[ValidationMetric] = ValidationMetric("accuracy", higher_is_better=True)
    scorer: ClassVar[str] = "components.evaluation.classification:SCORER"
    metrics: ClassVar[dict[str, Metric]] = {
        "accuracy": Metric(True, "share of right answers"),
        "macro_f1": Metric(True, "mean F1 of the classes"),
        "ece": Metric(False, "expected calibration error: mean distance of confidence and accuracy in 15 bins"),
        "nll": Metric(False, "negative log likelihood in nats: mean of -ln p(true class)"),
    }

    def labels(self, values: Values) -> list[str]:
        """The class of the sample."""
        return [values["label"]]

    def strata(self, values: Values) -> list[str]:
        """The class of the sample."""
        return [str(values["label"])]

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether both predict the same class."""
        return bool(ours["label"] == theirs["label"])
