"""Rows of a CSV or TSV file as text, with their line numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from components.contracts.dataset_layout import Columns
from components.core.errors import SourceError
from components.ingestion import text_lines


def rows(layout: Columns, path: Path, columns: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """File and line of each row, and its cells by column name; empty lines are skipped.

    Raises:
        SourceError: the file cannot be read, a column is missing, a row has more or fewer cells than columns.
    """
    cells = _csv(layout, path) if layout.kind == "csv" else _tsv(layout, path)
    first = next(cells, None)
    names = layout.columns if layout.columns is not None else (first[1] if first is not None else [])
    check(names, columns, path)
    if first is not None and layout.columns is not None:
        cells = chain([first], cells)
    for number, row in cells:
        if len(row) != len(names):
            got, expected = f"{len(row)} cells", f"{len(names)}: {', '.join(names[:20])}"
            raise SourceError("the table cannot be read", where=f"{path} line {number}", got=got, expected=expected)
        yield f"{path} line {number}", dict(zip(names, row, strict=True))


def check(names: list[str], columns: list[str], path: Path) -> None:
    """Raise SourceError if a column is missing or occurs twice."""
    if missing := [name for name in columns if name not in names]:
        raise SourceError(
            "columns are missing", where=str(path), got=", ".join(names[:20]), expected=", ".join(missing)
        )
    if duplicates := sorted({name for name in columns if names.count(name) > 1}):
        raise SourceError("a column stands twice", where=str(path), got=", ".join(duplicates))


def header(layout: Columns, path: Path) -> list[str]:
    """The names of a file's columns."""
    if layout.columns is not None:
        return layout.columns
    return next((cells for _, cells in (_csv(layout, path) if layout.kind == "csv" else _tsv(layout, path))), [])


def _csv(layout: Columns, path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line for _, line in text_lines.read(path, layout.encoding)), strict=True)
    while True:
        begin = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise SourceError("the table cannot be read", where=f"{path} line {begin}", got=error) from error
        if row is None:
            return
        if row:
            yield begin, row


def _tsv(layout: Columns, path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in text_lines.read(path, layout.encoding):
        if content := line.rstrip("\r\n"):
            yield number, content.split("\t")
