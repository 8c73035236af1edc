"""Forecasting: the last rows of a table of numbers -> the next rows, with quantiles.

Legend: N samples, L rows of the look-back, H rows ahead, C channels, Q quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ForecastOutput, InputSpec, OutputSpec, SeriesInput
from components.core.errors import SampleError, UsageError
from components.core.strict import Strict
from components.tasks import forecast_windows, items
from components.tasks.processor import BaseProcessor
from components.tasks.task import (
    EndpointSchema,
    Example,
    FieldKind,
    Metric,
    Prediction,
    RawSample,
    ValidationMetric,
    Values,
)
from components.tasks.task_defaults import TRAIN_SHARE, VALIDATION_SHARE, Layout, SourceProfile, TaskDefaults

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph

_TABLE = "values"


class ForecastingSettings(Strict):
    """Look-back, horizon, quantiles and channels.

    Args:
        look_back, horizon: number of rows of the input and of the forecast.
        quantiles: levels of the quantiles, rising; 0.5 is the point forecast. [0.5] for a point forecast alone.
        channels: names of the channels, in the order of the source's columns; default: numbers.
    """

    look_back: int = Field(default=336, ge=1, le=100_000)
    horizon: int = Field(default=96, ge=1, le=10_000)
    quantiles: list[float] = Field(default=[0.1, 0.5, 0.9])
    channels: list[str] = Field(default=[])

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if sorted(set(self.quantiles)) != self.quantiles or not all(0 < level < 1 for level in self.quantiles):
            raise ValueError("quantiles must rise strictly between 0 and 1")
        if 0.5 not in self.quantiles:
            raise ValueError("quantiles must include 0.5, the point forecast")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError("two channels have the same name")
        return self


class ForecastingProcessor(BaseProcessor, ForecastingSettings):
    """Standardisation by the statistics of the train split.

    Args:
        mean, std: of each channel; stored arrays and network inputs are (value - mean) / std.
    """

    mean: list[float]
    std: list[float]

    def input_spec(self) -> SeriesInput:
        """Rows (N, L, C), already standardised."""
        count = len(self.mean)
        return SeriesInput(
            channels=count, max_length=self.look_back, mean=[0.0] * count, std=[1.0] * count, fixed=True
        )  # fmt: skip

    def output_spec(self) -> ForecastOutput:
        """Values (N, H, C, Q), standardised."""
        return ForecastOutput(horizon=self.horizon, channels=len(self.mean), quantiles=self.quantiles)

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`past` (L, C) and `future` (H, C) of the table `values`, float32."""
        end = self.look_back + self.horizon
        shape = (len(self.mean),)
        return (
            ArraySpec(name="past", type="float32", shape=shape, layout="window", of=_TABLE, stop=self.look_back),
            ArraySpec(
                name="future", type="float32", shape=shape, layout="window", of=_TABLE, start=self.look_back, stop=end
            ),
        )

    def inputs(self) -> tuple[str, ...]:
        """The rows of the look-back."""
        return ("past",)

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Rows of the table: `values` float32 (C,), standardised."""
        return [
            {_TABLE: self.standardised(row)[0]} for row in items.each(lambda raw: self._row(raw.values), samples)
        ]  # fmt: skip

    def standardised(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values in their own units (T, C) to standardised float32 (T, C)."""
        import numpy as np

        result: NDArray[np.float32] = ((values - np.asarray(self.mean)) / np.asarray(self.std)).astype(np.float32)
        return result

    def _row(self, values: Values) -> NDArray[Any]:
        from components.preprocessing import series

        row = values["values"][None]  # (1, C)
        if row.shape[1] != len(self.mean):
            raise SampleError("the row has another number of columns", got=row.shape[1], expected=len(self.mean))
        return series.finite(row)

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """The last L rows: lists of C numbers, or CSV."""
        from components.preprocessing import series

        values = series.read(item, len(self.mean))
        if len(values) != self.look_back:
            raise SampleError("the number of rows differs", got=len(values), expected=f"exactly {self.look_back} rows")
        return {"past": self.standardised(values)}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `values` or `series`."""
        return items.of(document, "values", "series")

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The next rows and their quantiles, in the values' own units."""
        import numpy as np

        past = np.stack([sample["past"] for sample in samples])  # (N, L, C)
        values = run("model", {"past": past})["values"].astype(np.float64)  # (N, H, C, Q)
        levels = np.sort(values, axis=-1)  # sorts crossing quantiles
        forecasts = levels * np.asarray(self.std)[:, None] + np.asarray(self.mean)[:, None]
        return [self._prediction(forecast) for forecast in forecasts]

    def _prediction(self, values: NDArray[Any]) -> Prediction:
        """The prediction for values (H, C, Q)."""
        names = [f"{level:g}" for level in self.quantiles]
        return {
            "values": values[..., self.quantiles.index(0.5)].tolist(),
            "quantiles": {name: values[..., index].tolist() for index, name in enumerate(names)},
            "channels": self.names(),
        }

    def names(self) -> list[str]:
        """Names of the channels."""
        return self.channels or [str(number) for number in range(len(self.mean))]

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Last rows to next rows."""
        count, number = len(self.mean), {"type": "number"}
        row = {"type": "array", "items": number, "minItems": count, "maxItems": count}
        rows = {"type": "array", "items": row, "minItems": self.horizon, "maxItems": self.horizon}
        past = {"type": "array", "items": row, "minItems": self.look_back, "maxItems": self.look_back}
        levels = [f"{level:g}" for level in self.quantiles]
        description = f"the last {self.look_back} rows of {', '.join(self.names())}; or CSV"
        return EndpointSchema(
            item="values",
            items="series",
            media=("text/csv", "application/octet-stream"),
            schema={"description": description, "anyOf": [past, {"type": "string"}]},
            prediction={
                "type": "object",
                "properties": {
                    "values": rows,
                    "quantiles": {
                        "type": "object", "properties": dict.fromkeys(levels, rows), "required": levels,
                        "additionalProperties": False,
                    },
                    "channels": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["values", "quantiles", "channels"],
                "additionalProperties": False,
            },
            form="json",
            summary=f"Forecast the next {self.horizon} rows",
        )  # fmt: skip


class Forecasting(TaskDefaults):
    """The half without state."""

    name: ClassVar[str] = "forecasting"
    fields: ClassVar[dict[str, FieldKind]] = {"time": "text", "values": "numbers"}
    payload_field: ClassVar[str] = ""
    settings: ClassVar[type[Strict]] = ForecastingSettings
    input_type: ClassVar[type[InputSpec]] = SeriesInput
    output_type: ClassVar[type[OutputSpec]] = ForecastOutput
    objective: ClassVar[str] = "components.training.objectives.forecasting:ForecastingObjective"
    validation_metric: ClassVar[ValidationMetric] = ValidationMetric("mse", higher_is_better=False)
    scorer: ClassVar[str] = "components.evaluation.forecasting:SCORER"
    metrics: ClassVar[dict[str, Metric]] = {
        "mse": Metric(False, "mean squared error of standardised values"),
        "mae": Metric(False, "mean absolute error of standardised values"),
        "pinball": Metric(False, "mean pinball loss of the quantiles, of standardised values"),
    }
    libraries: ClassVar[tuple[str, ...]] = ()
    raw_columns: ClassVar[tuple[str, ...]] = (
        "time_seconds", "steps", "finite", "minimum", "maximum", "mean", "standard_deviation",
    )  # fmt: skip
    prepared_columns: ClassVar[tuple[str, ...]] = ("minimum", "maximum", "mean", "future_mean")
    target_columns: ClassVar[frozenset[str]] = frozenset({"future_mean"})
    starting_model: ClassVar[dict[str, Any]] = {"family": "linear", "name": "dlinear", "instance_norm": True}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "rnn": {"name": "gru"},
        "transformer": {"name": "patchtst"},
        "linear": {"name": "dlinear", "instance_norm": True},
    }

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """Windows by the season of the rows and their number; all columns of the table."""
        period = forecast_windows.season(profile.numbers("time_seconds"))
        look_back, horizon = forecast_windows.sizes(profile.samples, period)
        return {"look_back": look_back, "horizon": horizon, "channels": list(layout["values"])}

    def draft_split(self, profile: SourceProfile) -> dict[str, Any]:
        """Rows in the order of time."""
        train, validation = int(TRAIN_SHARE * profile.samples), int(VALIDATION_SHARE * profile.samples)
        test = profile.samples - train - validation
        return {"by": "time", "rows": {"train": train, "validation": validation, "test": test}}

    def draft_training(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """A linear model takes large steps; the weight decay keeps the weights of few windows small."""
        return {**super().draft_training(samples, settings), "learning_rate": 1e-2, "weight_decay": 0.3}

    def draft_candidates(self, samples: int, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The linear model and one of each other family, which takes the usual steps."""
        drafted, *others = super().draft_candidates(samples, settings)
        usual = super().draft_training(samples, settings)
        return [drafted, *({**other, "train": usual} for other in others)]

    def content(self, values: Values) -> bytes:
        """Time and values."""
        return str(values["time"]).encode() + b"\0" + bytes(values["values"].tobytes())

    def labels(self, values: Values) -> list[str]:
        """No labels."""
        return []

    def strata(self, values: Values) -> list[str]:
        """There are none: the split is by time."""
        return []

    def describe(self, values: Values) -> dict[str, object]:
        """The time in seconds since 1970 (NaN if it cannot be read); facts about the values."""
        from components.preprocessing import series

        return {"time_seconds": _seconds(values["time"]), **series.describe(values["values"])}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Minimum, maximum and mean of the look-back, mean of the values ahead; standardised."""
        past, future = batch["past"], batch["future"]  # (N, L, C), (N, H, C)
        return {
            "minimum": past.min(axis=(1, 2)),
            "maximum": past.max(axis=(1, 2)),
            "mean": past.mean(axis=(1, 2)),
            "future_mean": future.mean(axis=(1, 2)),
        }

    def preview(self, values: Values) -> bytes | str:
        """Time and values."""
        return f"{values['time']}: {', '.join(f'{value:g}' for value in values['values'].tolist())}"

    def decode(self, values: Values, settings: ForecastingSettings) -> Arrays:
        """Nothing to decode."""
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """Time and values."""
        return self.content(values)

    def fit(
        self, settings: ForecastingSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> ForecastingProcessor:
        """Mean and standard deviation of each channel over the train rows.

        Raises:
            UsageError: the number of names in `channels` is not the number of columns.
        """
        from components.preprocessing import series

        statistics = series.SeriesStatistics()
        for row in train:
            statistics.add(series.finite(row.values["values"][None]))
        mean, std = statistics.result()
        if settings.channels and len(settings.channels) != len(mean):
            got = ", ".join(settings.channels)
            raise UsageError("the number of channel names is not the number of columns", got=got, expected=len(mean))
        return ForecastingProcessor(**settings.model_dump(), mean=mean, std=std)

    def example(self, values: Values) -> Example:
        """A window of one row; golden examples are made by `window_example`."""
        return self.window_example([values], 1)

    def window_example(self, rows: list[Values], look_back: int) -> Example:
        """The first `look_back` rows of a window as CSV; the truth is the next row as text."""
        import numpy as np

        from components.preprocessing import series

        past = np.stack([row["values"] for row in rows[:look_back]])  # (L, C)
        truth = self.preview(rows[look_back]) if len(rows) > look_back else ""
        return Example(series.to_csv(past).encode(), "text/csv", ".csv", str(truth))

    def load(self, folder: Path) -> ForecastingProcessor:
        """Read processor.json."""
        return ForecastingProcessor.load(folder)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether all values agree within 0.1 % of the largest value."""
        import numpy as np

        one, other = np.asarray(ours["values"]), np.asarray(theirs["values"])
        return one.shape == other.shape and bool(np.abs(one - other).max() <= 1e-3 * max(np.abs(one).max(), 1e-12))


def _seconds(time: object) -> float:
    """Seconds since 1970, UTC if the time names no zone; NaN if it cannot be read. Ingestion lets no such time pass."""
    from components.ingestion import times

    parsed = times.parse(str(time))
    return math.nan if parsed is None else times.seconds(parsed)


TASK = Forecasting()
