"""A task of anyone's, as small as it can be: windows of a table, two rows to look back on, one ahead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ForecastOutput, SeriesInput
from components.core.strict import Strict
from components.preprocessing.batch import Arrays
from components.tasks.processor import BaseProcessor
from components.tasks.task import Example, RawSample, Values


class Settings(Strict):
    """Nothing to set."""


class Processor(BaseProcessor):
    """Knows how many rows it was fitted on, and the largest of them."""

    rows: int
    largest: float

    def arrays(self) -> tuple[ArraySpec, ...]:
        return (
            ArraySpec(name="seen", type="float32", shape=(1,), layout="window", of="rows", start=0, stop=2),
            ArraySpec(name="ahead", type="float32", shape=(1,), layout="window", of="rows", start=2, stop=3),
        )

    def inputs(self) -> tuple[str, ...]:
        return ("seen",)

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        return [{"rows": raw.values["values"].astype(np.float32)} for raw in samples]


class Windows:
    name = "windows"
    fields = {"values": "numbers"}  # noqa: RUF012  # a protocol's attribute
    payload_field = ""
    settings = Settings
    input_type = SeriesInput
    output_type = ForecastOutput
    raw_columns = ("first",)
    prepared_columns = ("value",)

    def content(self, values: Values) -> bytes:
        return bytes(values["values"].tobytes())

    def labels(self, values: Values) -> list[str]:
        return []

    def strata(self, values: Values) -> list[str]:
        return []

    def describe(self, values: Values) -> dict[str, object]:
        return {"first": float(values["values"][0])}

    def describe_prepared(self, batch: Arrays) -> Arrays:
        return {"value": batch["seen"][:, 0, 0]}

    def preview(self, values: Values) -> str:
        return str(values["values"])

    def decode(self, values: Values, settings: Settings) -> Arrays:
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        return self.content(values)

    def fit(self, settings: Settings, train: Iterator[RawSample], classes: Sequence[str]) -> Processor:
        seen = [float(raw.values["values"][0]) for raw in train]
        return Processor(rows=len(seen), largest=max(seen))

    def window_example(self, rows: list[Values], look_back: int) -> Example:
        seen: list[Any] = [row["values"].tolist() for row in rows]
        return Example(json.dumps(seen[:look_back]).encode(), "application/json", ".json", str(seen[look_back]))

    def load(self, folder: Any) -> Processor:
        return Processor.load(folder)


TASK = Windows()
