"""Rows of a CSV or TSV file as text, with their line numbers."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

from components.core.errors import SourceError
from components.ingestion import text_encoding, text_lines
from components.ingestion.dialect import Dialect

Row = tuple[int, list[str]]  # number of the line where a row begins, and its cells

_LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is 131,072
_HEAD_CHARACTERS = 1 << 20  # searched for a line feed, to tell whether lines end with a carriage return alone
DELIMITERS = {",": ",", ";": ";", "|": "|", "\t": r"\t"}  # and how to write them in YAML


def rows(dialect: Dialect, path: Path, names: Sequence[str], columns: Sequence[str]) -> Iterator[Row]:
    """Line of each row, and its cells of `columns`, in their order; empty lines are skipped.

    Args:
        names: names of all columns of the file, from `names_of`.

    Raises:
        SourceError: the file cannot be read, or a row has more or fewer cells than columns.
    """
    places = [names.index(name) for name in columns]
    cells = islice(all_rows(dialect, path), 0 if dialect.columns is not None else 1, None)
    for line, row in fitting(cells, path, names):
        yield line, [row[place] for place in places]


def fitting(rows: Iterator[Row], path: Path, names: Sequence[str]) -> Iterator[Row]:
    """The rows below the header, without lines of blanks; an empty last cell may be too many.

    Raises:
        SourceError: a row has more or fewer cells than there are names.
    """
    width = len(names)
    for line, row in rows:
        if len(row) != width and not (len(row) == width + 1 and not row[-1].strip()):  # an empty last cell is nothing
            if len(row) == 1 and not row[0].strip():  # a line of blanks is an empty line
                continue
            raise _odd_row(path, line, row, names)
        yield line, row


def names_of(dialect: Dialect, path: Path, columns: Sequence[str]) -> list[str]:
    """Names of a file's columns, without blanks around them unless `columns` has the name with its blanks."""
    names = dialect.columns
    if names is None:
        names = next((row for _, row in all_rows(dialect, path)), [])
    return [name if name in columns else name.strip() for name in names]


def check(names: Sequence[str], columns: Sequence[str], path: Path) -> None:
    """Raise SourceError if a column is missing or occurs twice."""
    if missing := [name for name in columns if name not in names]:
        raise SourceError(
            "columns are missing",
            where=str(path),
            got=", ".join(names[:20]),
            expected=", ".join(missing),
            next_step=_next_step(names)
            or "name the columns that are there; if the header is further down, `skip_lines:`",
        )
    if duplicates := sorted({name for name in columns if names.count(name) > 1}):
        raise SourceError("a column stands twice", where=str(path), got=", ".join(duplicates))


def all_rows(dialect: Dialect, path: Path) -> Iterator[Row]:
    """Every row that is not empty and no comment, the header among them.

    Raises:
        SourceError: no such file, it is damaged, not in its encoding, or has a quotation mark out of place.
    """
    with text_lines.readable(path):
        try:
            with text_encoding.open_text(
                path, dialect.encoding, "" if dialect.quoted else line_end(dialect, path)
            ) as text:
                lines: Iterator[str] = text
                if text_encoding.has_no_controls(dialect.encoding):
                    lines = text_encoding.checked(text, path, dialect.encoding)
                for _ in islice(lines, dialect.skip_lines):
                    pass
                lines = without_last(lines, dialect.skip_last_lines) if dialect.skip_last_lines else lines
                yield from rows_of_lines(dialect, path, lines)
        except UnicodeError as error:
            raise text_encoding.undecodable(path, dialect.encoding, error) from error


def rows_of_lines(dialect: Dialect, path: Path, lines: Iterator[str]) -> Iterator[Row]:
    """The rows that are not empty of the lines after the first `skip_lines`.

    Raises:
        SourceError: a quotation mark is out of place.
    """
    return _quoted(dialect, path, lines) if dialect.quoted else _unquoted(dialect, lines)


class _Lines:
    """Lines without comments: a line that begins a row, not one inside quotation marks, can be a comment."""

    def __init__(self, lines: Iterator[str], comment: str) -> None:
        self._lines = lines
        self._comment = comment
        self.skipped = 0
        self.begins_row = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self._lines:
            if self.begins_row and line.startswith(self._comment):
                self.skipped += 1
                continue
            self.begins_row = False
            return line
        raise StopIteration


def _quoted(dialect: Dialect, path: Path, lines: Iterator[str]) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    uncommented = _Lines(lines, dialect.comment) if dialect.comment is not None else None
    reader = csv.reader(uncommented or lines, delimiter=dialect.delimiter, strict=True)
    above = dialect.skip_lines + 1
    begin = above
    try:
        if uncommented is None:
            for row in reader:
                if row:
                    yield begin, row
                begin = above + reader.line_num
            return
        for row in reader:
            if row:
                yield begin + uncommented.skipped, row
            begin = above + reader.line_num
            uncommented.begins_row = True
    except csv.Error as error:
        begin += uncommented.skipped if uncommented is not None else 0
        raise SourceError("the table cannot be read", where=f"{path} line {begin}", got=error) from error


def _unquoted(dialect: Dialect, lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, dialect.skip_lines + 1):
        content = line.rstrip("\r\n")
        if content and not (dialect.comment is not None and content.startswith(dialect.comment)):
            yield number, content.split(dialect.delimiter)


def without_last(lines: Iterator[str], count: int) -> Iterator[str]:
    """The lines but for the last ones."""
    held: deque[str] = deque()
    for line in lines:
        held.append(line)
        if len(held) > count:
            yield held.popleft()


def line_end(dialect: Dialect, path: Path) -> str:
    """What lines of a file without quotation marks end with: a line feed, or a carriage return if there is none."""
    text: TextIO
    with text_encoding.open_text(path, dialect.encoding) as text:
        head = text.read(_HEAD_CHARACTERS)
    return "\r" if "\r" in head and "\n" not in head else "\n"


def _odd_row(path: Path, line: int, row: list[str], names: Sequence[str]) -> SourceError:
    got = f"{len(row)} cells: {' | '.join(row[:5])[:100]}"
    return SourceError(
        "the table cannot be read",
        where=f"{path} line {line}",
        got=got,
        expected=f"{len(names)}: {', '.join(names[:20])}",
        next_step=_next_step(names)
        or ("put cells with commas inside in quotation marks; " if len(row) > len(names) else "")
        + "mend the line; `skip_lines:`, `skip_last_lines:` and `comment:` leave out lines",
    )


def _next_step(names: Sequence[str]) -> str | None:
    """The key to set if a header of one column has another delimiter in it."""
    if names and names[0].lower().startswith("sep="):
        return f'set `skip_lines: 1` and `delimiter: "{names[0][4:] or ","}"`'
    if len(names) != 1:
        return None
    counts = {mark: names[0].count(mark) for mark in DELIMITERS}
    mark = max(counts, key=lambda one: counts[one])
    if counts[mark]:
        return f'set `delimiter: "{DELIMITERS[mark]}"`, with `kind: csv`'
    return "if the header is further down, set `skip_lines:`"
