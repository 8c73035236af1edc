"""Recognise the format of the times of a column; a day is told from a month only where a row proves it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from typing import NamedTuple

from components.contracts.table_layout import EPOCHS
from components.core.errors import SourceError
from components.drafting.cells import TIMES, Column, looks_like_time
from components.ingestion import times

_DATES = (
    *(date.replace("/", mark) for mark in "/.-" for date in
      ("%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d/%m/%y", "%m/%d/%y", "%d/%b/%Y", "%d/%b/%y", "%m/%Y")),
    "%y-%m-%d",  # with other marks a year of two digits is not written first
    "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%b %Y", "%B %Y", "%b-%Y", "%a %b %d %Y",
    "%b-%d-%Y", "%b/%d/%Y", "%Y-%b", "%Y %b", "%Y %B", "%Y/%b",
)  # fmt: skip
_HOURS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H.%M", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%H")
_CLOCKS = ("", *(gap + hours for gap in (" ", "T", ", ") for hours in _HOURS))
_OFFSETS = ("", "%z", " %z")
_NUMBER = re.compile(r"-?\d+(\.\d*)?")
_ERA = (946_684_800, 2_208_988_800)  # 2000 to 2040, in seconds: numbers that are times whatever the column's name is
_WIDE_ERA = (-2_208_988_800, 4_102_444_800)  # 1900 to 2100, where the name says that it is a time
_COMPACT = {10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # by the number of digits
_CHECKED = 1000  # cells on which two formats must agree to be the same


class RecognisedTime(NamedTuple):
    """Times of a column.

    Args:
        format: `time_format` of the layout; None for what is read without.
        note: what a person should know; "" for ISO 8601.
        problem: why the times cannot be read, if so.
    """

    format: str | None = None
    note: str = ""
    problem: SourceError | None = None


def recognise(column: Column, every: Iterable[tuple[str, str]]) -> RecognisedTime | None:
    """The format of a column of times; None if it is no time.

    Args:
        every: where each row is, and the column's cell; all rows, as the first ones may not prove the format.
    """
    cells = [cell for cell in column.cells if cell]
    if not cells:
        return None
    if _NUMBER.fullmatch(cells[0]) and all(map(_NUMBER.fullmatch, cells)):
        return _numbers(column, cells)
    if times.parse(cells[0]) is not None and sum(times.parse(cell) is not None for cell in cells) >= 0.9 * len(cells):
        return RecognisedTime()  # what cannot be read among them is refused with its line when all rows are read
    if sum(map(looks_like_time, cells)) < 0.9 * len(cells):
        is_time = column.known in TIMES and column.distinct >= 0.9 * len(cells) and any(map(str.isdigit, cells[0]))
        return _unread(column, cells[0]) if is_time and " " not in cells[0].strip()[:4] else None
    return _formatted(column, cells, every)


def _numbers(column: Column, cells: Sequence[str]) -> RecognisedTime | None:
    named = column.known in TIMES or any(word in re.split(r"[^a-z]+", column.known) for word in ("time", "date"))
    if not named and len(cells[0]) < len("20200131"):  # most columns of numbers
        return None
    values = [float(cell) for cell in cells]
    ordered = len(values) > 2 and (_rises(values) or _rises(values[::-1]))
    if not named and not ordered:
        return None
    if all(len(cell) == 8 and times.parse(cell) is not None and "18" <= cell[:2] <= "21" for cell in cells):
        return RecognisedTime(note=f"the times ({column.name}) are days as YYYYMMDD")
    for length, fmt in _COMPACT.items():  # as epoch seconds, such numbers of ten digits are of 2030 and later
        if all(len(cell) == length and cell[:2] in ("19", "20") and times.parse(cell, fmt) for cell in cells):
            return RecognisedTime(
                fmt, f"the times ({column.name}) are read as {fmt}: {cells[0]} is {times.parse(cells[0], fmt)}"
            )
    for name, units in EPOCHS.items():
        low, high = _WIDE_ERA if named else _ERA
        floor = 100_000_000 * units if named else low * units  # 1973: below it, numbers are more likely counts
        if all(max(low * units, floor) <= value <= high * units for value in values):
            first = times.parse(cells[0], name)
            return RecognisedTime(name, f"the times ({column.name}) are {name.replace('_', ' ')} from {first}")
    if not named:
        return None
    if ordered and all(
        10_000 <= value < 100_000 and "." not in cell for value, cell in zip(values, cells, strict=True)
    ):
        return _unread(column, cells[0], expected="dates, not the serial numbers of days of a spreadsheet")
    for length, fmt, earliest in ((4, "%Y", "10" if ordered else "18"), (6, "%Y%m", "18")):
        if all(len(cell) == length and times.parse(cell, fmt) and earliest <= cell[:2] <= "21" for cell in cells):
            return RecognisedTime(fmt, f"the times ({column.name}) are read as {fmt}")
    return None


def _formatted(column: Column, cells: Sequence[str], every: Iterable[tuple[str, str]]) -> RecognisedTime:
    zones = {zone for cell in cells if (zone := times.zone(cell)) is not None and not _is_month(zone)}
    if zones:
        problem = SourceError(
            "the times end in the name of a zone, which says no offset",
            got=f"{column.name}: {', '.join(sorted(zones))}, as in {cells[0]}",
            expected="offsets, or UTC: EST, IST and DST are several zones each",
            next_step="replace the names by offsets (+01:00), or write the times in UTC",
        )
        return RecognisedTime(problem=problem)
    tail = next((mark for mark in (" UTC", " GMT", " Z") if all(cell.upper().endswith(mark) for cell in cells)), "")
    formats = [date + clock + offset + tail for date, clock, offset in product(_DATES, _CLOCKS, _OFFSETS)]
    fitting = [fmt for fmt in formats if _can_fit(fmt, cells[0]) and times.parse(cells[0], fmt) is not None]
    fitting = [fmt for fmt in fitting if all(times.parse(cell, fmt) is not None for cell in cells)]
    unread: tuple[str | None, str] = (None, cells[0])
    for where, cell in every if fitting else ():
        kept = [fmt for fmt in fitting if times.parse(cell, fmt) is not None]
        if not kept:
            unread = (where, cell)
            fitting = []
            break
        fitting = kept
    if not fitting:
        return _unread(column, unread[1], unread[0])
    return _one_of(fitting, column, cells)


def _unread(
    column: Column,
    cell: str,
    where: str | None = None,
    expected: str = "one format in all rows: ISO 8601, or one that `time_format:` can say",
) -> RecognisedTime:
    problem = SourceError(
        f"the times of the column {column.name} are not read",
        where=where,
        got=repr(cell),
        expected=expected,
        next_step="write the times in ISO 8601 (2020-01-31 23:00:00)",
    )
    return RecognisedTime(problem=problem)


def _one_of(formats: Sequence[str], column: Column, cells: Sequence[str]) -> RecognisedTime:
    """The format, if all that fit read the same times; else the question which it is."""
    readings = {fmt: [times.parse(cell, fmt) for cell in cells[:_CHECKED]] for fmt in formats}
    chosen = formats[0]
    other = next((fmt for fmt in formats if readings[fmt] != readings[chosen]), None)
    if other is None:
        note = f"the times ({column.name}) are read as {chosen}: {cells[0]} is {readings[chosen][0]}"
        return RecognisedTime(chosen, note)
    place = next(at for at, time in enumerate(readings[chosen]) if time != readings[other][at])
    problem = SourceError(
        f"the times of the column {column.name} can be read in two ways",
        got=f"{cells[place]}: {readings[chosen][place]} ({chosen}) or {readings[other][place]} ({other})?",
        expected="a row that only one of them fits, such as 31/01/2020",
        next_step="write the times in ISO 8601 (2020-01-31)",
    )
    return RecognisedTime(problem=problem)


def _can_fit(fmt: str, cell: str) -> bool:
    """Whether a cell has the marks and letters of a format: strptime compiles each format, which takes a while."""
    marks = re.sub("%.", "", fmt)
    if any(cell.count(mark) < marks.count(mark) for mark in "/.-:, T") or cell.count("/") > marks.count("/"):
        return False
    has_letters = any(map(str.isalpha, cell))
    return has_letters == (any(part in fmt for part in ("%b", "%B", "%p", "%a")) or any(map(str.isalpha, marks))) or (
        "%z" in fmt and cell.upper().endswith("Z")
    )


def _rises(values: Sequence[float]) -> bool:
    return all(before < after for before, after in pairwise(values))


def _is_month(word: str) -> bool:
    return any(times.parse(f"1 {word.title()} 2000", f"%d {part} %Y") is not None for part in ("%b", "%B"))
