"""What Great Expectations finds of expectations on a data frame, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from pydantic import BaseModel, ConfigDict

from components.validation.verdict import MAX_FAILING

# Of expectations on the columns that they name, or on the number of rows.
_OF_COLUMNS = ("expect_column_", "expect_compound_columns_", "expect_multicolumn_", "expect_select_column_",
               "expect_table_row_count_")  # fmt: skip
_SOURCE = "table"
_RESULT_FORMAT = {
    "result_format": "SUMMARY",
    "unexpected_index_column_names": ["id"],
    "partial_unexpected_count": MAX_FAILING,
}
COLUMN_KEYS = ("column", "column_A", "column_B", "column_list", "column_set")


class ExpectationSpec(BaseModel):
    """One expectation: type and arguments of Great Expectations, and a description."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    type: str
    kwargs: dict[str, Any] = {}
    description: str = ""
    meta: dict[str, Any] = {}

    def named_columns(self) -> list[str]:
        """The columns that the arguments name."""
        named = [self.kwargs.get(key) or [] for key in COLUMN_KEYS]
        return [name for names in named for name in ([names] if isinstance(names, str) else names)]

    def judged_columns(self) -> list[str] | None:
        """The columns that are judged; None if it may be any."""
        has_more = any(self.kwargs.get(key) is not None for key in ("row_condition", "column_index"))
        if has_more or not self.type.startswith(_OF_COLUMNS):
            return None
        return self.named_columns()


class Outcome(NamedTuple):
    """The outcome of one expectation.

    Args:
        details: counts, failing rows with their ids and values, an observed value, as far as there are such.
        error: why it could not be evaluated; None if it was.
    """

    success: bool
    details: dict[str, Any]
    error: str | None


class Judge:
    """Judges tables of one part.

    A context of Great Expectations makes a folder for temporary files, so there is one for all tables.
    """

    def __init__(self, part: str) -> None:
        import great_expectations as gx  # takes seconds, and many a look of the monitor judges nothing
        from great_expectations.data_context.types.base import ProgressBarsConfig

        self._part = part
        self._gx = gx
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)

    def judge(self, expectations: Mapping[int, ExpectationSpec], table: pd.DataFrame) -> dict[int, Outcome]:
        """Judge a table with a column `id`.

        Args:
            expectations: by a number, by which the result names them.
        """
        if not expectations:
            return {}
        sources = self._context.data_sources
        asset = sources.add_pandas(_SOURCE).add_dataframe_asset(self._part)
        named = _named(expectations, table)
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": named})
        # GX drops repeated expectations: a position makes each of them unique, and names its result.
        configurations = [
            {"type": item.type, "kwargs": item.kwargs, "meta": {"position": position}}
            for position, item in expectations.items()
        ]
        outcome = batch.validate(
            self._gx.ExpectationSuite(name=self._part, expectations=configurations), result_format=_RESULT_FORMAT
        )
        sources.delete(_SOURCE)  # it keeps the table
        return {
            int(item.expectation_config.meta["position"]): Outcome(
                bool(item.success), dict(item.result or {}), _error(item.exception_info)
            )
            for item in outcome.results
        }


def _named(expectations: Mapping[int, ExpectationSpec], table: pd.DataFrame) -> pd.DataFrame:
    """The columns that the expectations name: Great Expectations copies and hashes all that it gets, many times."""
    names = {"id"}
    for one in expectations.values():
        columns = one.judged_columns()
        if columns is None:
            return table
        names.update(columns)
    return table[[name for name in table.columns if name in names]]


def _error(information: Any) -> str | None:
    entries = [information] if information and "raised_exception" in information else list((information or {}).values())
    messages = [str(entry["exception_message"]) for entry in entries if entry["raised_exception"]]
    return messages[0] if messages else None
