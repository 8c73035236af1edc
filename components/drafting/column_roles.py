"""Which column of a table has which role, by its name and its first cells."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from components.core.errors import SourceError
from components.drafting import time_format
from components.drafting.cells import (
    GROUPS,
    IDENTITIES,
    LABELS,
    SPLITS,
    TEXTS,
    TIMES,
    Column,
    is_integer,
    is_number,
    is_typed,
)
from components.drafting.table_files import Files
from components.drafting.time_format import RecognisedTime
from components.ingestion.sample import split_name

MOST_CLASSES = 200
MOSTLY = 0.5  # share of numbers in a column of which it is said what keeps it from being one of numbers
_SHOWN = 3

_LEVEL = re.compile(r"\d|\d\d|1\d\d|2[0-4]\d|25[0-5]")
_MANY = 8  # columns from which a draft writes their prefix


def time(table: Files, columns: Sequence[Column]) -> tuple[Column, RecognisedTime] | None:
    """The column of the time: one with a usual name first, then one that is no number."""
    named = [column for column in columns if column.known in TIMES]
    others = [column for column in columns if column not in named and column.known not in IDENTITIES]
    others.sort(key=lambda column: column.is_number)
    for column in (*named, *others):
        every = ((where, cells[0].strip()) for where, cells in table.rows([column.name]))
        recognised = time_format.recognise(column, every)
        if recognised is not None:
            return column, recognised
    return None


def text(columns: Sequence[Column]) -> Column | None:
    """The column of texts: one with a usual name, or the one of the longest cells, if they have several words."""
    texts = [column for column in columns if not column.is_number and not column.is_mostly_typed]
    named = next((column for column in texts if column.known in TEXTS), None)
    if named is not None:
        return named
    longest = max(texts, key=lambda column: column.length, default=None)
    return longest if longest is not None and longest.length >= 10 and " " in "".join(longest.cells[:50]) else None


def label(columns: Sequence[Column]) -> Column | None:
    """The column of labels: one with a usual name, or one of few different words, or of few different integers."""
    named = next((column for column in columns if column.known in LABELS), None)
    if named is not None:
        return named
    candidates = [
        column
        for column in columns
        if 2 <= column.distinct <= min(MOST_CLASSES, max(2, len(column.cells) // 4))
        and column.known not in IDENTITIES
        and all(is_integer(cell) or not is_number(cell) for cell in column.cells)
    ]
    texts = [column for column in candidates if not column.is_number]
    return min(texts or candidates, key=lambda column: column.distinct, default=None)


def split(columns: Sequence[Column]) -> Column | None:
    """The column whose name and cells say the split of each row."""
    for column in columns:
        if column.known in SPLITS and column.distinct > 1 and all(column.cells) and _are_splits(column):
            return column
    return None


def group(columns: Sequence[Column]) -> Column | None:
    """The column whose name says that it tells what samples belong to, if several samples belong to one."""
    for column in columns:
        if column.known in GROUPS and all(column.cells) and 2 < column.distinct < len(column.cells):
            return column
    return None


def _are_splits(column: Column) -> bool:
    try:
        return all(split_name(cell, "") for cell in set(column.cells))
    except SourceError:
        return False


def pixel_prefix(columns: Sequence[Column]) -> str | None:
    """The prefix of columns numbered from 0, if their number is a square and all hold levels 0 to 255; else None."""
    names = [column.name for column in columns]
    prefix = re.sub(r"\d+$", "", names[0])
    side = math.isqrt(len(names))
    numbered = {f"{prefix}{number}" for number in range(len(names))}
    if not prefix or side * side != len(names) or side < 4 or set(names) != numbered:
        return None
    return prefix if all(_LEVEL.fullmatch(cell.strip()) for column in columns for cell in column.cells) else None


def numbered_prefix(names: Sequence[str], all_names: Sequence[str]) -> str | None:
    """The prefix of many columns that are numbered in their order, if it stands for these columns alone; else None."""
    prefix = re.sub(r"\d+$", "", names[0])
    numbered = [name for name in all_names if name.startswith(prefix) and name[len(prefix) :].isdigit()]
    if not prefix or len(names) < _MANY or numbered != list(names) or prefix in all_names:
        return None
    numbers = [int(name[len(prefix) :]) for name in names]
    return prefix if numbers == sorted(set(numbers)) else None


def why_left_out(column: Column) -> str:
    """Why a column that is there is not read."""
    if column.known in IDENTITIES:
        return "an identity"
    if column.known in SPLITS:
        return "not the names of splits"
    if column.is_number:
        return "numbers, which samples of this kind do not hold"
    if column.is_time:
        return "times, which samples of this kind do not hold"
    if column.unit is not None:
        return f"numbers with a unit ({column.unit}), which are read without it: remove the unit from the cells"
    if column.typed_share > MOSTLY:
        odd = [cell for cell in column.cells if cell and not is_typed(cell)]
        if not odd:
            return "times, or numbers that are written in several ways, which samples of this kind do not hold"
        words = list(dict.fromkeys(odd))
        shown = ", ".join(words[:_SHOWN])
        hint = "; if that means a missing value, leave these cells empty" if len(words) == 1 else ""
        return f"{len(odd):,} of the first {len(column.cells):,} cells are no numbers ({shown}){hint}"
    return f"words ({column.distinct:,} different), which samples of this kind do not hold"
