"""Rows of a file of JSON lines (https://jsonlines.org), plain or gzip: one object a line, its keys are the columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.core.errors import SourceError
from components.ingestion import text_encoding, text_lines

_NAMED_ROWS = 1000  # rows whose keys are the columns of the file

Row = tuple[int, list[Any]]  # number of the line, and the values of columns; None where an object does not have the key


def rows(path: Path, columns: Sequence[str], encoding: str = "utf-8") -> Iterator[Row]:
    """Line and values of each object; empty lines are skipped.

    Raises:
        SourceError: the file cannot be read, or a line is no JSON object.
    """
    for line, document in objects(path, encoding):
        yield line, [document.get(name) for name in columns]


def names_of(path: Path, encoding: str = "utf-8") -> list[str]:
    """The keys of the first objects, in the order in which they occur.

    Raises:
        SourceError: as of `rows`.
    """
    names: dict[str, None] = {}
    for number, (_, document) in enumerate(objects(path, encoding)):
        if number == _NAMED_ROWS:
            break
        names.update(dict.fromkeys(document))
    return list(names)


def objects(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and object of each line that is not empty.

    Raises:
        SourceError: as of `rows`.
    """
    with text_lines.readable(path):
        try:
            with text_encoding.open_text(path, encoding) as text:
                for number, line in enumerate(text, 1):
                    if line.strip():
                        yield number, _object(line, f"{path} line {number}")
        except UnicodeError as error:
            raise text_encoding.undecodable(path, encoding, error) from error


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SourceError("a line that is no JSON", where=where, got=error, expected="one object a line") from error
    if not isinstance(document, dict):
        raise SourceError("a line that is no object", where=where, got=type(document).__name__, expected='{"key": ...}')
    return document
