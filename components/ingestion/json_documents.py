"""Objects of a JSON file: one a line, or the entries of one list."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.core.errors import SourceError
from components.ingestion import json_lines, text_encoding, text_lines
from components.ingestion.sample import split_name

_HEAD = 4096
Document = dict[str, Any]


def read(path: Path, encoding: str = "utf-8") -> Iterator[tuple[str, Document]]:
    """Where each object is (a line, or an entry of the list, counted from 1), and the object.

    Raises:
        SourceError: no such file, it is no text in this encoding, or no JSON, or an entry is no object.
    """
    with text_lines.readable(path):
        head = text_encoding.first_bytes(path, _HEAD)
        try:
            with text_encoding.open_text(path, encoding) as text:
                is_list = text.read(len(head)).lstrip().startswith("[")
        except UnicodeError as error:
            raise text_encoding.undecodable(path, encoding, error) from error
    if not is_list:
        for line, document in json_lines.objects(path, encoding):
            yield f"{path} line {line}", document
        return
    for number, entry in enumerate(_list(path, encoding), 1):
        where = f"{path} entry {number}"
        if not isinstance(entry, dict):
            got, expected = type(entry).__name__, '{"key": ...}'
            raise SourceError("an entry that is no object", where=where, got=got, expected=expected)
        yield where, entry


def by_split(
    files: Mapping[str, str | list[str]], folder: Path, encoding: str = "utf-8"
) -> Iterator[tuple[str, str | None, str, Document]]:
    """The prefix of a sample's id, its split, where it is, and the object, for the files of each split.

    Raises:
        SourceError: as of `read`; or the name of a split is unknown.
    """
    for key, names in files.items():
        split = split_name(key, "layout.files") if key else None
        for name in [names] if isinstance(names, str) else names:
            prefix = key or "all" if isinstance(names, str) else f"{key or 'all'}/{name}"
            for where, document in read(folder / name, encoding):
                yield prefix, split, where, document


def _list(path: Path, encoding: str) -> list[Any]:
    try:
        with text_encoding.open_text(path, encoding) as text:
            document = json.load(text)
    except UnicodeError as error:
        raise text_encoding.undecodable(path, encoding, error) from error
    except (ValueError, RecursionError) as error:
        raise SourceError("the file is no JSON", where=str(path), got=error) from error
    if not isinstance(document, list):
        raise SourceError("the file is no list of objects", where=str(path), got=type(document).__name__)
    return document
