"""Rows of a table file as the input of a service for tables: read as the dataset's own table is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from components.contracts.table_layout import Columns
from components.core.errors import ModelyardError, SourceError

KINDS = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_WRITTEN = {
    "encoding", "delimiter", "skip_lines", "skip_last_lines", "comment", "header", "columns", "decimal", "thousands",
    "missing_values",
}  # fmt: skip
_TEXT_ONLY = _WRITTEN - {"missing_values"}  # of CSV and TSV files


class TableRows(NamedTuple):
    """The rows of a file as values of a JSON request, and what a person should know of them."""

    name: str
    rows: list[dict[str, Any]]
    notes: list[str]


def kind_of(text: str) -> str | None:
    """The kind of table that a file's name says; None for other names."""
    path = Path(text[:-3] if text.lower().endswith(".gz") else text)
    return KINDS.get(path.suffix.lower())


def read(path: Path, kind: str, row_schema: Mapping[str, Any], columns: Columns | None) -> TableRows:
    """Read all rows of a file.

    Args:
        row_schema: JSON schema of a row, with the columns that the service takes.
        columns: the table of the dataset, as its dataset.yaml describes it; None if it is no table.

    Raises:
        SourceError: the file cannot be read, is not UTF-8 where the dataset's table is, or lacks columns that the
            service takes; all of them are named.
    """
    from components.contracts.dataset_layout import TableLayout
    from components.ingestion import table

    properties = row_schema["properties"]
    numbers = [name for name, one in properties.items() if "number" in _types(one)]
    features = {"numbers": numbers or None, "categories": [name for name in properties if name not in numbers] or None}
    first: ModelyardError | None = None
    for written, note in _ways(path, kind, columns, list(properties)):
        layout = TableLayout(files={"": path.name}, label=None, **{"kind": kind, **written, **features})
        try:
            names = _names(layout, path)
            _check(path, names, list(properties))
            rows = [dict(sample.values["row"]) for sample in table.samples(layout, path.parent, lambda _: None)]
        except SourceError as error:
            first = first or error
            continue
        notes = [note] if note else []
        if layout.kind != "parquet":
            notes += _encoding_notes(path, layout.encoding)
        others = [name for name in names if name not in properties]
        if others:
            notes.append(f"columns that the model does not take are left out: {', '.join(others)}")
        if not rows:
            raise SourceError("the table holds no row", where=str(path))
        return TableRows(path.name, rows, notes)
    raise first or SourceError("the table cannot be read", where=str(path))


def _encoding_notes(path: Path, encoding: str) -> list[str]:
    """What a person should know of a file that seems to be in another encoding than it is read in.

    Raises:
        SourceError: it is read as UTF-8 and is not.
    """
    import codecs

    from components.ingestion import text_encoding

    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig") and (error := text_encoding.first_not_utf8(path)):
        raise error
    note = text_encoding.utf8_instead(path, encoding)
    return (
        [] if note is None else [f"{note}; the dataset's `encoding:` is {encoding}: save the file in it if it is right"]
    )


def _ways(path: Path, kind: str, columns: Columns | None, wanted: list[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """How the file may be written: as the table of the dataset, else as the file itself looks; with a note."""
    known = {} if columns is None else columns.model_dump(include=_WRITTEN, exclude_none=True)
    is_text = kind in ("csv", "tsv")
    if columns is not None and (columns.kind in ("csv", "tsv")) == is_text:
        others = {**_without_text_keys(known), "encoding": columns.encoding}  # of JSON lines
        yield ({**known, "kind": columns.kind} if is_text else others), ""
        if is_text and columns.columns is not None:  # a file without a header, and without the label
            inputs = [name for name in columns.columns if name in wanted]
            note = f"the columns of {path.name} are read as {', '.join(inputs)}"
            yield {**known, "kind": columns.kind, "columns": inputs}, note
    if is_text:
        from components.drafting import table_files

        files = table_files.open_files({"": [path]}, kind)
        written = {"kind": files.kind, **{key: value for key, value in files.keys.items() if key in _WRITTEN}}
        note = f"{path.name} is not written as the dataset's table, and is read as it looks" if known else ""
        yield {**_without_text_keys(known), **written}, note
    else:
        yield _without_text_keys(known), ""


def _without_text_keys(known: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in known.items() if key not in _TEXT_ONLY}


def _names(layout: Columns, path: Path) -> list[str]:
    from components.ingestion import delimited, dialect, json_lines

    if layout.kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return list(pq.read_schema(path).names)
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError("not a Parquet file", where=str(path), got=str(error).splitlines()[0]) from error
    if layout.kind == "jsonl":
        return json_lines.names_of(path, layout.encoding)
    return delimited.names_of(dialect.of(layout), path, layout.features)


def _check(path: Path, names: list[str], wanted: list[str]) -> None:
    if missing := [name for name in wanted if name not in names]:
        raise SourceError(
            f"columns that the model takes are missing: {', '.join(missing)}",
            where=str(path),
            got=", ".join(names[:20]),
            expected=", ".join(wanted),
            next_step="add the columns, with empty cells where a value is missing",
        )


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)
