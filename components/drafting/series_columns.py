"""Recognise the columns of a series: a time and numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from components.core.errors import SourceError
from components.drafting import column_notes, column_roles, label_column, number_marks, series
from components.drafting.cells import IDENTITIES, LABELS, Column
from components.drafting.draft_options import DraftOptions
from components.drafting.table_files import Files

_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?")


def may_be(columns: Sequence[Column], options: DraftOptions) -> bool:
    """Whether a time and numbers may be a series: no label was named, and no column is called a label and has few
    different values."""
    labels = [column for column in columns if column.known in LABELS and column.distinct <= label_column.FEW]
    few = [column for column in labels if column.distinct * 4 <= len(column.cells)]
    return options.demands("time") or (options.allows("time") and options.label is None and not few)


def recognise(
    table: Files, columns: list[Column], marks: number_marks.Marks
) -> tuple[dict[str, Any], list[str]] | None:
    """Keys and remarks of a time and columns of numbers; None if they are none.

    Raises:
        SourceError: the time is in two columns or cannot be read, or the rows are not a series.
    """
    found = column_roles.time(table, columns)
    if found is None:
        return None
    time, recognised = found
    numbers = [column for column in columns if column.is_number and column is not time]
    values = [column for column in numbers if column.known not in IDENTITIES]
    if not values or len(values) < len(columns) - 2:
        return None
    if recognised.problem is not None:
        if recognised.problem.where is None:
            recognised.problem.where = str(table.paths[0])
        raise recognised.problem
    _check_no_clock(table, columns, time)
    names = [column.name for column in values]
    layout: dict[str, Any] = {"time": time.name, "values": names, "label": None}
    layout |= {"time_format": recognised.format} if recognised.format is not None else {}
    layout |= marks.keys(values, table.paths[0])
    whole = series.read(table, time.name, recognised.format, names, marks.pair)
    layout |= {"missing_values": list(whole.words)} if whole.words else {}
    keys, remarks = series.look(whole, names, table)
    notes = [*([recognised.note] if recognised.note else []), *column_notes.of_words(whole.words), *remarks]
    return {**layout, **keys}, [f"a time ({time.name}) and {column_notes.count(values)} of numbers", *notes]


def _check_no_clock(table: Files, columns: Sequence[Column], day: Column) -> None:
    """Raise SourceError if the day is in one column and the time of day in another."""
    for column in columns:
        if column is not day and all(_CLOCK.fullmatch(cell) for cell in column.cells):
            raise SourceError(
                f"the time is in two columns: {day.name}, {column.name}",
                where=str(table.paths[0]),
                got=f"{day.cells[0]} and {column.cells[0]}",
                expected="day and time of day in one cell",
                next_step=f"write one column, such as {day.cells[0]} {column.cells[0]}",
            )
