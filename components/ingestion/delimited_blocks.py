"""Rows of a CSV or TSV file as columns of text, many rows at once: the cells and line numbers that delimited.py gives.

Arrow splits blocks of plain lines: marks and cells, and quotation marks around whole cells. What is not so plain (cells
with line breaks, comments, rows of another length, lone carriage returns) is left to the reader of single rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from components.core.errors import SourceError
from components.ingestion import columns as arrow_columns
from components.ingestion import delimited, text_encoding, text_lines
from components.ingestion.delimited import Row
from components.ingestion.dialect import Dialect

_CHARACTERS = 1 << 22  # read at once
_ROWS = 1 << 14  # of a block that is made from single rows


class RowBlock(NamedTuple):
    """Rows one after the other.

    Args:
        lines: (n,) number of the line where each row begins.
        columns: of text, (n,) each.
    """

    lines: NDArray[np.int64]
    columns: list[pa.Array]

    def rows(self) -> Iterator[Row]:
        """Line and cells of each row."""
        cells = zip(*(column.to_pylist() for column in self.columns), strict=True)
        return ((line, list(row)) for line, row in zip(self.lines.tolist(), cells, strict=True))


def blocks(dialect: Dialect, path: Path, names: Sequence[str], columns: Sequence[str]) -> Iterator[RowBlock]:
    """The cells of `columns` of all rows, as `delimited.rows` reads them; none of the blocks is empty.

    Args:
        names: names of all columns of the file, from `delimited.names_of`; columns: one at least.

    Raises:
        SourceError: as of `delimited.rows`, at the same row.
    """
    places = [names.index(name) for name in columns]
    header = dialect.columns is None
    for piece in pieces(dialect, path, len(names), places):
        if isinstance(piece, RowBlock):
            lines, cells = piece
            piece = RowBlock(lines[1:], [column.slice(1) for column in cells]) if header else piece
            if len(piece.lines):
                yield piece
        else:
            rows = iter(piece[1:] if header else piece)
            yield from _blocks_of(delimited.fitting(rows, path, names), places)
        header = False


def pieces(dialect: Dialect, path: Path, width: int, places: Sequence[int]) -> Iterator[RowBlock | list[Row]]:
    """All rows, the header among them: blocks of rows that have `width` cells, or single rows of any length.

    Args:
        places: of the columns of a block; single rows have all their cells.

    Raises:
        SourceError: as of `delimited.all_rows`.
    """
    line_end = "" if dialect.quoted else delimited.line_end(dialect, path)
    is_odd = text_encoding.has_no_controls(dialect.encoding) or not dialect.delimiter.isascii()
    if is_odd or line_end == "\r" or width == 0:
        yield from _batched(delimited.all_rows(dialect, path))
        return
    with text_lines.readable(path):
        try:
            with text_encoding.open_text(path, dialect.encoding, line_end) as text:
                yield from _Pieces(dialect, path, line_end, width, places).of(text)
        except UnicodeError as error:
            raise text_encoding.undecodable(path, dialect.encoding, error) from error


class _Pieces:
    """Splits a text into blocks of whole lines."""

    def __init__(self, dialect: Dialect, path: Path, line_end: str, width: int, places: Sequence[int]) -> None:
        self._dialect, self._path, self._line_end = dialect, path, line_end
        self._line = dialect.skip_lines + 1  # number of the first line of which no row was given
        self._names = [str(place) for place in range(width)]
        self._places = [str(place) for place in places]
        self._parsing = {
            is_quoted: pacsv.ParseOptions(
                delimiter=dialect.delimiter, quote_char='"' if is_quoted else False, double_quote=is_quoted,
                escape_char=False,
            )
            for is_quoted in (False, True)
        }  # fmt: skip
        self._converting = pacsv.ConvertOptions(
            include_columns=list(dict.fromkeys(self._places)), strings_can_be_null=False, check_utf8=False,
            column_types=dict.fromkeys(self._names, pa.string()),
        )  # fmt: skip

    def of(self, text: TextIO) -> Iterator[RowBlock | list[Row]]:
        """The pieces of a text from its first line on."""
        for _ in range(self._dialect.skip_lines):
            text.readline()
        held = ""
        # The header by itself: its cells often are in quotation marks where no others are.
        for more in chain([text.readline()], iter(lambda: text.read(_CHARACTERS), "")):
            head, held = self._whole_lines(held + more)
            piece = self._piece(head) if head or len(held) < _CHARACTERS else None
            if piece is None:
                held += text.readline()
                yield from self._single(chain(self._lines_of(head + held), text), self._dialect.skip_last_lines)
                return
            if len(piece if isinstance(piece, list) else piece.lines):
                yield piece
            self._line += head.count("\n")
        yield from self._single(self._lines_of(held), self._dialect.skip_last_lines)

    def _whole_lines(self, text: str) -> tuple[str, str]:
        """The text up to the end of its last line that is surely none of the last ones to skip, and the rest."""
        end = text.rfind("\n")
        for _ in range(self._dialect.skip_last_lines):
            end = text.rfind("\n", 0, max(0, end))
        return text[: end + 1], text[end + 1 :]

    def _piece(self, head: str) -> RowBlock | list[Row] | None:
        """The rows of whole lines; None if they are not the last lines of their rows, or lines end in several ways."""
        if not head:
            return []
        plain = head.replace("\r\n", "\n") if "\r" in head else head
        if "\r" in plain:
            return None
        comment = self._dialect.comment
        is_commented = comment is not None and (plain.startswith(comment) or f"\n{comment}" in plain)
        is_odd = is_commented or "\0" in plain or plain.startswith("\ufeff")
        if not is_odd and (block := self._block(plain)) is not None:
            return block
        try:
            return self._rows(self._lines_of(head))
        except SourceError as error:  # a cell that ends in a later line, or a fault: the other reader tells
            if not isinstance(error.__cause__, csv.Error):
                raise
            return None

    def _block(self, plain: str) -> RowBlock | None:
        """The rows as Arrow splits them; None if one has another number of cells, or cells are quoted in other ways."""
        try:
            content = plain.encode()
            is_quoted = self._dialect.quoted and '"' in plain
            if is_quoted and not _are_quoted_cells(content, self._dialect.delimiter):
                return None
            reading = pacsv.ReadOptions(column_names=self._names, block_size=len(content) + 1)
            table = pacsv.read_csv(
                pa.BufferReader(content), read_options=reading, parse_options=self._parsing[is_quoted],
                convert_options=self._converting,
            )  # fmt: skip
        except (pa.ArrowInvalid, UnicodeEncodeError):
            return None
        lines = np.arange(self._line, self._line + table.num_rows)
        if table.num_rows != plain.count("\n") + (not plain.endswith("\n")):
            ends = np.flatnonzero(np.frombuffer(content + b"\n", np.uint8) == ord("\n"))
            lines = self._line + np.flatnonzero(np.diff(ends, prepend=-1) > 1)
            if len(lines) != table.num_rows:
                return None
        return RowBlock(lines, [table[place].combine_chunks() for place in self._places])

    def _lines_of(self, text: str) -> Iterator[str]:
        return io.StringIO(text, newline=self._line_end)

    def _rows(self, lines: Iterator[str]) -> list[Row]:
        return list(delimited.rows_of_lines(self._dialect._replace(skip_lines=self._line - 1), self._path, lines))

    def _single(self, lines: Iterator[str], skip_last: int) -> Iterator[list[Row]]:
        lines = delimited.without_last(lines, skip_last) if skip_last else lines
        dialect = self._dialect._replace(skip_lines=self._line - 1)
        return _batched(delimited.rows_of_lines(dialect, self._path, lines))


def _are_quoted_cells(content: bytes, delimiter: str) -> bool:
    """Whether quotation marks are only around whole cells or doubled inside of them, and no cell has a line break.

    Then every mark with an even number opens a cell or is the second one of a doubled mark, and the next one closes
    the cell or is the first one of a doubled mark: the readers cannot differ.
    """
    characters = np.frombuffer(b"\n" + content + b"\n", np.uint8)
    marks = np.flatnonzero(characters == ord('"'))
    beside = np.zeros(256, bool)
    beside[[ord('"'), ord("\n"), ord(delimiter)]] = True
    if len(marks) % 2 or not beside[characters[marks[::2] - 1]].all() or not beside[characters[marks[1::2] + 1]].all():
        return False
    line_ends = np.flatnonzero(characters == ord("\n"))
    return not (np.searchsorted(marks, line_ends) % 2).any()


def _batched(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Many rows at once; those before an error come before it."""
    batch: list[Row] = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == _ROWS:
                yield batch
                batch = []
    except (SourceError, UnicodeError):
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _blocks_of(rows: Iterator[Row], places: Sequence[int]) -> Iterator[RowBlock]:
    for batch in _batched(rows):
        yield of_rows([line for line, _ in batch], [[row[place] for place in places] for _, row in batch])


def of_rows(lines: Sequence[int], rows: Sequence[Sequence[str]]) -> RowBlock:
    """A block of single rows, one at least, which have the same number of cells."""
    return RowBlock(np.array(lines, np.int64), [arrow_columns.text(cells) for cells in zip(*rows, strict=True)])
