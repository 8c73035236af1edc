"""Regression on rows of a table: numbers and categories -> one number.

Legend: N samples, F columns of numbers, G columns of categories.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks import regression, table_processor
from components.tasks.regression import Target
from components.tasks.table_processor import TableProcessor, TabularSettings
from components.tasks.tabular import TableTask
from components.tasks.task import EndpointSchema, Example, FieldKind, Prediction, RawSample, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.ingestion.row_columns import Categories, RowColumns
    from components.tasks.rows_by_column import TrainColumns
    from components.tasks.task import Arrays, RunGraph


class TabularRegressionProcessor(TableProcessor, regression.NumberProcessor):
    """The fitted columns and the statistics of the target."""

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Rows and scaled targets."""
        return self.with_targets(self.rows([table_processor.row_of(raw) for raw in samples]), samples)

    def encode_columns(self, rows: RowColumns, labels: Categories | None, targets: NDArray[Any] | None) -> Arrays:
        """`encode` of all samples at once, as a batch (N, ...)."""
        import numpy as np

        if targets is None:
            raise SampleError("no target")
        scaled = (targets[:, None] - self.target.mean) / self.target.std
        return {**self.columns(rows), "target": scaled.astype(np.float32)}

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The number in the target's units, and the columns whose category train does not know."""
        return self.with_unknown(super().answer(run, samples, classes, parameters), samples)

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Rows to numbers."""
        return EndpointSchema(
            item="row",
            items="rows",
            media=(),
            schema=self.row_schema(),
            prediction=self.prediction_schema(regression.schema()),
            form="json",
            summary="Estimate a number from rows of a table",
        )


class TabularRegression(TableTask, regression.OneNumber):
    """The half without state."""

    name: ClassVar[str] = "tabular-regression"
    fields: ClassVar[dict[str, FieldKind]] = {"row": "json", "target": "numbers"}
    rows_by_column: ClassVar[bool] = True
    raw_columns: ClassVar[tuple[str, ...]] = ("missing", "target")
    prepared_columns: ClassVar[tuple[str, ...]] = ("target", *table_processor.PREPARED_COLUMNS)
    target_columns: ClassVar[frozenset[str]] = frozenset({"target"})

    def describe(self, values: Values) -> dict[str, object]:
        """As of every row, and the target."""
        described = super().describe(values)
        return {"missing": described.pop("missing"), "target": float(values["target"][0]), **described}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """The scaled target, unknown categories, missing values, largest scaled number."""
        return {"target": batch["target"][:, 0], **table_processor.describe_prepared(batch)}

    def fit(
        self, settings: TabularSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> TabularRegressionProcessor:
        """Fit the columns and the target."""
        targets: list[float] = []
        rows = map(table_processor.row_of, regression.collecting(train, targets))
        numbers, categories = table_processor.columns_of(settings, rows)
        return TabularRegressionProcessor(
            **settings.model_dump(), numbers=numbers, categories=categories, target=Target.fit(targets)
        )

    def fit_columns(self, settings: TabularSettings, train: TrainColumns) -> TabularRegressionProcessor:
        """`fit` on whole columns."""
        numbers, categories = table_processor.fit_columns(settings, train.numbers, train.categories)
        return TabularRegressionProcessor(
            **settings.model_dump(), numbers=numbers, categories=categories, target=Target.of(train.targets)
        )

    def example(self, values: Values) -> Example:
        """The row as a JSON request."""
        return self.request(values, regression.truth_of(values))

    def load(self, folder: Path) -> TabularRegressionProcessor:
        """Read processor.json."""
        return TabularRegressionProcessor.load(folder)


TASK = TabularRegression()
