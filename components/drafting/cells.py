"""What the cells of a column are: numbers, times, labels, texts."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from components.ingestion import number_cells, times

LABELS = ("label", "class", "category", "target", "sentiment", "tag", "y", "outcome")
LABEL_SETS = (  # of columns whose cells have several labels
    "tags", "labels", "genres", "genre", "categories", "topics", "keywords", "attributes", "classes", "emotions",
    "themes",
)  # fmt: skip
TEXTS = ("text", "sentence", "review", "message", "content", "body", "document", "tweet", "comment", "sms")
TIMES = (
    "time", "date", "datetime", "timestamp", "ds", "hour", "day", "month", "week", "year", "period", "ts", "epoch",
    "unix", "unixtime", "unix_time", "date_time", "when",
)  # fmt: skip
SPLITS = ("split", "set", "subset", "fold", "partition")
GROUPS = (
    "group", "group_id", "speaker", "speaker_id", "patient", "patient_id", "subject", "subject_id", "user", "user_id",
    "participant", "participant_id", "session", "session_id",
)  # fmt: skip
IDENTITIES = ("id", "index", "uid", "key", "")
# Words that usually stand for a missing number, in small letters.
MISSING = frozenset(
    {"?", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", ".", "..", "...", "missing", "#value!"}
)
_MONTH = r"(?:[Jj]an|[Ff]eb|[Mm]ar|[Aa]pr|[Mm]ay|[Jj]un|[Jj]ul|[Aa]ug|[Ss]ep|[Oo]ct|[Nn]ov|[Dd]ec)[a-z]*\.?"
_DATE = re.compile(
    r"\d{1,4}[-/. ](\d{1,2}|[A-Za-z]{3,9})[-/. ,]+\d{1,4}(\D.*)?|\d{1,2}[/.-]\d{4}|[A-Za-z]{3,9}\.? \d{1,2}, ?\d{4}.*"
    rf"|{_MONTH}[-/.]\d{{1,2}}[-/.]\d{{4}}|\d{{4}}[-/. ]{_MONTH}"
)
_UNITS = "|".join([*map(re.escape, "€$£¥%"), "EUR", "USD", "GBP", "CHF", "JPY"])
_UNIT = re.compile(rf"^(?:{_UNITS})\s*|\s*(?:{_UNITS})$", re.IGNORECASE)
MISSING_SHARE = 0.5  # most of the cells of a column of numbers that can be such words


class Column(NamedTuple):
    """A column and its first cells, without blanks around them.

    Args:
        decimal, thousands: the marks with which its cells are numbers.
    """

    name: str
    cells: list[str]
    decimal: str = "."
    thousands: str | None = None

    @property
    def distinct(self) -> int:
        """Number of different cells that are not empty."""
        return len(set(self.cells) - {""})

    @property
    def words(self) -> list[str]:
        """Different cells that are neither empty nor numbers, in order."""
        return list(dict.fromkeys(cell for cell in self.cells if cell and self.number(cell) is None))

    @property
    def is_number(self) -> bool:
        """Whether every cell is a number, but for empty ones and a few of the words of `MISSING`."""
        numbers = words = 0
        for cell in self.cells:
            if not cell:
                continue
            if cell.lower() in MISSING:
                words += 1
            elif self.number(cell) is not None:
                numbers += 1
            else:
                return False
        return numbers > 0 and words <= MISSING_SHARE * (numbers + words)

    @property
    def is_time(self) -> bool:
        """Whether every cell is a time in ISO 8601, and not all are plain numbers."""
        return bool(self.cells) and all(not cell.isdecimal() and times.parse(cell) is not None for cell in self.cells)

    @property
    def typed_share(self) -> float:
        """The share of numbers and times, with whatever marks and units, among the cells that are not empty."""
        filled = [cell for cell in self.cells if cell]
        return sum(map(is_typed, filled)) / max(1, len(filled))

    @property
    def is_mostly_typed(self) -> bool:
        """Whether nine of ten cells are numbers or times: neither a text nor a label."""
        return self.typed_share >= 0.9

    @property
    def unit(self) -> str | None:
        """The unit that most cells have beside a number, such as a currency's sign; None without one."""
        units = Counter(unit(cell) for cell in self.cells if cell)
        found, count = units.most_common(1)[0] if units else (None, 0)
        return found if count * 2 > units.total() else None

    @property
    def length(self) -> float:
        """Mean number of characters of a cell."""
        return sum(map(len, self.cells)) / max(1, len(self.cells))

    @property
    def known(self) -> str:
        """The name in small letters, as in the lists of names."""
        return self.name.strip().lower()

    def number(self, cell: str) -> float | None:
        """The number in a cell."""
        return number_cells.parse(cell, self.decimal, self.thousands)


def looks_like_time(cell: str) -> bool:
    """Whether a cell has the shape of a date, in whatever order of day and month."""
    return _DATE.fullmatch(cell.strip()) is not None


def is_typed(cell: str) -> bool:
    """Whether a cell is a number or a time, with whatever marks."""
    if not any(map(str.isdigit, cell[:40])):
        return False
    if is_number(cell) or looks_like_time(cell) or times.parse(cell) is not None:
        return True
    return _is_marked_number(cell) or unit(cell) is not None


def unit(cell: str) -> str | None:
    """The currency or the sign for per cent before or behind a number, as in "199.755,57 EUR"; None for other cells."""
    match = _UNIT.match(cell.strip()) or _UNIT.search(cell.strip())
    if match is None:
        return None
    rest = (cell.strip()[: match.start()] + cell.strip()[match.end() :]).strip()
    return match[0].strip() if rest and _is_marked_number(rest) else None


def _is_marked_number(cell: str) -> bool:
    return any(number_cells.parse(cell, *marks) is not None for marks in number_cells.FORMATS)


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with a decimal point and without marks of thousands."""
    return number_cells.parse(cell) is not None


def is_integer(cell: str) -> bool:
    """Whether a cell is a whole number, written as one."""
    return bool(re.fullmatch(r"[+-]?\d+", cell.strip()))
