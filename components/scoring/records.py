"""Rows of CSV and TSV text where one that cannot be read does not hide those after it."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from components.ingestion import text_encoding
from components.ingestion.dialect import Dialect

LONGEST_CELL = 1 << 20  # characters; a quotation mark that is never closed is given up after as many


def open_text(path: Path, encoding: str, newline: str = "") -> io.TextIOWrapper:
    """As `text_encoding.open_text`, but a byte that is not in the encoding becomes U+FFFD in every encoding.

    Raises:
        SourceError: no such file; its byte order mark or its zero bytes say another encoding.
    """
    text = text_encoding.open_text(path, encoding, newline)
    assert isinstance(text, io.TextIOWrapper)  # noqa: S101  # no other class of text files
    text.reconfigure(errors="replace")
    return text


class CsvRecord(NamedTuple):
    """A row as it is written.

    Args:
        line: number of the line where it begins.
        cells: None if the row cannot be read.
        problem: why it cannot be read.
    """

    line: int
    cells: list[str] | None
    problem: str = ""


class Lines:
    """Lines of a text with their numbers, of which some can be given back.

    Args:
        lines: with their ends.
        number: of the first line.
    """

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self._lines = lines
        self._returned: deque[str] = deque()
        self.number = number
        self.taken: list[str] = []  # since `begin`

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.taken.append(line)
        return line

    def begin(self) -> None:
        """The lines that were taken are done with."""
        self.number += len(self.taken)
        self.taken = []

    def give_back(self) -> None:
        """Give back all that was taken but the first line."""
        self._returned.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def records(dialect: Dialect, lines: Lines) -> Iterator[CsvRecord]:
    """The rows of lines; empty ones and comments are left out. `lines` stands at the end of the row that was given."""
    return _quoted(dialect, lines) if dialect.quoted else _plain(dialect, lines)


def _plain(dialect: Dialect, lines: Lines) -> Iterator[CsvRecord]:
    for line in lines:
        content = line.rstrip("\r\n")
        if content and not (dialect.comment is not None and content.startswith(dialect.comment)):
            yield CsvRecord(lines.number, content.split(dialect.delimiter))
        lines.begin()


def _quoted(dialect: Dialect, lines: Lines) -> Iterator[CsvRecord]:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
    while True:
        lines.begin()
        problem = ""
        try:
            row: list[str] | None = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row, problem = None, str(error)
        is_comment = dialect.comment is not None and lines.taken[0].startswith(dialect.comment)
        if row is None or is_comment:
            # A quotation mark that is not closed takes the lines after it along: they are read anew.
            lines.give_back()
            reader = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
        if is_comment or row == []:
            continue
        yield CsvRecord(lines.number, row, problem)
