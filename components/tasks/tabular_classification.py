"""Classification of rows of a table: numbers and categories -> one of K classes.

Legend: N samples, F columns of numbers, G columns of categories, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ClassesOutput
from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks import classification, items, table_processor
from components.tasks.table_processor import TableProcessor, TabularSettings
from components.tasks.tabular import TableTask
from components.tasks.task import EndpointSchema, Example, FieldKind, Prediction, RawSample, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.ingestion.row_columns import Categories, RowColumns
    from components.tasks.rows_by_column import TrainColumns
    from components.tasks.task import Arrays, RunGraph


class TabularClassificationProcessor(TableProcessor):
    """The fitted columns and the classes."""

    classes: list[str]

    def output_spec(self) -> ClassesOutput:
        """Logits (N, K)."""
        return ClassesOutput(classes=len(self.classes))

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`numbers` float32 (F,), `categories` int64 (G,), `labels` int64 ()."""
        return *self.input_arrays(), classification.LABELS

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Rows and label numbers."""
        import numpy as np

        labels = items.each(lambda raw: classification.number(raw.values["label"], self.classes), samples)
        rows = self.rows([table_processor.row_of(raw) for raw in samples])
        return [{**row, "labels": np.asarray(label, np.int64)} for row, label in zip(rows, labels, strict=True)]

    def encode_columns(self, rows: RowColumns, labels: Categories | None, targets: NDArray[Any] | None) -> Arrays:
        """`encode` of all samples at once, as a batch (N, ...)."""
        import numpy as np

        if labels is None:
            raise SampleError("no label")
        places = [classification.number(name, self.classes) for name in labels.names]
        return {**self.columns(rows), "labels": np.array(places, np.int64)[labels.numbers]}

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The likeliest class, the probability of each class, and the columns whose category train does not know."""
        probabilities = table_processor.answer(self, run, samples)["probabilities"]
        return self.with_unknown(classification.predictions(probabilities, classes), samples)

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Rows to labels."""
        return EndpointSchema(
            item="row",
            items="rows",
            media=(),
            schema=self.row_schema(),
            prediction=self.prediction_schema(classification.schema(classes)),
            form="json",
            summary="Classify rows of a table",
        )


class TabularClassification(TableTask, classification.OneClass):
    """The half without state."""

    name: ClassVar[str] = "tabular-classification"
    fields: ClassVar[dict[str, FieldKind]] = {"row": "json", "label": "text"}
    rows_by_column: ClassVar[bool] = True
    prepared_columns: ClassVar[tuple[str, ...]] = ("class_number", *table_processor.PREPARED_COLUMNS)

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Class number, unknown categories, missing values, largest scaled number."""
        return {"class_number": batch["labels"], **table_processor.describe_prepared(batch)}

    def fit(
        self, settings: TabularSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> TabularClassificationProcessor:
        """Fit the columns."""
        numbers, categories = table_processor.columns_of(settings, map(table_processor.row_of, train))
        return TabularClassificationProcessor(
            **settings.model_dump(), numbers=numbers, categories=categories, classes=list(classes)
        )

    def fit_columns(self, settings: TabularSettings, train: TrainColumns) -> TabularClassificationProcessor:
        """`fit` on whole columns."""
        numbers, categories = table_processor.fit_columns(settings, train.numbers, train.categories)
        return TabularClassificationProcessor(
            **settings.model_dump(), numbers=numbers, categories=categories, classes=list(train.classes)
        )

    def example(self, values: Values) -> Example:
        """The row as a JSON request."""
        return self.request(values, values["label"])

    def load(self, folder: Path) -> TabularClassificationProcessor:
        """Read processor.json."""
        return TabularClassificationProcessor.load(folder)


TASK = TabularClassification()
