"""What all tasks that give each sample one class have in common.

Legend: N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.contracts.array_spec import ArraySpec
from components.contracts.errors import SampleError
from components.tasks.task import Metric, Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OBJECTIVE = "components.training.objectives.classification:Classification"
SCORER = "components.evaluation.classification:SCORER"
METRICS = {
    "accuracy": Metric(True, "share of right answers"),
    "macro_f1": Metric(True, "mean F1 of the classes"),
    "ece": Metric(False, "expected calibration error: mean distance of confidence and accuracy in 15 bins"),
    "nll": Metric(False, "negative log likelihood in nats: mean of -ln p(true class)"),
}
LABELS = ArraySpec(name="labels", type="int64", shape=())


def predictions(probabilities: NDArray[np.float32], classes: Sequence[str]) -> list[Prediction]:
    """Probabilities (N, K) as answers: the likeliest class and the probability of each."""
    return [
        {"label": classes[int(row.argmax())], "probabilities": dict(zip(classes, row.tolist(), strict=True))}
        for row in probabilities
    ]


def schema(classes: Sequence[str]) -> dict[str, Any]:
    """JSON schema of such an answer."""
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
        SampleError: it is none of the classes.
    """
    try:
        return classes.index(label)
    except ValueError as error:
        raise SampleError("a label that is none of the classes", got=label, expected=", ".join(classes)) from error


def agree(ours: Prediction, theirs: Prediction) -> bool:
    """Whether two answers name the same class."""
    return bool(ours["label"] == theirs["label"])
