"""Times as text: one parser for drafting, ingestion and the tasks.

Read without a format: ISO 8601 dates and times (RFC 3339 too, with offsets and `Z`; weeks `2020-W05-1`), `YYYY-MM` (the
first of the month), the same with slashes, and `YYYYMMDD`. A trailing `UTC` or `GMT` is the offset 0; no other name of
a zone is read, because EST or IST is several zones. A time without offset counts as UTC where seconds are needed.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable

from components.contracts.table_layout import EPOCHS
from components.core.errors import SourceError

_DAY = r"\d{4}(?:-\d{2}-\d{2}|\d{4}|-?W\d{2}(?:-?\d)?)"
_CLOCK = r"\d{2}(?::?\d{2}(?::?\d{2}(?:[.,]\d+)?)?)?"
_ISO = re.compile(rf"{_DAY}(?:[T ]{_CLOCK}(?: ?Z|[+-]\d{{2}}(?::?\d{{2}})?)?)?", re.IGNORECASE)
_MONTH = re.compile(r"(\d{4})[-/](\d{1,2})")
_SLASHES = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})(.*)", re.DOTALL)
_ZONE = re.compile(r"\d\s*([A-Za-z]{2,5})$")
_UTC = frozenset({"UTC", "GMT"})
_NOT_ZONES = frozenset({"AM", "PM"})


def parse(text: str, time_format: str | None = None) -> datetime.datetime | None:
    """The time that a cell spells; None if it spells none.

    Args:
        time_format: as `time_format` of a table's layout.
    """
    try:
        if time_format is None:
            return _iso(text.strip())
        if time_format in EPOCHS:
            seconds = float(text) / EPOCHS[time_format]
            return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        return datetime.datetime.strptime(text.strip(), time_format)
    except (ValueError, OverflowError, OSError):
        return None


def seconds(time: datetime.datetime) -> float:
    """Seconds since 1970; a time without offset counts as UTC."""
    return (time if time.tzinfo is not None else time.replace(tzinfo=datetime.UTC)).timestamp()


def steps(times: Iterable[object]) -> list[float]:
    """Seconds from the row before to each row; NaN for the first, and beside what is no number."""
    result: list[float] = []
    before = math.nan
    for time in times:
        now = float(time) if isinstance(time, int | float) else math.nan
        result.append(now - before)
        before = now
    return result


def zone(text: str) -> str | None:
    """The name of a zone at the end of a time, such as `DST`; None if there is none, or it is UTC."""
    found = _ZONE.search(text.strip())
    name = found.group(1).upper() if found is not None else None
    return None if name in _UTC or name in _NOT_ZONES or name in ("Z", None) else name


class TimeReader:
    """Reads the time of each row of a table; all have an offset, or none has."""

    def __init__(self, time_format: str | None) -> None:
        self._format = time_format
        self._aware: bool | None = None

    def text(self, cell: str, where: str, place: int) -> str:
        """The cell itself without a format, else its time in ISO 8601.

        Raises:
            SourceError: the time cannot be read, or the times of some rows have an offset and others none.
        """
        time = parse(cell, self._format)
        if time is None:
            raise self._unread(cell, f"{where} {place}")
        aware = time.tzinfo is not None
        if aware is not self._aware:
            if self._aware is not None:
                raise SourceError(
                    "times with and without an offset in one column",
                    where=f"{where} {place}",
                    got=repr(cell),
                    expected="an offset like +01:00 or Z in every row, or in none",
                )
            self._aware = aware
        return cell if self._format is None else time.isoformat(sep=" ")

    def _unread(self, cell: str, where: str) -> SourceError:
        name = zone(cell)
        if not cell.strip():
            next_step = "write the time, or remove the row"
        elif name is not None and self._format is None:
            next_step = f"the zone {name} is not read: write the offset (+01:00), or UTC"
        else:
            next_step = "write ISO 8601, or set `time_format:` (as in strptime, such as %d/%m/%Y, or epoch_seconds)"
        expected = self._format or "ISO 8601, such as 2020-01-31 or 2020-01-31T23:00:00+01:00"
        return SourceError(
            "a time that cannot be read", where=where, got=repr(cell), expected=expected, next_step=next_step
        )


def _iso(text: str) -> datetime.datetime | None:
    if text[4:5] == "-" == text[7:8] and not text[-1:].isalpha():  # most times, without the expressions below
        return datetime.datetime.fromisoformat(text)
    if text[-3:].upper() in _UTC:
        time = _iso(text[:-3].strip())
        return time.replace(tzinfo=datetime.UTC) if time is not None and time.tzinfo is None else None
    if (month := _MONTH.fullmatch(text)) is not None:
        return datetime.datetime(int(month.group(1)), int(month.group(2)), 1)
    if (slashes := _SLASHES.fullmatch(text)) is not None:
        year, number, day, rest = slashes.groups()
        text = f"{year}-{int(number):02}-{int(day):02}{rest}"
    if _ISO.fullmatch(text) is None:
        return None
    return datetime.datetime.fromisoformat(text.replace(" Z", "Z"))
