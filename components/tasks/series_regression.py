"""Regression on series: values in time -> one number. Series and requests are those of series classification.

Legend: N samples, T steps, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from components.contracts.array_spec import ArraySpec
from components.tasks import items, regression
from components.tasks.regression import OneNumber, Target
from components.tasks.series_classification import (
    SeriesClassification,
    SeriesClassificationProcessor,
    SeriesClassificationSettings,
)
from components.tasks.task import EndpointSchema, Example, FieldKind, RawSample, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays


class SeriesRegressionProcessor(  # type: ignore[misc]  # it gives a number where its base gives classes
    regression.NumberProcessor, SeriesClassificationProcessor
):
    """Sizes of the series, with the statistics of each channel and of the target."""

    classes: list[str] = Field(default=[])

    def input_arrays(self) -> tuple[ArraySpec, ...]:
        """`series` float32 (T, C)."""
        return (ArraySpec(name="series", type="float32", shape=(len(self.mean),), layout="ragged"),)

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Series and scaled targets."""
        series = items.each(lambda raw: self.series(raw.values["values"]), samples)
        return self.with_targets([{"series": values} for values in series], samples)

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Series to numbers."""
        wire = super().endpoint(classes)
        return wire._replace(prediction=regression.schema(), summary="Estimate a number from series")


class SeriesRegression(OneNumber, SeriesClassification):
    """The half without state."""

    name: ClassVar[str] = "series-regression"
    fields: ClassVar[dict[str, FieldKind]] = {"values": "numbers", "target": "numbers"}
    raw_columns: ClassVar[tuple[str, ...]] = ("target", *SeriesClassification.raw_columns)
    prepared_columns: ClassVar[tuple[str, ...]] = ("target", "steps", "minimum", "maximum", "mean")
    target_columns: ClassVar[frozenset[str]] = frozenset({"target"})

    def describe(self, values: Values) -> dict[str, object]:
        """The target; number of values, whether all are finite, and their range."""
        return {"target": float(values["target"][0]), **super().describe(values)}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """The scaled target, steps, minimum, maximum and mean value."""
        described = super().describe_prepared({**batch, "labels": batch["target"][:, 0]})
        return {"target": described.pop("class_number"), **described}

    def fit(
        self, settings: SeriesClassificationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> SeriesRegressionProcessor:
        """Mean and standard deviation of each channel, and of the target."""
        targets: list[float] = []
        fitted = super().fit(settings, regression.collecting(train, targets), [])
        return SeriesRegressionProcessor(**fitted.model_dump(), target=Target.fit(targets))

    def example(self, values: Values) -> Example:
        """CSV, one value a row."""
        return super().example({**values, "label": regression.truth_of(values)})

    def load(self, folder: Path) -> SeriesRegressionProcessor:
        """Read processor.json."""
        return SeriesRegressionProcessor.load(folder)


TASK = SeriesRegression()
