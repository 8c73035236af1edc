"""Common parts of the stateless half of the tasks whose samples are rows of a table.

The field `row` has the values as the source has them: numbers, names of categories, null where there is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from components.contracts.shapes import InputSpec, TableInput
from components.core.strict import Strict
from components.tasks.table_processor import TabularSettings
from components.tasks.task import Example, Values
from components.tasks.task_defaults import Layout, SourceProfile, TaskDefaults

if TYPE_CHECKING:
    from components.tasks.task import Arrays

FEATURE = "row."  # begins the name of a column of the sample table
_STEPS = 3000  # of a drafted training: networks for tables are small and learn slowly
_MANY = 2000  # samples from which a draft counts rare categories as unknown
_RARE = 5
_SMALL = 1000  # samples of train up to which a draft begins with a small network
_SHOWN = 12


class TableTask(TaskDefaults):
    """Base of these tasks."""

    payload_field: ClassVar[str] = ""
    item_field: ClassVar[str] = "row"
    settings: ClassVar[type[Strict]] = TabularSettings
    input_type: ClassVar[type[InputSpec]] = TableInput
    libraries: ClassVar[tuple[str, ...]] = ()
    raw_columns: ClassVar[tuple[str, ...]] = ("missing",)
    starting_model: ClassVar[dict[str, Any]] = {"family": "mlp", "name": "mlp"}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "mlp": {"name": "mlp"},
        "transformer": {"name": "ft-transformer", "depth": 2, "width": 64, "heads": 4},
    }
    max_batch_size: ClassVar[int] = 256
    equal_samples_differ: ClassVar[bool] = True

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """Rare categories of larger tables are unknown; null is accepted where the source has some."""
        settings: dict[str, Any] = {"min_frequency": _RARE if profile.samples >= _MANY else 1}
        columns = [*(layout.get("numbers") or ()), *(layout.get("categories") or ())]
        missing = [name for name in columns if None in profile.values(FEATURE + name)]
        return {**settings, **({"may_be_missing": missing} if missing else {})}

    def draft_notes(self, profile: SourceProfile, settings: Mapping[str, Any]) -> list[str]:
        """Rare categories, and columns with missing values."""
        notes = []
        if settings["min_frequency"] > 1:
            notes.append(
                f"a category of fewer than {settings['min_frequency']} samples of train counts as unknown "
                "(`input.min_frequency`)"
            )
        counts = {
            name: profile.values(FEATURE + name).count(None) for name in settings.get("may_be_missing", ())
        }  # fmt: skip
        if counts:
            named = ", ".join(f"{name} ({count:,})" for name, count in list(counts.items())[:_SHOWN])
            more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
            notes.append(f"columns with missing values, which are marked as such: {named}{more}")
        return notes

    def draft_model(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """For a small table a small network over plain numbers: periodic ones learn it by heart."""
        small = {"numbers": "plain", "width": 64}
        return {**self.starting_model, **(small if samples < _SMALL else {})}

    def draft_training(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """More steps than other tasks, on one thread: a step is small, and threads would wait for each other."""
        drafted = super().draft_training(samples, settings)
        steps = max(1, math.ceil(samples / drafted["batch_size"]))
        epochs = max(drafted["epochs"], min(100, math.ceil(_STEPS / steps)))
        return {**drafted, "epochs": epochs, "weight_decay": 0.1 if samples < _SMALL else 0.01, "threads": 1}

    def content(self, values: Values) -> bytes:
        """The row as JSON, by the names of its columns."""
        return json.dumps(values["row"], ensure_ascii=False, sort_keys=True).encode()

    def describe(self, values: Values) -> dict[str, object]:
        """The number of missing values; each value as a column `row.<name>`, numbers as floats."""
        row = values["row"]
        features = {
            FEATURE + name: float(value) if isinstance(value, int | float) else value for name, value in row.items()
        }
        return {"missing": sum(value is None for value in row.values()), **features}

    def preview(self, values: Values) -> bytes | str:
        """The first values with their names."""
        row = list(values["row"].items())
        shown = ", ".join(f"{name} {'-' if value is None else value}" for name, value in row[:_SHOWN])
        return shown + (", ..." if len(row) > _SHOWN else "")

    def decode(self, values: Values, settings: TabularSettings) -> Arrays:
        """Nothing to decode."""
        return {}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The row."""
        return self.content(values)

    def request(self, values: Values, truth: str) -> Example:
        """The row as a JSON request."""
        body = json.dumps({"row": values["row"]}, ensure_ascii=False)
        return Example(body.encode(), "application/json", ".json", truth)
