"""Common parts of the tasks that give each sample one number: the field `target`, in its own units.

Networks learn (target - mean) / std of the train split; answers and figures are in the target's units.
Legend: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import OutputSpec, ValuesOutput
from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks import items
from components.tasks.processor import BaseProcessor
from components.tasks.task import Metric, Prediction, RawSample, ValidationMetric, Values
from components.tasks.task_defaults import TaskDefaults

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from components.preprocessing.number_statistics import NumberStatistics
    from components.tasks.task import Arrays, RunGraph


TARGET = ArraySpec(name="target", type="float32", shape=(1,))
_AGREE = 1e-3  # of the larger value


class Target(Strict):
    """Mean and standard deviation of the target over the train split, in its own units."""

    mean: float
    std: float

    @staticmethod
    def fit(targets: Sequence[float]) -> Target:
        """Fit on the targets of train.

        Raises:
            SampleError: all targets are equal.
        """
        import numpy as np

        values = np.array(targets, np.float64)
        if not len(values) or values.min() == values.max():
            got = f"{targets[0]:g}" if targets else "no sample"
            raise SampleError("all targets of train are equal: there is nothing to learn", got=got)
        return Target(mean=float(values.mean()), std=float(values.std()))

    @staticmethod
    def of(statistics: NumberStatistics | None) -> Target:
        """As `fit`, of the statistics of the targets of train."""
        if statistics is None or statistics.minimum == statistics.maximum:
            got = f"{statistics.minimum:g}" if statistics is not None and statistics.samples else "no sample"
            raise SampleError("all targets of train are equal: there is nothing to learn", got=got)
        return Target(mean=statistics.mean, std=statistics.std)

    def scaled(self, values: Values) -> NDArray[Any]:
        """The array `target` float32 (1,) of a raw sample."""
        import numpy as np

        return np.asarray([(target_of(values) - self.mean) / self.std], np.float32)

    def output_spec(self) -> ValuesOutput:
        """One scaled number."""
        return ValuesOutput(mean=self.mean, std=self.std)

    def predictions(self, scaled: NDArray[Any]) -> list[Prediction]:
        """Outputs (N, 1) of a network as predictions in the target's units."""
        import numpy as np

        values = scaled[:, 0].astype(np.float64) * self.std + self.mean
        return [{"value": value} for value in values.tolist()]


class NumberProcessor(BaseProcessor):
    """Base of processors that give one number; the input arrays are those of the task of classes on the same inputs.

    Args:
        target: statistics of the target over the train split.
    """

    target: Target

    def input_arrays(self) -> tuple[ArraySpec, ...]:
        """The arrays that the network gets."""
        raise NotImplementedError

    def output_spec(self) -> ValuesOutput:
        """One scaled number (N, 1)."""
        return self.target.output_spec()

    def arrays(self) -> tuple[ArraySpec, ...]:
        """The inputs, and `target` float32 (1,)."""
        return *self.input_arrays(), TARGET

    def with_targets(self, inputs: Sequence[Arrays], samples: Sequence[RawSample]) -> list[Arrays]:
        """The input arrays of samples with their scaled targets."""
        targets = items.each(lambda raw: self.target.scaled(raw.values), samples)
        return [{**arrays, "target": target} for arrays, target in zip(inputs, targets, strict=True)]

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The number in the target's units."""
        from components.preprocessing.batch import collate

        names = [array.name for array in self.input_arrays()]
        return self.target.predictions(run("model", collate(self.input_arrays(), samples, names))["value"])


def target_of(values: Values) -> float:
    """The target of a raw sample.

    Raises:
        SampleError: it is no finite number.
    """
    target = float(values["target"][0]) if len(values["target"]) == 1 else float("nan")
    if target - target != 0:
        raise SampleError("the target is no finite number", got=values["target"].tolist(), expected="one number")
    return target


def truth_of(values: Values) -> str:
    """The target of a raw sample as text, for a golden example."""
    return f"{target_of(values):.6g}"


def collecting(train: Iterable[RawSample], targets: list[float]) -> Iterator[RawSample]:
    """The samples of train; their targets are appended to a list."""
    for raw in train:
        targets.append(target_of(raw.values))
        yield raw


def schema() -> dict[str, Any]:
    """JSON schema of a prediction."""
    return {
        "type": "object",
        "properties": {"value": {"type": "number"}},
        "required": ["value"],
        "additionalProperties": False,
    }


class OneNumber(TaskDefaults):
    """Base of the stateless half of these tasks."""

    output_type: ClassVar[type[OutputSpec]] = ValuesOutput
    objective: ClassVar[str] = "components.training.objectives.value:ValueObjective"
    validation_metric: ClassVar[ValidationMetric] = ValidationMetric("mse", higher_is_better=False)
    scorer: ClassVar[str] = "components.evaluation.regression:SCORER"
    metrics: ClassVar[dict[str, Metric]] = {
        "r2": Metric(True, "share of the target's variance that is explained"),
        "rmse": Metric(False, "root of the mean squared error, in the target's units"),
        "mae": Metric(False, "mean absolute error, in the target's units"),
        "median_absolute_error": Metric(False, "median absolute error, in the target's units"),
    }

    def labels(self, values: Values) -> list[str]:
        """No labels."""
        return []

    def strata(self, values: Values) -> list[str]:
        """No classes."""
        return []

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether both predict the same number, within 0.1 % of the larger one."""
        one, other = float(ours["value"]), float(theirs["value"])
        return abs(one - other) <= _AGREE * max(abs(one), abs(other), 1e-12)
