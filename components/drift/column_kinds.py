"""Which kind a column of a table is, and its values as floats or as texts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Kind = Literal["number", "category", "other"]

MOST_CATEGORIES = 100  # texts with more distinct values are free text or identifiers if most of them are distinct
MISSING = "\0"  # the category of missing values; no text of a table contains it


def kind_of(column: pd.Series) -> Kind:
    """The kind of a column.

    `number`: numbers, dates, durations. `category`: truth values, and texts of few distinct values. `other`: free text,
    identifiers, lists, mappings, columns without any value.
    """
    kinds = pd.api.types
    if kinds.is_bool_dtype(column.dtype) or isinstance(column.dtype, pd.CategoricalDtype):
        return "category" if column.notna().any() else "other"
    if kinds.is_complex_dtype(column.dtype):
        return "other"
    if kinds.is_numeric_dtype(column.dtype) or _is_time(column):
        return "number" if column.notna().any() else "other"
    present = column.dropna()
    if present.empty:
        return "other"
    if present.map(lambda value: isinstance(value, bool | np.bool_)).all():
        return "category"
    if present.map(lambda value: isinstance(value, int | float | np.number)).all():
        return "number"
    if not present.map(lambda value: isinstance(value, str | bool | int | float | np.number)).all():
        return "other"
    distinct = present.astype(str).nunique()
    return "category" if distinct <= min(MOST_CATEGORIES, max(2, len(present) // 2)) else "other"


def numbers(column: pd.Series) -> NDArray[np.float64]:
    """Values as floats, (N,); dates in seconds; NaN where a value is missing or is no number."""
    if _is_time(column):
        nanoseconds = column.astype("int64").to_numpy(np.float64, copy=True)  # of NaT: the smallest integer
        nanoseconds[column.isna().to_numpy()] = np.nan
        return np.asarray(nanoseconds / 1e9, np.float64)
    if pd.api.types.is_bool_dtype(column.dtype):
        return np.asarray(column.astype("Float64").to_numpy(np.float64, na_value=np.nan))
    if pd.api.types.is_numeric_dtype(column.dtype):
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan), np.float64)
    return np.array([_number(value) for value in column], np.float64)


def categories(column: pd.Series) -> list[str]:
    """Values as texts, N of them; `MISSING` where a value is missing."""
    missing = column.isna().to_numpy()
    return [MISSING if absent else str(value) for value, absent in zip(column, missing, strict=True)]


def _is_time(column: pd.Series) -> bool:
    kinds = pd.api.types
    return bool(kinds.is_datetime64_any_dtype(column.dtype) or kinds.is_timedelta64_dtype(column.dtype))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan
    except OverflowError:  # an integer of hundreds of digits
        return np.inf if value > 0 else -np.inf
