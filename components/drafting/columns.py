"""Recognise the columns of a table: labels, texts, values, a time, pixels."""

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

MAX_ROWS = 2000  # rows read to recognise the columns
LABELS = ("label", "class", "category", "target", "sentiment", "tag", "y", "outcome")
TEXTS = ("text", "sentence", "review", "message", "content", "body", "document", "tweet", "comment", "sms")
TIMES = ("time", "date", "datetime", "timestamp", "ds", "hour", "day")
MOST_CLASSES = 200
IDENTITIES = ("id", "index", "uid", "key", "split", "")

RecognisedTable = tuple[dict[str, Any], str]  # keys of the layout, and how they were recognised


class Column(NamedTuple):
    """A column and its first cells."""

    name: str
    cells: list[str]

    @property
    def distinct(self) -> int:
        """Number of different cells."""
        return len(set(self.cells))

    @property
    def is_number(self) -> bool:
        """Whether every cell that is not empty is a number."""
        return all(_is_number(cell) for cell in self.cells if cell) and any(self.cells)

    @property
    def is_time(self) -> bool:
        """Whether every cell is a date or a time."""
        return bool(self.cells) and all(_is_time(cell) for cell in self.cells)

    @property
    def length(self) -> float:
        """Mean number of characters of a cell."""
        return sum(map(len, self.cells)) / max(1, len(self.cells))


def recognise(path: Path, kind: str) -> RecognisedTable:
    """Recognise the columns of a sample from the first rows of the table.

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
    columns = [Column(name, [row[index] for row in body]) for index, name in enumerate(names)]
    layout, why = _recognise_columns(columns, path)
    if not header:
        layout |= {"header": False, "columns": names}
    return layout, why


def lines(path: Path, count: int, errors: str = "replace") -> list[str]:
    """The first `count` lines of a text file, plain or gzip, without newlines.

    Args:
        errors: how to decode bytes that are not UTF-8, as in `open`.

    Raises:
        SourceError: the file is empty.
        UnicodeDecodeError: the file is not UTF-8 text, and `errors` is `strict`.
    """
    with (
        gzip.open(path, "rt", encoding="utf-8-sig", errors=errors)
        if path.suffix == ".gz"
        else path.open(encoding="utf-8-sig", errors=errors)
    ) as text:
        first_lines = [line.rstrip("\n") for line in islice(text, count)]
    if not first_lines:
        raise SourceError("the file is empty", where=str(path))
    return first_lines


def _recognise_columns(columns: Sequence[Column], path: Path) -> RecognisedTable:
    numbers = [column for column in columns if column.is_number]
    time = next((column for column in columns if column.name.lower() in TIMES and column.is_time), None)
    time = time or next((column for column in columns if not column.is_number and column.is_time), None)
    values = [column.name for column in numbers if column.name.lower() not in IDENTITIES and column is not time]
    if time is not None and values and len(values) >= len(columns) - 2:
        layout: dict[str, Any] = {"time": time.name, "values": values, "label": None}
        return layout, f"a time ({time.name}) and {len(values)} columns of numbers"
    text = _text_column(columns)
    label = _label_column([column for column in columns if column is not text])
    if text is not None and label is not None:
        why = f"texts ({text.name}) and labels ({label.name})"
        return {"text": text.name, "label": label.name}, why
    if text is not None:
        return {"text": text.name, "label": None}, f"texts ({text.name}) without labels"
    values = [name for name in values if label is None or name != label.name]
    if label is not None and len(values) > 1:
        prefix = _pixel_prefix(values)
        if prefix is not None:
            layout = {"pixels": prefix, "label": label.name}
            return layout, f"{len(values)} columns of pixels and labels ({label.name})"
        layout = {"values": values, "label": label.name}
        return layout, f"{len(values)} columns of numbers and labels ({label.name})"
    names = ", ".join(column.name for column in columns[:12])
    expected = "a label with a text or with numbers, texts, or a time with numbers"
    raise SourceError("the columns are not recognised", where=str(path), got=names, expected=expected)


def _text_column(columns: Sequence[Column]) -> Column | None:
    texts = [column for column in columns if not column.is_number and not column.is_time]
    named = next((column for column in texts if column.name.lower() in TEXTS), None)
    if named is not None:
        return named
    longest = max(texts, key=lambda column: column.length, default=None)
    return longest if longest is not None and longest.length >= 10 and " " in "".join(longest.cells[:50]) else None


def _label_column(columns: Sequence[Column]) -> Column | None:
    named = next((column for column in columns if column.name.lower() in LABELS), None)
    if named is not None:
        return named
    candidates = [
        column
        for column in columns
        if 2 <= column.distinct <= min(MOST_CLASSES, max(2, len(column.cells) // 4))
        and column.name.lower() not in IDENTITIES
        and all(_is_integer(cell) or not _is_number(cell) for cell in column.cells)
    ]
    texts = [column for column in candidates if not column.is_number]
    return min(texts or candidates, key=lambda column: column.distinct, default=None)


def _pixel_prefix(names: Sequence[str]) -> str | None:
    """The prefix of columns numbered from 0, if their number is a square; else None."""
    prefix = re.sub(r"\d+$", "", names[0])
    side = math.isqrt(len(names))
    numbered = {f"{prefix}{number}" for number in range(len(names))}
    return prefix if prefix and side * side == len(names) and side >= 4 and set(names) == numbered else None


def _parquet(path: Path) -> RecognisedTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    image_column = next((field.name for field in schema if _is_image(field.type)), None)
    head = next(pq.ParquetFile(path).iter_batches(MAX_ROWS), None)
    if head is None:
        raise SourceError("the table holds no row", where=str(path))
    list_column = next((field.name for field in schema if pa.types.is_list(field.type)), None)
    plain = [field.name for field in schema if field.name not in (image_column, list_column)]
    columns = [
        Column(name, ["" if cell is None else str(cell) for cell in head.column(name).to_pylist()]) for name in plain
    ]
    label = _label_column(columns)
    if image_column is not None and label is not None:
        why = f"images ({image_column}) and labels ({label.name})"
        return {"image": image_column, "label": label.name}, why
    if list_column is not None and label is not None:
        why = f"lists of numbers ({list_column}) and labels ({label.name})"
        return {"values": list_column, "label": label.name}, why
    return _recognise_columns(columns, path)


def _is_image(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or (pa.types.is_struct(kind) and any(field.name == "bytes" for field in kind))
    )


def _rows(path: Path, kind: str) -> list[list[str]]:
    rows = [line for line in lines(path, MAX_ROWS) if line]
    return [line.split("\t") for line in rows] if kind == "tsv" else list(csv.reader(rows))


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has the names of the columns: known names, or text above numbers."""
    head, body = rows[0], rows[1:]
    if any(cell.strip().lower() in (*LABELS, *TEXTS, *TIMES, *IDENTITIES[:-1]) for cell in head):
        return True
    above_number = [any(_is_number(row[index]) for row in body[:50] if len(row) > index) for index in range(len(head))]
    return len(set(head)) == len(head) and any(
        numbers and not _is_number(cell) for numbers, cell in zip(above_number, head, strict=True)
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_integer(cell: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d+", cell.strip()))


def _is_time(cell: str) -> bool:
    if _is_number(cell):
        return False
    try:
        datetime.datetime.fromisoformat(cell.strip())
    except ValueError:
        return False
    return True
