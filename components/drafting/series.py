"""Look at a whole series before it is drafted: order, doubled times, steps, missing values, values far from the rest.

What is wrong is refused with its line, or drafted with a key that mends it, or said; it never becomes what is expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.core.errors import SourceError
from components.drafting import steps
from components.drafting.cells import MISSING
from components.drafting.table_files import Files
from components.ingestion import number_cells, times

_SHOWN = 3
_FAR = 10.0  # times the interquartile range between a value and the next, for it to be far from the rest
_PANEL = 0.1  # share of rows whose time another row has, from which the table seems to hold several series


class Series(NamedTuple):
    """A series (T,) of times and (T, C) of values, in the order of the file.

    Args:
        words: number of cells of each word that stands for a missing value.
    """

    places: list[str]
    texts: list[str]
    seconds: NDArray[np.float64]
    values: NDArray[np.float64]
    has_offsets: bool
    words: dict[str, int]


def read(
    files: Files, time: str, time_format: str | None, values: Sequence[str], marks: tuple[str, str | None]
) -> Series:
    """Read all rows.

    Args:
        marks: decimal mark, mark of thousands.

    Raises:
        SourceError: a time or a value cannot be read.
    """
    reader = times.TimeReader(time_format)
    places: list[str] = []
    texts: list[str] = []
    seconds: list[float] = []
    numbers: list[NDArray[np.float64]] = []
    words: dict[str, int] = {}
    aware = False
    for place, (text, *cells) in files.rows([time, *values]):
        where, _, line = place.rpartition(" ")
        reader.text(text, where, int(line))
        parsed = times.parse(text, time_format)
        aware = parsed is not None and parsed.tzinfo is not None
        places.append(place)
        texts.append(text.strip())
        seconds.append(times.seconds(parsed) if parsed is not None else float("nan"))
        numbers.append(row_of(cells, values, place, marks, words))
    matrix = np.stack(numbers) if numbers else np.empty((0, len(values)))
    return Series(places, texts, np.array(seconds), matrix, aware, words)


def row_of(
    cells: Sequence[str], names: Sequence[str], place: str, marks: tuple[str, str | None], words: dict[str, int]
) -> NDArray[np.float64]:
    """The numbers of a row; words for missing values are NaN and are counted in `words`.

    Raises:
        SourceError: a cell is neither a number nor such a word.
    """
    row = np.full(len(cells), np.nan)
    for index, cell in enumerate(cells):
        text = cell.strip()
        if not text:
            continue
        if text.lower() in MISSING:
            words[text] = words.get(text, 0) + 1
            continue
        value = number_cells.parse(text, *marks)
        if value is None:
            raise SourceError(
                "a value that is no number",
                where=place,
                got=f"{cell!r} in the column {names[index]}",
                next_step="mend the cell, or empty it if there is no value",
            )
        row[index] = value
    return row


def look(series: Series, names: Sequence[str], files: Files) -> tuple[dict[str, Any], list[str]]:
    """Keys of the layout that the series needs, and remarks.

    Raises:
        SourceError: the rows are not in the order of time, or a time stands twice.
    """
    keys: dict[str, Any] = {}
    notes: list[str] = []
    distances = np.diff(series.seconds)
    if (distances < 0).sum() > (distances > 0).sum():
        if len(files.paths) > 1:
            raise SourceError(
                "the rows are newest first, in several files",
                where=series.places[0],
                next_step="sort the rows of each file by time, oldest first",
            )
        keys["order"] = "newest_first"
        notes.append("the rows are newest first: `order: newest_first` turns them round")
        series = series._replace(
            places=series.places[::-1], texts=series.texts[::-1], seconds=series.seconds[::-1],
            values=series.values[::-1],
        )  # fmt: skip
    _check_order(series)
    notes += _step_notes(series)
    holes = _holes(series, names)
    return keys, [*notes, *holes, *far_values(list(series.values.T), names)]


def _check_order(series: Series) -> None:
    """Raise SourceError for the first row that is not later than the row before."""
    distances = np.diff(series.seconds)
    late = np.flatnonzero(distances <= 0) + 1
    if not late.size:
        return
    row = int(late[0])
    seen, counts = np.unique(series.seconds, return_counts=True)
    doubled = int((counts > 1).sum())
    where, time, before = series.places[row], series.texts[row], series.places[row - 1]
    if distances[row - 1] == 0 and np.array_equal(series.values[row], series.values[row - 1], equal_nan=True):
        got = f"{time}, as in {before.rpartition('/')[2]}" + (f"; {late.size:,} such rows" if late.size > 1 else "")
        raise SourceError("a row stands twice", where=where, got=got, next_step="remove one of the two rows")
    if doubled > _PANEL * len(seen):
        raise SourceError(
            "most times stand in several rows: several series in one table?",
            where=where,
            got=f"{time} again; {doubled:,} of {len(seen):,} times stand there more than once",
            next_step="write one row a time, with a column for each series, or a table for each series",
        )
    if series.seconds[row] in series.seconds[:row]:
        local = not series.has_offsets and float(np.median(distances[distances > 0])) < steps.DAY
        question = f"{time} stands twice" + (": local time with daylight saving?" if local else "")
        next_step = "write the offset (+01:00), or UTC" if local else "remove one of the rows"
        raise SourceError(question, where=where, got=f"{doubled:,} times stand twice", next_step=next_step)
    raise SourceError(
        "the rows are not in the order of time",
        where=where,
        got=f"{time} after {series.texts[row - 1]}; {late.size:,} rows are earlier than the row before",
        next_step="sort the rows by time",
    )


def _step_notes(series: Series) -> list[str]:
    rule = steps.usual(series.seconds.tolist())
    if rule is None:
        return []
    distances = np.diff(series.seconds)
    odd = np.flatnonzero((distances < rule.low) | (distances > rule.high)) + 1
    if not odd.size:
        return [rule.text]
    shown = []
    for row in odd[:_SHOWN].tolist():
        distance = float(distances[row - 1])
        hint = ""
        if not series.has_offsets and distance == rule.high + 3600 and rule.high <= 3600:
            hint = ", daylight saving?"
        line = series.places[row].rpartition("/")[2]
        shown.append(f"{series.texts[row - 1]} to {series.texts[row]} ({line}{hint})")
    return [
        f"{rule.text}, but for {odd.size:,} steps: {'; '.join(shown)}{'; ...' if odd.size > _SHOWN else ''}: "
        "the expectation on step_seconds fails until the rows are mended, or the expectation is edited"
    ]


def _holes(series: Series, names: Sequence[str]) -> list[str]:
    missing = np.argwhere(np.isnan(series.values))
    if not len(missing):
        return []
    shown = [
        f"{names[column]} at {series.texts[row]} ({series.places[row].rpartition('/')[2]})"
        for row, column in missing[:_SHOWN].tolist()
    ]
    return [
        f"{len(missing):,} missing: {'; '.join(shown)}{'; ...' if len(missing) > _SHOWN else ''}: "
        "validation fails until they are filled; `missing: forward_fill` repeats the value of the row before"
    ]


def far_values(columns: Sequence[NDArray[np.float64]], names: Sequence[str]) -> list[str]:
    """Remarks on a lowest or highest value that is far from the rest, such as -999 for a missing one.

    Far: the distance to the next other value is ten times the interquartile range, and more than the whole range of
    the other values.

    Args:
        columns: (T,) each.
    """
    notes = []
    for values, name in zip(columns, names, strict=True):
        for value, count in far(values):
            notes.append(
                f"{name} is {value:g} in {count:,} rows, far from all other values: "
                f"`missing_values: ['{value:g}']` if that stands for no value"
            )
    return notes


def far(values: NDArray[np.float64]) -> list[tuple[float, int]]:
    """The lowest and the highest value (N,) and their numbers of rows, where they are far from the rest."""
    finite = np.sort(values[np.isfinite(values)])
    if len(finite) < 8:
        return []
    low, high = np.quantile(finite, [0.25, 0.75])
    lows, highs = int((finite <= finite[0]).sum()), int((finite >= finite[-1]).sum())
    rest_low, rest_high = finite[lows:], finite[: len(finite) - highs]
    if high <= low or lows + highs >= len(finite) or finite[lows] == finite[len(finite) - highs - 1]:
        return []  # fewer than four different values
    found = []
    for value, near, rest, count in (
        (finite[0], rest_low[0], finite[-1] - rest_low[0], lows),
        (finite[-1], rest_high[-1], rest_high[-1] - finite[0], highs),
    ):
        distance = abs(value - near)
        if distance > _FAR * (high - low) and distance > rest:
            found.append((float(value), int(count)))
    return found
