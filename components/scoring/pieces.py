"""Cuts an input into pieces. Where the cuts are depends on the input alone, so that parts can be made again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from components.core.errors import SourceError
from components.ingestion import delimited, text_encoding, text_lines
from components.scoring import dataset_pieces
from components.scoring.piece import FILES, ROWS, TEXT_CHARACTERS, Piece, size
from components.scoring.records import Lines, open_text, records
from components.scoring.sources import ScoreSource, total_bytes
from components.scoring.table_form import TableForm


def of(source: ScoreSource) -> Iterator[Piece]:
    """The pieces of an input, in order; one piece is in memory.

    Raises:
        SourceError: a file cannot be read at all.
    """
    if source.kind == "dataset":
        yield from dataset_pieces.of(Path(source.paths[0]), source.split)
    elif source.form is None:
        step = size(len(source.paths), FILES)
        for number, start in enumerate(range(0, len(source.paths), step)):
            yield Piece(number, "files", start, 0, list(range(start, min(start + step, len(source.paths)))))
    else:
        read = _batches if source.form.kind == "parquet" else _texts
        number = 0
        for file, path in enumerate(source.paths):
            for first, content in read(Path(path), file, source):
                kind = {"parquet": "batch", "jsonl": "json_lines"}.get(source.form.kind, "text")
                yield Piece(number, kind, file, first, content)  # type: ignore[arg-type]  # one of these three
                number += 1


def newline_of(form: TableForm, path: Path) -> str:
    """What lines end with, as in `open`."""
    return "" if form.kind == "jsonl" or form.dialect.quoted else delimited.line_end(form.dialect, path)


def _texts(path: Path, _file: int, source: ScoreSource) -> Iterator[tuple[int, str]]:
    """Whole rows as text, with the number of their first line."""
    assert source.form is not None  # noqa: S101  # the caller asked
    form, newline = source.form, newline_of(source.form, path)
    with text_lines.readable(path):
        try:
            with open_text(path, form.layout.encoding, newline) as text:
                yield from _Cutter(form, text, newline, size(total_bytes(source.paths), TEXT_CHARACTERS)).pieces()
        except UnicodeError as error:
            raise text_encoding.undecodable(path, form.layout.encoding, error) from error


class _Cutter:
    """Cuts the text of one table."""

    def __init__(self, form: TableForm, text: TextIO, newline: str, characters: int) -> None:
        self._form, self._text, self._newline, self._characters = form, text, newline, characters
        self._is_table = form.kind != "jsonl"
        self._line = 1

    def pieces(self) -> Iterator[tuple[int, str]]:
        """First line and text of each piece, without the lines above and below the rows."""
        below = self._form.dialect.skip_last_lines if self._is_table else 0
        if self._is_table:
            self._skip_head()
        held, first = "", self._line
        while more := self._read():
            if held and self._count(more) > below:
                yield first, held
                held, first = "", self._line - self._count(more)
            held += more
        if below:
            lines = list(io.StringIO(held, newline=self._newline))
            held = "".join(lines[: max(0, len(lines) - below)])
        if held:
            yield first, held

    def _skip_head(self) -> None:
        """The lines above the header, and the header."""
        dialect = self._form.dialect
        for _ in range(dialect.skip_lines):
            self._text.readline()
        self._line += dialect.skip_lines
        if dialect.columns is None:
            lines = Lines(self._text, self._line)
            next(records(dialect, lines), None)
            lines.begin()
            self._line = lines.number

    def _read(self) -> str:
        """The next rows as text; "" at the end."""
        piece = self._text.read(self._characters)
        if piece and not piece.endswith("\n"):
            piece += self._text.readline()
        if self._is_table and self._form.dialect.quoted and '"' in piece:
            piece = self._whole(piece)
        self._line += self._count(piece)
        return piece

    def _whole(self, piece: str) -> str:
        """The piece with the lines to the end of its last row, which may be in a cell with line ends."""
        more: list[str] = []

        def following() -> Iterator[str]:
            for line in iter(self._text.readline, ""):
                more.append(line)
                yield line

        lines = Lines(chain(io.StringIO(piece, newline=self._newline), following()), 0)
        count = self._count(piece)
        for _ in records(self._form.dialect, lines):
            if lines.number + len(lines.taken) >= count + len(more):  # and what a wrong row took and gave back
                break
        return piece + "".join(more)

    def _count(self, text: str) -> int:
        """The number of lines of a text."""
        if not text:
            return 0
        if self._newline == "\r":
            return text.count("\r") + (not text.endswith("\r"))
        ends = text.count("\n")
        if self._newline == "" and "\r" in text:
            ends += text.count("\r") - text.count("\r\n")
            return ends + (not text.endswith(("\n", "\r")))
        return ends + (not text.endswith("\n"))


def _batches(path: Path, file: int, source: ScoreSource) -> Iterator[tuple[int, bytes]]:
    """Rows of a Parquet file as Arrow streams, with the number of the first row from 0 on."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert source.form is not None  # noqa: S101  # the caller asked
    columns = list(dict.fromkeys([*source.form.columns, *source.form.kept]))
    try:
        total = sum(pq.read_metadata(one).num_rows for one in source.paths)
        row = 0
        with pq.ParquetFile(path) as parquet:
            schema = pa.schema([parquet.schema_arrow.field(name) for name in columns])
            for batch in parquet.iter_batches(size(total, ROWS), columns=columns, use_threads=False):
                yield row, _stream(batch.select(columns), schema)
                row += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError("the Parquet file cannot be read", where=source.paths[file], got=error) from error


def _stream(batch: Any, schema: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema.remove_metadata()) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema.remove_metadata()))
    return bytes(sink.getvalue())
