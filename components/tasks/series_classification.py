"""Series classification: values in time -> one of K classes.

Legend: N samples, T steps, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from components.contracts.shapes import InputSpec, SeriesInput
from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks import classification, items
from components.tasks.series_processor import PREPARED_COLUMNS, SeriesClassifier, describe_prepared
from components.tasks.task import EndpointSchema, Example, FieldKind, RawSample, Values
from components.tasks.task_defaults import Layout, SourceProfile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays


class SeriesClassificationSettings(Strict):
    """Sizes of the series.

    Args:
        channels: values of each step; `values` of a sample are its steps, concatenated.
        max_length: largest number of steps of a series.
        fixed: whether every series has exactly `max_length` steps.
        instance_norm: whether the network normalises each series by its own mean and standard deviation.
    """

    channels: int = Field(default=1, ge=1, le=4096)
    max_length: int = Field(default=1024, ge=1, le=1_000_000)
    fixed: bool = False
    instance_norm: bool = False

    def series(self, item: Any) -> NDArray[Any]:
        """Read a series as float32 (T, C).

        Raises:
            SampleError: the item is no series, or has another size.
        """
        import numpy as np

        from components.preprocessing import series

        values = series.read(item, self.channels)
        if len(values) > self.max_length or (self.fixed and len(values) != self.max_length):
            expected = f"{'exactly' if self.fixed else 'at most'} {self.max_length} steps"
            next_step = "another `max_length:` under `input:` of dataset.yaml, and a training"
            raise SampleError("the series has another length", got=len(values), expected=expected, next_step=next_step)
        return values.astype(np.float32)


class SeriesClassificationProcessor(SeriesClassifier, SeriesClassificationSettings):
    """Sizes of the series, with the statistics of each channel over the train split and the classes."""

    def input_spec(self) -> SeriesInput:
        """Series (N, T, C) and their lengths."""
        return self.shaped(self.max_length, fixed=self.fixed, instance_norm=self.instance_norm)

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Series and label numbers."""
        return self.labelled(items.each(lambda raw: self.series(raw.values["values"]), samples), samples)

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """T numbers, T lists of C numbers, or CSV."""
        return {"series": self.series(item)}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `values` or `series`."""
        return items.of(document, "values", "series")

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Series to labels."""
        number: dict[str, Any] = {"type": "number"}
        step = {"type": "array", "items": number, "minItems": self.channels, "maxItems": self.channels}
        length = {"minItems": self.max_length if self.fixed else 1, "maxItems": self.max_length}
        return EndpointSchema(
            item="values",
            items="series",
            media=("text/csv", "application/octet-stream"),
            schema={
                "description": f"steps of {self.channels} channels; or CSV, one step a row",
                "anyOf": [
                    {"type": "array", "items": step, **length},
                    *([{"type": "array", "items": number, **length}] if self.channels == 1 else []),
                    {"type": "string"},
                ],
            },
            prediction=classification.schema(classes),
            form="json",
            summary="Classify series",
        )


class SeriesClassification(classification.OneClass):
    """The half without state."""

    name: ClassVar[str] = "series-classification"
    fields: ClassVar[dict[str, FieldKind]] = {"values": "numbers", "label": "text"}
    payload_field: ClassVar[str] = ""
    settings: ClassVar[type[Strict]] = SeriesClassificationSettings
    input_type: ClassVar[type[InputSpec]] = SeriesInput
    libraries: ClassVar[tuple[str, ...]] = ()
    raw_columns: ClassVar[tuple[str, ...]] = ("steps", "finite", "minimum", "maximum", "mean", "standard_deviation")
    prepared_columns: ClassVar[tuple[str, ...]] = PREPARED_COLUMNS
    starting_model: ClassVar[dict[str, Any]] = {"family": "cnn", "name": "series-cnn"}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "cnn": {"name": "series-cnn"},
        "rnn": {"name": "gru", "bidirectional": True, "pooling": "max"},
        "transformer": {"name": "encoder"},
    }

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """One channel; the length of the longest series."""
        steps = profile.numbers("steps")
        return {"channels": 1, "max_length": int(max(steps)), "fixed": min(steps) == max(steps)}

    def content(self, values: Values) -> bytes:
        """The values' bytes."""
        return bytes(values["values"].tobytes())

    def describe(self, values: Values) -> dict[str, object]:
        """Number of values (of all channels), whether all are finite, and their range."""
        from components.preprocessing import series

        return series.describe(values["values"])

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Class number, steps, minimum, maximum and mean value."""
        return describe_prepared(batch)

    def preview(self, values: Values) -> bytes | str:
        """The first values as text."""
        first = ", ".join(f"{value:g}" for value in values["values"][:8].tolist())
        return f"{len(values['values'])} values: {first}, ..."

    def decode(self, values: Values, settings: SeriesClassificationSettings) -> Arrays:
        """Nothing to decode."""
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The values."""
        return self.content(values)

    def fit(
        self, settings: SeriesClassificationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> SeriesClassificationProcessor:
        """Mean and standard deviation of each channel."""
        from components.preprocessing.series import SeriesStatistics

        statistics = SeriesStatistics()
        for raw in train:
            statistics.add(settings.series(raw.values["values"]))
        mean, std = statistics.result()
        return SeriesClassificationProcessor(**settings.model_dump(), mean=mean, std=std, classes=list(classes))

    def example(self, values: Values) -> Example:
        """CSV, one value a row: the steps, concatenated."""
        from components.preprocessing import series

        return Example(series.to_csv(values["values"][:, None]).encode(), "text/csv", ".csv", values["label"])

    def load(self, folder: Path) -> SeriesClassificationProcessor:
        """Read processor.json."""
        return SeriesClassificationProcessor.load(folder)


TASK = SeriesClassification()
