"""How the tables of an input are written, and which of their columns a sample is made of."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from components.contracts.score_spec import ScoreOptions
from components.contracts.table_layout import Columns, TableLayout
from components.core.errors import ModelyardError, SourceError, UsageError
from components.ingestion import delimited, text_encoding
from components.ingestion.dialect import Dialect
from components.ingestion.dialect import of as dialect_of
from components.ingestion.feature_cells import FeatureCells
from components.scoring.records import Lines, open_text, records
from components.tasks.task import EndpointSchema

KINDS: Mapping[str, Literal["csv", "tsv", "parquet", "jsonl"]] = {
    ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip
# Keys of a dataset's layout that say how its files are written.
_WRITTEN = {
    "encoding", "delimiter", "skip_lines", "skip_last_lines", "comment", "header", "columns", "decimal", "thousands",
    "missing_values",
}  # fmt: skip
_TEXT_ONLY = _WRITTEN - {"missing_values"}
_TRIED_ROWS = 100
_NAMED_ROWS = 1000

Mode = Literal["features", "object", "cell", "values"]


@dataclass(frozen=True)
class TableForm:
    """How tables are read.

    Args:
        layout: as of a dataset, with the columns of features.
        names: of the columns of each file.
        mode: what a sample is: a row of features; an object of the columns; one cell; a list of cells.
        columns: what it is made of, in this order.
        kept: columns that are copied into the output.
        notes: what a person should know.
    """

    kind: Literal["csv", "tsv", "parquet", "jsonl"]
    layout: Columns
    names: list[list[str]]
    mode: Mode
    columns: list[str]
    kept: list[str]
    notes: list[str]

    @property
    def dialect(self) -> Dialect:
        """Of CSV and TSV."""
        return dialect_of(self.layout)


def kind_of(name: str) -> Literal["csv", "tsv", "parquet", "jsonl"] | None:
    """The kind of table that a file's name says; None for other names."""
    lower = name.lower()
    return KINDS.get(Path(lower.removesuffix(".gz")).suffix)


def recognise(
    paths: Sequence[Path], endpoint: EndpointSchema, *, is_row: bool, known: Columns | None, options: ScoreOptions
) -> TableForm:
    """How the tables are written: as the dataset of the model, else as they look.

    Args:
        is_row: whether a sample is a row of features.
        known: the table of the dataset that the model was trained on.

    Raises:
        SourceError: a file cannot be read, is not UTF-8 where it is read as that, or lacks columns that the model
            reads; all of them are named.
        UsageError: it cannot be told which column the sample is.
    """
    kinds = {kind_of(path.name) for path in paths}
    if len(kinds) != 1:
        raise UsageError("tables of several kinds", got=", ".join(sorted(map(str, kinds))), expected="one kind")
    (kind,) = kinds
    assert kind is not None  # noqa: S101  # the caller chose them by it
    errors: list[ModelyardError] = []
    best: tuple[int, TableForm] | None = None
    is_any_right = False
    for written, note in _ways(paths[0], kind, known, endpoint, is_row=is_row):
        try:
            form = _form(paths, {"kind": kind, **written}, endpoint, is_row, known, options)
            wrong, tried = _wrong_rows(form, paths[0])
        except (SourceError, UsageError) as error:
            errors.append(error)
            continue
        is_any_right |= wrong < tried or not tried
        if best is None or wrong < best[0]:
            best = wrong, TableForm(**{**vars(form), "notes": [*([note] if note else []), *form.notes]})
        if not wrong:
            break
    if best is None or (errors and not is_any_right):
        # A header without some columns is told as such, rather than as rows of another width; the fewest are named.
        unreadable = SourceError("the table cannot be read", where=str(paths[0]))
        raise min(errors, key=lambda error: len(error.what), default=unreadable)
    form = best[1]
    notes = (
        [] if kind == "parquet" else [note for path in paths for note in _encoding_notes(path, form.layout.encoding)]
    )
    return TableForm(**{**vars(form), "notes": [*form.notes, *notes]})


def _encoding_notes(path: Path, written: str) -> list[str]:
    """What a person should know of a file that seems to be in another encoding than it is read in.

    Raises:
        SourceError: it is read as UTF-8 and is not; a few damaged places are a note.
    """
    from components.drafting import encoding

    if codecs.lookup(written).name not in ("utf-8", "utf-8-sig"):
        note = text_encoding.utf8_instead(path, written)
        return (
            []
            if note is None
            else [f"{note}; the dataset's `encoding:` is {written}: save the file in it if it is right"]
        )
    error = text_encoding.first_not_utf8(path)
    if error is None:
        return []
    try:
        is_damaged = encoding.recognise(path).name == "utf-8"
    except SourceError:
        is_damaged = False
    if not is_damaged:
        raise error
    return [f"{error.where} is not UTF-8 ({error.got}): such bytes are read as \ufffd"]


def _ways(
    path: Path, kind: str, known: Columns | None, endpoint: EndpointSchema, *, is_row: bool
) -> Iterator[tuple[dict[str, Any], str]]:
    """Keys of the layout for each way in which a file may be written, with a note."""
    is_text = kind in ("csv", "tsv")
    keys = {} if known is None else known.model_dump(include=_WRITTEN, exclude_none=True)
    plain = {key: value for key, value in keys.items() if key not in _TEXT_ONLY}
    if known is not None and (known.kind in ("csv", "tsv")) == is_text:
        yield ({**keys, "kind": known.kind} if is_text else {**plain, "encoding": known.encoding}), ""
        if is_text and known.columns is not None and is_row:
            reads = [name for name in known.columns if name in endpoint.schema["properties"]]
            note = f"{path.name} has {len(reads)} columns, which are read as {', '.join(reads)}"
            yield {**keys, "kind": known.kind, "columns": reads}, note
    if kind == "parquet":
        yield plain, ""
        return
    from components.drafting import dialect, encoding

    if kind == "jsonl":
        coded = encoding.recognise(path)
        yield {**plain, "encoding": coded.name}, coded.note
        return
    found = dialect.recognise(path, kind)
    own = {key: value for key, value in found.keys.items() if key in _WRITTEN or key == "kind"}
    notes = [*found.notes]
    if keys:
        notes.insert(0, f"{path.name} is not written as the dataset's table, and is read as it looks")
    if is_row and "columns" in own:  # a header without rows below it looks like a row of texts
        yield {key: value for key, value in {**plain, **own}.items() if key not in ("columns", "header")}, ""
    yield {**plain, **own}, "; ".join(notes)
    if found.dialect.delimiter != ",":
        yield {**plain, **own, "decimal": ","}, "; ".join([*notes, "the decimal mark is a comma"])


def _form(
    paths: Sequence[Path], written: dict[str, Any], endpoint: EndpointSchema, is_row: bool, known: Columns | None,
    options: ScoreOptions,
) -> TableForm:  # fmt: skip
    properties = endpoint.schema.get("properties", {})
    numbers = [name for name in properties if is_row and "number" in _types(properties[name])]
    features = [name for name in properties if is_row and name not in numbers]
    content: dict[str, Any] = {"numbers": numbers or None, "categories": features or None}
    if not is_row:
        written = {key: value for key, value in written.items() if key != "missing_values"}
        content = {"values": ["-"]} if {"decimal", "thousands"} & written.keys() else {"text": "-"}
    layout = TableLayout(files={"": paths[0].name}, label=None, **{**written, **content})
    names = [_names(layout, path, numbers + features) for path in paths]
    mode, columns = _columns(names[0], endpoint, is_row, known, options)
    for path, own in zip(paths, names, strict=True):
        _check(path, own, columns, names[0])
    kept = _kept(names[0], columns, options)
    for path, own in zip(paths, names, strict=True):
        delimited.check(own, [*columns, *kept], path)
    return TableForm(layout.kind, layout, names, mode, columns, kept, [])


def _columns(
    names: Sequence[str], endpoint: EndpointSchema, is_row: bool, known: Columns | None, options: ScoreOptions
) -> tuple[Mode, list[str]]:
    if endpoint.schema.get("type") == "object":
        if options.column is not None:
            expected = "no --column: a sample is a row"
            raise UsageError("a sample of this model is no single column", got=options.column, expected=expected)
        properties = list(endpoint.schema["properties"])
        if is_row:
            return "features", properties
        required = endpoint.schema.get("required", [])
        return "object", [name for name in properties if name in names or name in required]
    if options.column is not None:
        return "cell", [options.column]
    if known is not None and isinstance(known.values, list) and set(known.values) <= set(names):
        return "values", known.values
    for name in (getattr(known, "text", None), getattr(known, "image", None), endpoint.item):
        if name in names and name is not None:
            return "cell", [name]
    if len(names) == 1:
        return "cell", [names[0]]
    raise UsageError(
        f"which column is the {endpoint.item}?",
        got=", ".join(names[:20]),
        expected=f"a column {endpoint.item}",
        next_step="name the column: --column NAME",
    )


def _kept(names: Sequence[str], columns: Sequence[str], options: ScoreOptions) -> list[str]:
    if isinstance(options.keep, list):
        return options.keep
    if options.keep == "none":
        return []
    return list(dict.fromkeys(name for name in names if options.keep == "all" or name not in columns))


def _check(path: Path, names: Sequence[str], columns: Sequence[str], first: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in names]:
        raise SourceError(
            f"columns that the model reads are missing: {', '.join(missing)}",
            where=str(path),
            got=", ".join(names[:20]),
            expected=", ".join(columns),
            next_step="add the columns, with empty cells where a value is missing",
        )
    if set(names) != set(first):
        differ = sorted(set(names) ^ set(first))
        raise SourceError(
            "the tables have different columns",
            where=str(path),
            got=", ".join(differ[:20]),
            expected="the same columns in all tables",
            next_step="score them one by one, or write --keep none if the columns need not be kept",
        )


def _names(layout: Columns, path: Path, features: Sequence[str]) -> list[str]:
    if layout.kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return list(pq.read_schema(path).names)
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError("not a Parquet file", where=str(path), got=str(error).splitlines()[0]) from error
    if layout.kind == "jsonl":
        return _keys(path, layout.encoding)
    return delimited.names_of(dialect_of(layout), path, features)


def _keys(path: Path, encoding: str) -> list[str]:
    """The keys of the first objects of a file of JSON lines; a line that is none is passed over."""
    import json

    names: dict[str, None] = {}
    with open_text(path, encoding) as text:
        for line in islice(text, _NAMED_ROWS):
            try:
                document = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(document, dict):
                names.update(dict.fromkeys(document))
    return list(names)


def _wrong_rows(form: TableForm, path: Path) -> tuple[int, int]:
    """How many of the first rows cannot be read in this form, and how many were tried."""
    if form.kind not in ("csv", "tsv"):
        return 0, 0
    cells, wrong, tried, names = FeatureCells(form.layout), 0, 0, form.names[0]
    places = [names.index(name) for name in form.columns]
    with open_text(path, form.layout.encoding) as text:
        lines = Lines(islice(text, form.dialect.skip_lines, _TRIED_ROWS * 10), form.dialect.skip_lines + 1)
        rows = records(form.dialect, lines)
        for record in islice(rows, 0 if form.dialect.columns is not None else 1, _TRIED_ROWS):
            tried += 1
            if record.cells is None or len(record.cells) not in (len(names), len(names) + 1):
                wrong += 1
            elif form.mode == "features":
                try:
                    cells.of([record.cells[place] for place in places], "", 0)
                except SourceError:
                    wrong += 1
    return wrong, tried


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)
