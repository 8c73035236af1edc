"""Expectations on a stored table. Great Expectations judges each, on as few rows at a time as its question allows:

- of each row by itself: batch by batch, and the counts are added up;
- unique values: the rows whose value another row may have too;
- different values, smallest and largest value: one row of each;
- the number of rows: rows without columns; names and order of the columns: the first row;
- every other one, one with a condition, and one that Great Expectations cannot evaluate on a part of the table: whole
  columns in memory. Which these are is said.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping

import pandas as pd
import pyarrow as pa

from components.validation import outcome
from components.validation.outcome import ExpectationSpec, Outcome
from components.validation.repeated_values import KEYS, Repeated
from components.validation.stored_table import LARGE, StoredTable
from components.validation.verdict import MAX_FAILING

_OF_ROWS = (
    "expect_column_values_to_be_between", "expect_column_values_to_be_in_set", "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_be_null", "expect_column_values_to_not_be_null", "expect_column_values_to_match_regex",
    "expect_column_values_to_not_match_regex", "expect_column_values_to_match_regex_list",
    "expect_column_values_to_not_match_regex_list", "expect_column_values_to_match_strftime_format",
    "expect_column_values_to_be_dateutil_parseable", "expect_column_values_to_be_json_parseable",
    "expect_column_values_to_match_json_schema", "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal", "expect_column_pair_values_a_to_be_greater_than_b",
    "expect_column_pair_values_to_be_equal", "expect_column_pair_values_to_be_in_set",
    "expect_multicolumn_sum_to_equal", "expect_multicolumn_values_to_be_equal",
    "expect_select_column_values_to_be_unique_within_record",
)  # fmt: skip
_OF_UNIQUE_VALUES = ("expect_column_values_to_be_unique",)
_OF_DISTINCT_VALUES = (
    "expect_column_distinct_values_to_be_in_set", "expect_column_distinct_values_to_contain_set",
    "expect_column_distinct_values_to_equal_set", "expect_column_unique_value_count_to_be_between",
)  # fmt: skip
_OF_EXTREMES = ("expect_column_min_to_be_between", "expect_column_max_to_be_between")
_OF_ROW_COUNT = ("expect_table_row_count_to_be_between", "expect_table_row_count_to_equal")
_OF_COLUMN_NAMES = (
    "expect_table_column_count_to_be_between", "expect_table_column_count_to_equal", "expect_column_to_exist",
    "expect_table_columns_to_match_ordered_list", "expect_table_columns_to_match_set",
)  # fmt: skip


def judge(
    part: str, expectations: Mapping[int, ExpectationSpec], table: StoredTable, say: Callable[[str], None]
) -> dict[int, Outcome]:
    """As `outcome.judge` of the whole table.

    Args:
        say: is told which expectations need whole columns in memory.
    """
    gc.freeze()  # what is there already stays: it need not be looked through after every batch
    try:
        return _judge(part, expectations, table, say)
    finally:
        gc.unfreeze()


def _judge(
    part: str, expectations: Mapping[int, ExpectationSpec], table: StoredTable, say: Callable[[str], None]
) -> dict[int, Outcome]:
    of_rows = {number: one for number, one in expectations.items() if _is(one, _OF_ROWS)}
    found = _by_batch(part, of_rows, table) if of_rows else {}
    for number, one in expectations.items():
        if number not in found and (rows := _few_rows(one, table)) is not None:
            found[number] = outcome.judge(part, {number: one}, rows)[number]
            if _is(one, _OF_UNIQUE_VALUES):
                found[number] = _of_all(found[number], table, str(one.kwargs["column"]))
    for number, one in expectations.items():
        if number not in found or found[number].error is not None:
            columns = one.columns()
            names = table.columns if columns is None else [*dict.fromkeys(["id", *columns])]
            about = "all columns" if columns is None else ", ".join(columns)
            say(f"{one.type} is judged on {len(table):,} rows at once: {about} in memory")
            found[number] = outcome.judge(part, {number: one}, table.frame(names))[number]
            _release()
    return found


def _release() -> None:
    """Give back the memory of what Great Expectations has judged: its objects refer to each other in circles."""
    gc.collect()
    pa.default_memory_pool().release_unused()


def _is(one: ExpectationSpec, types: tuple[str, ...]) -> bool:
    return one.type in types and not one.kwargs.get("row_condition")


def _by_batch(part: str, expectations: dict[int, ExpectationSpec], table: StoredTable) -> dict[int, Outcome]:
    """The sums over the batches; an expectation that has an error in a batch is left out."""
    sums: dict[int, Outcome] = {}
    left = dict(expectations)
    names = {"id", *(name for one in expectations.values() for name in one.columns() or ())}
    for batch in table.batches([name for name in table.columns if name in names]):
        found = outcome.judge(part, left, batch)
        left = {number: one for number, one in left.items() if found[number].error is None}
        sums = {number: _added(one, sums.get(number), found[number]) for number, one in left.items()}
        del found
        _release()
    return sums


def _added(one: ExpectationSpec, before: Outcome | None, new: Outcome) -> Outcome:
    if before is None:
        return new
    details = {**before.details}
    for name in ("element_count", "missing_count", "unexpected_count"):
        if name in details:
            details[name] += new.details[name]
    index = "partial_unexpected_index_list"
    details[index] = [*(details.get(index) or []), *(new.details.get(index) or [])][:MAX_FAILING]
    judged = details["element_count"] - details.get("missing_count", 0)
    share = (judged - details["unexpected_count"]) / judged if judged else 1.0  # as Great Expectations counts it
    mostly = one.kwargs.get("mostly")
    return Outcome(share >= (1 if mostly is None else mostly), details, None)


def _few_rows(one: ExpectationSpec, table: StoredTable) -> pd.DataFrame | None:
    """The rows that decide; None if all do, or more than a table of a few has."""
    if _is(one, _OF_ROW_COUNT):
        return pd.DataFrame({"id": pd.RangeIndex(len(table))})
    if one.type in _OF_COLUMN_NAMES:
        return next(table.batches()).head(1)
    for types, rows_of in (
        (_OF_UNIQUE_VALUES, _repeated_rows), (_OF_DISTINCT_VALUES, _distinct_rows), (_OF_EXTREMES, _extreme_rows)
    ):  # fmt: skip
        if _is(one, types):
            return _joined(rows_of(table, str(one.kwargs["column"])))
    return None


def _joined(parts: Iterator[pd.DataFrame]) -> pd.DataFrame | None:
    found: list[pd.DataFrame] = []
    for part in parts:
        found.append(part.copy())
        if sum(map(len, found)) > LARGE:
            return None
    return pd.concat(found, ignore_index=True)


def _repeated_rows(table: StoredTable, column: str) -> Iterator[pd.DataFrame]:
    """The rows whose value has the hash of another row's, those without a value left out."""
    present = (batch[column].dropna() for batch in table.batches([column]))
    repeated = Repeated.find(present, len(table), KEYS[0])
    for batch in table.batches([*dict.fromkeys(["id", column])]):
        yield batch[(repeated.places(batch[column]) >= 0) & batch[column].notna().to_numpy()]


def _distinct_rows(table: StoredTable, column: str) -> Iterator[pd.DataFrame]:
    """The first row of each value, and of those without."""
    seen = pd.Series(dtype=object)
    for batch in table.batches([*dict.fromkeys(["id", column])]):
        first = batch.drop_duplicates(column)
        first = first[~first[column].isin(seen)]
        seen = first[column] if seen.empty else pd.concat([seen, first[column]])
        yield first


def _extreme_rows(table: StoredTable, column: str) -> Iterator[pd.DataFrame]:
    """Of each batch a row of the smallest value, one of the largest, and one without a value."""
    for batch in table.batches([*dict.fromkeys(["id", column])]):
        present = batch[column].dropna()
        empty = batch[batch[column].isna()].head(1)
        ends = (
            [batch[batch[column] == value].head(1) for value in (present.min(), present.max())] if len(present) else []
        )
        yield pd.concat([*ends, empty])


def _of_all(found: Outcome, table: StoredTable, column: str) -> Outcome:
    """The outcome of some rows with the counts of all."""
    missing = sum(int(batch[column].isna().sum()) for batch in table.batches([column]))
    return found._replace(details={**found.details, "element_count": len(table), "missing_count": missing})
