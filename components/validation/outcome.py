"""What Great Expectations finds of expectations on a data frame, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import great_expectations as gx
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig
from pydantic import BaseModel, ConfigDict

from components.validation.verdict import MAX_FAILING

# Of expectations on the columns that they name, or on the number of rows.
_OF_COLUMNS = ("expect_column_", "expect_compound_columns_", "expect_multicolumn_", "expect_select_column_",
               "expect_table_row_count_")  # fmt: skip
COLUMN_KEYS = ("column", "column_A", "column_B", "column_list", "column_set")


class ExpectationSpec(BaseModel):
    """One expectation: type and arguments of Great Expectations, and a description."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    type: str
    kwargs: dict[str, Any] = {}
    description: str = ""
    meta: dict[str, Any] = {}

    def columns(self) -> list[str] | None:
        """Names of the columns that are judged; None if it may be any."""
        if not self.type.startswith(_OF_COLUMNS) or self.kwargs.keys() & {"row_condition", "column_index"}:
            return None
        named = [self.kwargs.get(key) or [] for key in COLUMN_KEYS]
        return [name for names in named for name in ([names] if isinstance(names, str) else names)]


class Outcome(NamedTuple):
    """The outcome of one expectation.

    Args:
        details: counts, failing rows with their ids and values, an observed value, as far as there are such.
        error: why it could not be evaluated; None if it was.
    """

    success: bool
    details: dict[str, Any]
    error: str | None


def judge(part: str, expectations: Mapping[int, ExpectationSpec], table: pd.DataFrame) -> dict[int, Outcome]:
    """Judge a table with a column `id`.

    Args:
        part: name of the suite.
        expectations: by a number, by which the result names them.
    """
    if not expectations:
        return {}
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("table").add_dataframe_asset(part)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": _named(expectations, table)})
    # GX drops repeated expectations: a position makes each of them unique, and names its result.
    configurations = [
        {"type": item.type, "kwargs": item.kwargs, "meta": {"position": position}}
        for position, item in expectations.items()
    ]
    outcome = batch.validate(
        gx.ExpectationSuite(name=part, expectations=configurations),
        result_format={
            "result_format": "SUMMARY",
            "unexpected_index_column_names": ["id"],
            "partial_unexpected_count": MAX_FAILING,
        },
    )
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
        columns = one.columns()
        if columns is None:
            return table
        names.update(columns)
    return table[[name for name in table.columns if name in names]]


def _error(information: Any) -> str | None:
    entries = [information] if information and "raised_exception" in information else list((information or {}).values())
    messages = [str(entry["exception_message"]) for entry in entries if entry["raised_exception"]]
    return messages[0] if messages else None
