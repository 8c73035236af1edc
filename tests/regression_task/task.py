"""The task: its specs, its settings, its processor and its defaults.

Legend: N samples, C columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import InputSpec, OutputSpec
from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks import items
from components.tasks.processor import BaseProcessor
from components.tasks.task import EndpointSchema, Example, FieldKind, Metric, Prediction, RawSample, Values
from components.tasks.task_defaults import Layout, SourceProfile, TaskDefaults

if TYPE_CHECKING:
    from components.tasks.task import Arrays, RunGraph

NAME = "tests.regression_task.task:TASK"


class RowInput(InputSpec):
    """Rows float32 (N, C); mean and standard deviation of each column over the train split."""

    kind: ClassVar[str] = "row"

    mean: list[float]
    std: list[float]


class NumberOutput(OutputSpec):
    """Numbers float32 (N,); their mean and standard deviation over the train split."""

    kind: ClassVar[str] = "number"
    graph_builder: ClassVar[str] = "tests.regression_task.network:graphs"

    mean: float
    std: float


class RegressionSettings(Strict):
    """The rows.

    Args:
        columns: C.
    """

    columns: int


class RegressionProcessor(BaseProcessor, RegressionSettings):
    """Statistics of the columns and of the target over the train split."""

    mean: list[float]
    std: list[float]
    target_mean: float
    target_std: float

    def input_spec(self) -> RowInput:
        return RowInput(mean=self.mean, std=self.std)

    def output_spec(self) -> NumberOutput:
        return NumberOutput(mean=self.target_mean, std=self.target_std)

    def arrays(self) -> tuple[ArraySpec, ...]:
        rows = ArraySpec(name="rows", type="float32", shape=(self.columns,))
        return rows, ArraySpec(name="target", type="float32", shape=())

    def inputs(self) -> tuple[str, ...]:
        return ("rows",)

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        return items.each(
            lambda raw: {
                "rows": self._row(raw.values["values"]),
                "target": np.asarray(float(raw.values["label"]), np.float32),
            },
            samples,
        )

    def _row(self, values: Any) -> NDArray[np.float32]:
        row = np.asarray(values, np.float32)
        if row.shape != (self.columns,):
            raise SampleError("a row of another length", got=row.shape, expected=f"{self.columns} numbers")
        return row

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        return {"rows": self._row(item)}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        return items.of(document, "row", "rows")

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        rows = np.stack([sample["rows"] for sample in samples])  # (N, C)
        return [{"value": value} for value in run("model", {"rows": rows})["value"].tolist()]

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        row = {"type": "array", "items": {"type": "number"}, "minItems": self.columns, "maxItems": self.columns}
        value = {"type": "object", "properties": {"value": {"type": "number"}}, "required": ["value"]}
        return EndpointSchema("row", "rows", (), row, value, "json", "Estimate a number")


class Regression(TaskDefaults):
    """The half without state."""

    name: ClassVar[str] = NAME
    fields: ClassVar[dict[str, FieldKind]] = {"values": "numbers", "label": "text"}
    payload_field: ClassVar[str] = ""
    settings: ClassVar[type[Strict]] = RegressionSettings
    input_type: ClassVar[type[InputSpec]] = RowInput
    output_type: ClassVar[type[OutputSpec]] = NumberOutput
    objective: ClassVar[str] = "tests.regression_task.network:SquaredError"
    scorer: ClassVar[str] = "tests.regression_task.scoring:SCORER"
    metrics: ClassVar[dict[str, Metric]] = {"mse": Metric(False, "mean squared error")}
    libraries: ClassVar[tuple[str, ...]] = ()
    raw_columns: ClassVar[tuple[str, ...]] = ("columns", "target")
    prepared_columns: ClassVar[tuple[str, ...]] = ("target",)
    starting_model: ClassVar[dict[str, Any]] = {"family": "custom", "factory": "tests.regression_task.network:build"}
    max_batch_size: ClassVar[int] = 16

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        return {"columns": int(max(profile.numbers("columns")))}

    def content(self, values: Values) -> bytes:
        return bytes(values["values"].tobytes())

    def labels(self, values: Values) -> list[str]:
        return []

    def strata(self, values: Values) -> list[str]:
        return []

    def describe(self, values: Values) -> dict[str, object]:
        return {"columns": len(values["values"]), "target": float(values["label"])}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        return {"target": batch["target"]}

    def preview(self, values: Values) -> bytes | str:
        return f"{values['values'].tolist()}: {values['label']}"

    def decode(self, values: Values, settings: Any) -> Arrays:
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        return self.content(values)

    def fit(self, settings: Any, train: Iterator[RawSample], classes: Sequence[str]) -> RegressionProcessor:
        table = np.asarray([[*raw.values["values"], float(raw.values["label"])] for raw in train])  # (N, C + 1)
        mean, std = table.mean(axis=0).tolist(), table.std(axis=0).tolist()
        return RegressionProcessor(
            columns=settings.columns, mean=mean[:-1], std=std[:-1], target_mean=mean[-1], target_std=std[-1]
        )

    def example(self, values: Values) -> Example:
        body = json.dumps({"row": values["values"].tolist()})
        return Example(body.encode(), "application/json", ".json", values["label"])

    def load(self, folder: Path) -> RegressionProcessor:
        return RegressionProcessor.load(folder)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        return abs(ours["value"] - theirs["value"]) <= 1e-3 * max(1.0, abs(ours["value"]))


TASK = Regression()
