"""Expectations on a stored table. Great Expectations judges each but those on the number of rows, on as few rows at a
time as its question allows:

- of each row by itself: batch by batch, and the counts are added up;
- unique values: the rows whose value another row may have too;
- different values, smallest and largest value: one row of each;
- names and order of the columns: the first row;
- every other one, one with a condition, and one that Great Expectations cannot evaluate on a part of the table: whole
  columns in memory. Which these are is said.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from components.validation import stored_table
from components.validation.outcome import ExpectationSpec, Judge, Outcome
from components.validation.repeated_values import KEYS, Repeated
from components.validation.stored_table import StoredTable
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


def outcomes(
    judge: Judge, expectations: Mapping[int, ExpectationSpec], table: StoredTable, say: Callable[[str], None]
) -> dict[int, Outcome]:
    """As `Judge.judge` of the whole table.

    Args:
        say: is told which expectations need whole columns in memory.
    """
    gc.freeze()  # what is there already stays: it need not be looked through after every batch
    try:
        return _outcomes(judge, expectations, table, say)
    finally:
        gc.unfreeze()


def _outcomes(
    judge: Judge, expectations: Mapping[int, ExpectationSpec], table: StoredTable, say: Callable[[str], None]
) -> dict[int, Outcome]:
    of_rows = {number: one for number, one in expectations.items() if _is(one, _OF_ROWS)}
    found = _by_batch(judge, of_rows, table) if of_rows else {}
    for number, one in expectations.items():
        if _is(one, _OF_ROW_COUNT) and (of_count := _row_count(one, len(table))) is not None:
            found[number] = of_count
    of_few: dict[tuple[_RowsOf, str], dict[int, ExpectationSpec]] = {}
    for number, one in expectations.items():
        for types, rows_of in _FEW_ROWS:
            if _is(one, types):
                of_few.setdefault((rows_of, str(one.kwargs.get("column"))), {})[number] = one
    for (rows_of, column), group in of_few.items():
        if (rows := rows_of(table, column)) is not None:
            new = judge.judge(group, rows)
            found |= _of_all(group, new, table, column) if rows_of is _repeated_rows else new
    for number, one in expectations.items():
        if number not in found or found[number].error is not None:
            columns = one.judged_columns()
            names = table.columns if columns is None else [*dict.fromkeys(["id", *columns])]
            about = "all columns" if columns is None else ", ".join(columns)
            say(f"{one.type} is judged on {len(table):,} rows at once: {about} in memory")
            found |= judge.judge({number: one}, table.frame(names))
            _release()
    return found


def _release() -> None:
    """Give back the memory of what Great Expectations has judged: its objects refer to each other in circles."""
    gc.collect()
    pa.default_memory_pool().release_unused()


def _is(one: ExpectationSpec, types: tuple[str, ...]) -> bool:
    return one.type in types and not one.kwargs.get("row_condition")


def _by_batch(judge: Judge, expectations: dict[int, ExpectationSpec], table: StoredTable) -> dict[int, Outcome]:
    """The sums over the batches; an expectation that has an error in a batch is left out."""
    sums: dict[int, Outcome] = {}
    left = dict(expectations)
    names = {"id", *(name for one in expectations.values() for name in one.judged_columns() or ())}
    for batch in table.batches([name for name in table.columns if name in names]):
        found = judge.judge(left, batch)
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
    return Outcome(_success(one, details), details, None)


def _success(one: ExpectationSpec, details: dict[str, Any]) -> bool:
    """Whether enough rows with a value meet an expectation, as Great Expectations counts them."""
    judged = int(details["element_count"]) - int(details.get("missing_count", 0))
    mostly = one.kwargs.get("mostly")
    return judged == 0 or (judged - int(details["unexpected_count"])) / judged >= float(1 if mostly is None else mostly)


def _row_count(one: ExpectationSpec, rows: int) -> Outcome | None:
    """The outcome of an expectation on the number of rows; None if its bounds are no numbers."""
    smallest, largest = (one.kwargs.get(name, one.kwargs.get("value")) for name in ("min_value", "max_value"))
    if not all(bound is None or isinstance(bound, int | float) for bound in (smallest, largest)):
        return None
    strict = [bool(one.kwargs.get(name)) for name in ("strict_min", "strict_max")]
    is_enough = smallest is None or smallest < rows or (smallest == rows and not strict[0])
    is_few = largest is None or rows < largest or (rows == largest and not strict[1])
    return Outcome(is_enough and is_few, {"observed_value": rows}, None)


def _repeated_rows(table: StoredTable, column: str) -> pd.DataFrame | None:
    """The rows whose value has the hash of another row's, those without a value left out."""
    present = (batch[column].dropna() for batch in table.batches([column]))
    repeated = Repeated.find(present, len(table), KEYS[0])
    return _joined(
        batch[(repeated.places(batch[column]) >= 0) & batch[column].notna().to_numpy()]
        for batch in table.batches([*dict.fromkeys(["id", column])])
    )


def _distinct_rows(table: StoredTable, column: str) -> pd.DataFrame | None:
    """The first row of each value, and of those without."""
    found: pd.DataFrame | None = None
    for batch in table.batches([*dict.fromkeys(["id", column])]):
        first = batch.drop_duplicates(column)
        new = first if found is None else first[~first[column].isin(found[column])]
        found = new.copy() if found is None else pd.concat([found, new], ignore_index=True)
        if len(found) > stored_table.LARGE:
            return None
    return found


def _extreme_rows(table: StoredTable, column: str) -> pd.DataFrame | None:
    """Of each batch a row of the smallest value, one of the largest, and one without a value."""
    parts: list[pd.DataFrame] = []
    for batch in table.batches([*dict.fromkeys(["id", column])]):
        present = batch[column].dropna()
        parts.append(batch[batch[column].isna()].head(1).copy())
        ends = (present.min(), present.max()) if len(present) else ()
        parts += [batch[batch[column] == value].head(1).copy() for value in ends]
    return pd.concat(parts, ignore_index=True)


def _first_row(table: StoredTable, _: str) -> pd.DataFrame:
    return next(table.batches()).head(1)


def _joined(parts: Iterable[pd.DataFrame]) -> pd.DataFrame | None:
    """Rows of all batches; None if they are no fewer than a large table has."""
    found: list[pd.DataFrame] = []
    for part in parts:
        found.append(part.copy())
        if sum(map(len, found)) > stored_table.LARGE:
            return None
    return pd.concat(found, ignore_index=True)


def _of_all(
    expectations: dict[int, ExpectationSpec], found: dict[int, Outcome], table: StoredTable, column: str
) -> dict[int, Outcome]:
    """The outcomes of some rows with the counts of all."""
    missing = sum(int(batch[column].isna().sum()) for batch in table.batches([column]))
    counts = {"element_count": len(table), "missing_count": missing}
    details = {number: {**one.details, **counts} for number, one in found.items() if one.error is None}
    return {number: Outcome(_success(expectations[number], one), one, None) for number, one in details.items()}


_RowsOf = Callable[[StoredTable, str], pd.DataFrame | None]
_FEW_ROWS: tuple[tuple[tuple[str, ...], _RowsOf], ...] = (
    (_OF_UNIQUE_VALUES, _repeated_rows),
    (_OF_DISTINCT_VALUES, _distinct_rows),
    (_OF_EXTREMES, _extreme_rows),
    (_OF_COLUMN_NAMES, _first_row),
)
