"""Sounds with what is said in them, by tables that name the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.contracts.transcript_layout import TranscriptLayout
from components.core.errors import SourceError
from components.ingestion import delimited, json_lines
from components.ingestion.dialect import Dialect
from components.ingestion.sample import Sample, split_name

_DELIMITERS = {"csv": ",", "tsv": "\t", "bars": "|"}


def samples(layout: TranscriptLayout, folder: Path) -> Iterator[Sample]:
    """The sounds of each table, in order; ids are `<split>/<row>`, counted from 0.

    Raises:
        SourceError: a table or a sound is missing, a path leads out of the source's folder, or a cell is empty.
    """
    columns = [layout.sound, layout.text, *([] if layout.group is None else [layout.group])]
    for split, name in layout.files.items():
        table = folder / name
        standard_split = split_name(split, "layout.files") if split else None
        base = table.parent / (layout.sound_folder or ".")
        for number, (line, cells) in enumerate(_rows(layout, table, columns)):
            where = f"{table} line {line}"
            path, text, *group = (_text(cell, column, where) for cell, column in zip(cells, columns, strict=True))
            sound = _file(base, f"{path}{layout.sound_suffix or ''}", folder, where).read_bytes()
            values: dict[str, Any] = {"sound": sound, "text": text, **({"group": group[0]} if group else {})}
            yield Sample(f"{split or 'all'}/{number:06d}", standard_split, values)


def _rows(layout: TranscriptLayout, table: Path, columns: list[str]) -> Iterator[tuple[int, list[Any]]]:
    if layout.form == "jsonl":
        yield from json_lines.rows(table, columns, layout.encoding)
        return
    delimiter = _DELIMITERS[layout.form]
    dialect = Dialect(layout.encoding, delimiter, quoted=layout.form == "csv", columns=layout.columns)
    names = delimited.names_of(dialect, table, columns)
    delimited.check(names, columns, table)
    yield from delimited.rows(dialect, table, names, columns)


def _text(cell: Any, column: str, where: str) -> str:
    if not isinstance(cell, str) or not cell.strip():
        got = "an empty cell" if isinstance(cell, str) or cell is None else type(cell).__name__
        raise SourceError(f"no {column}", where=where, got=got, expected="a text")
    return cell.strip()


def _file(base: Path, name: str, folder: Path, where: str) -> Path:
    """The file that a cell names, inside the source's folder."""
    path = (base / name.replace("\\", "/")).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise SourceError("a sound outside the source's folder", where=where, got=name)
    if not path.is_file():
        raise SourceError(
            "no such sound", where=where, got=name, expected=f"a file in {base}",
            next_step="add the file, or set `sound_folder:` (relative to the table) and `sound_suffix:`",
        )  # fmt: skip
    return path
