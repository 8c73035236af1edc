"""What the columns of a table hold: labels, texts, values, a time, pixels."""

from __future__ import annotations

import csv
import datetime
import gzip
import math
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from components.core.errors import SourceError

SEEN = 2000  # rows
LABELS = ("label", "class", "category", "target", "sentiment", "tag", "y", "outcome")
TEXTS = ("text", "sentence", "review", "message", "content", "body", "document", "tweet", "comment", "sms")
TIMES = ("time", "date", "datetime", "timestamp", "ds", "hour", "day")
MOST_CLASSES = 200
IDENTITIES = ("id", "index", "uid", "key", "split", "")

RecognisedTable = tuple[dict[str, Any], str]  # keys of the layout, and what they were recognised by


class Column(NamedTuple):
    """A column and its first cells."""

    name: str
    cells: list[str]

    @property
    def distinct(self) -> int:
        """How many values."""
        return len(set(self.cells))

    @property
    def is_number(self) -> bool:
        """Whether every cell that is not empty is a number."""
        return all(_number(cell) for cell in self.cells if cell) and any(self.cells)

    @property
    def is_time(self) -> bool:
        """Whether every cell is a date or a time."""
        return bool(self.cells) and all(_time(cell) for cell in self.cells)

    @property
    def length(self) -> float:
        """Mean characters."""
        return sum(map(len, self.cells)) / max(1, len(self.cells))


def recognise(path: Path, kind: str) -> RecognisedTable:
    """Which columns make a sample, by the first rows of the table.

    Raises:
        SourceError: the table has no rows, or its columns are not recognised.
    """
    if kind == "parquet":
        return _parquet(path)
    rows = _rows(path, kind)
    if not rows:
        raise SourceError("the table holds no row", where=str(path))
    header = _has_header(rows)
    names = rows[0] if header else [f"column_{number}" for number in range(len(rows[0]))]
    body = [row for row in (rows[1:] if header else rows) if len(row) == len(names)]
    found = [Column(name, [row[place] for row in body]) for place, name in enumerate(names)]
    layout, why = _of_columns(found, path)
    if not header:
        layout |= {"header": False, "columns": names}
    return layout, why


def lines(path: Path, most: int, errors: str = "replace") -> list[str]:
    """The first lines of a text, plain or gzip, without their ends.

    Args:
        errors: what becomes of bytes that are no UTF-8; `strict`: they are refused.

    Raises:
        SourceError: it is empty.
        UnicodeDecodeError: it is no text, strictly.
    """
    with (
        gzip.open(path, "rt", encoding="utf-8-sig", errors=errors)
        if path.suffix == ".gz"
        else path.open(encoding="utf-8-sig", errors=errors)
    ) as text:
        found = [line.rstrip("\n") for line in islice(text, most)]
    if not found:
        raise SourceError("the file is empty", where=str(path))
    return found


def _of_columns(found: Sequence[Column], path: Path) -> RecognisedTable:
    numbers = [column for column in found if column.is_number]
    time = next((column for column in found if column.name.lower() in TIMES and column.is_time), None)
    time = time or next((column for column in found if not column.is_number and column.is_time), None)
    values = [column.name for column in numbers if column.name.lower() not in IDENTITIES and column is not time]
    if time is not None and values and len(values) >= len(found) - 2:
        layout: dict[str, Any] = {"time": time.name, "values": values, "label": None}
        return layout, f"a time ({time.name}) and {len(values)} columns of numbers"
    text = _text(found)
    label = _label([column for column in found if column is not text])
    if text is not None and label is not None:
        why = f"texts ({text.name}) and labels ({label.name})"
        return {"text": text.name, "label": label.name}, why
    if text is not None:
        return {"text": text.name, "label": None}, f"texts ({text.name}) without labels"
    values = [name for name in values if label is None or name != label.name]
    if label is not None and len(values) > 1:
        prefix = _pixels(values)
        if prefix is not None:
            layout = {"pixels": prefix, "label": label.name}
            return layout, f"{len(values)} columns of pixels and labels ({label.name})"
        layout = {"values": values, "label": label.name}
        return layout, f"{len(values)} columns of numbers and labels ({label.name})"
    names = ", ".join(column.name for column in found[:12])
    expected = "a label with a text or with numbers, texts, or a time with numbers"
    raise SourceError("the columns are not recognised", where=str(path), got=names, expected=expected)


def _text(found: Sequence[Column]) -> Column | None:
    words = [column for column in found if not column.is_number and not column.is_time]
    named = next((column for column in words if column.name.lower() in TEXTS), None)
    if named is not None:
        return named
    max_length = max(words, key=lambda column: column.length, default=None)
    return (
        max_length
        if max_length is not None and max_length.length >= 10 and " " in "".join(max_length.cells[:50])
        else None
    )


def _label(found: Sequence[Column]) -> Column | None:
    named = next((column for column in found if column.name.lower() in LABELS), None)
    if named is not None:
        return named
    few = [
        column
        for column in found
        if 2 <= column.distinct <= min(MOST_CLASSES, max(2, len(column.cells) // 4))
        and column.name.lower() not in IDENTITIES
        and all(_whole(cell) or not _number(cell) for cell in column.cells)
    ]
    words = [column for column in few if not column.is_number]
    return min(words or few, key=lambda column: column.distinct, default=None)


def _pixels(names: Sequence[str]) -> str | None:
    """The prefix of columns numbered from 0 on, as many as a square has."""
    prefix = re.sub(r"\d+$", "", names[0])
    side = math.isqrt(len(names))
    numbered = {f"{prefix}{number}" for number in range(len(names))}
    return prefix if prefix and side * side == len(names) and side >= 4 and set(names) == numbered else None


def _parquet(path: Path) -> RecognisedTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    image = next((field.name for field in schema if _is_image(field.type)), None)
    head = next(pq.ParquetFile(path).iter_batches(SEEN), None)
    if head is None:
        raise SourceError("the table holds no row", where=str(path))
    lists = next((field.name for field in schema if pa.types.is_list(field.type)), None)
    plain = [field.name for field in schema if field.name not in (image, lists)]
    found = [
        Column(name, ["" if cell is None else str(cell) for cell in head.column(name).to_pylist()]) for name in plain
    ]
    label = _label(found)
    if image is not None and label is not None:
        why = f"images ({image}) and labels ({label.name})"
        return {"image": image, "label": label.name}, why
    if lists is not None and label is not None:
        why = f"lists of numbers ({lists}) and labels ({label.name})"
        return {"values": lists, "label": label.name}, why
    return _of_columns(found, path)


def _is_image(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or (pa.types.is_struct(kind) and any(field.name == "bytes" for field in kind))
    )


def _rows(path: Path, kind: str) -> list[list[str]]:
    found = [line for line in lines(path, SEEN) if line]
    return [line.split("\t") for line in found] if kind == "tsv" else list(csv.reader(found))


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: known names, or words over numbers."""
    first, body = rows[0], rows[1:]
    if any(cell.strip().lower() in (*LABELS, *TEXTS, *TIMES, *IDENTITIES[:-1]) for cell in first):
        return True
    over = [any(_number(row[place]) for row in body[:50] if len(row) > place) for place in range(len(first))]
    return len(set(first)) == len(first) and any(
        numbers and not _number(cell) for numbers, cell in zip(over, first, strict=True)
    )


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _whole(cell: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+", cell.strip()))


def _time(cell: str) -> bool:
    if _number(cell):
        return False
    try:
        datetime.datetime.fromisoformat(cell.strip())
    except ValueError:
        return False
    return True
