"""The files of a table while it is recognised: the first rows, and all rows once more where the first prove nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from components.core.errors import SourceError
from components.drafting import dialect, encoding
from components.drafting.cells import Column
from components.ingestion import delimited, json_lines, text_encoding
from components.ingestion.dialect import Dialect

if TYPE_CHECKING:
    from components.ingestion.delimited_blocks import RowBlock

MAX_ROWS = 2000  # rows read to recognise the columns
_BATCH = 1024
_BLOCK = 1 << 14  # rows of a block that is made from single rows
_MOST_BELOW = 20  # lines below the last row


class Rows(NamedTuple):
    """Rows of a file, by column.

    Args:
        where: the file and what its rows are counted in, `line` or `row`.
        block: their numbers, and their cells as text; a null is an empty text.
    """

    where: str
    block: RowBlock

    def place(self, row: int) -> str:
        """Where a row of the block is."""
        return f"{self.where} {self.block.lines[row]}"


class Files(NamedTuple):
    """Files of one table, by split; all have the same columns.

    Args:
        keys: keys of the layout that say how the files are written; notes: the same in words.
        schema: of Parquet files.
        nested: columns of JSON lines with values that are no single text or number.
        blank: by column, a word whose cells are read as empty (missing_words.py).
    """

    by_split: dict[str, list[Path]]
    kind: str
    names: list[str]
    dialect: Dialect
    keys: dict[str, Any]
    notes: list[str]
    schema: Any = None
    nested: tuple[str, ...] = ()
    blank: Mapping[str, str] = {}

    @property
    def list_columns(self) -> list[str]:
        """Columns whose values are lists."""
        if self.schema is None:
            return [name for name in self.nested if any(isinstance(value, list) for value in self.values(name))]
        import pyarrow as pa

        return [
            field.name for field in self.schema if pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
        ]

    def values(self, name: str) -> Iterator[Any]:
        """The values of a column of Parquet files or JSON lines, as they are."""
        for path in self.paths:
            if self.kind == "jsonl":
                yield from (value for _, (value,) in json_lines.rows(path, [name], self.dialect.encoding))
                continue
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as table:
                for batch in table.iter_batches(_BATCH, columns=[name]):
                    yield from batch.column(0).to_pylist()

    @property
    def paths(self) -> list[Path]:
        """All files, in the order in which they are read."""
        return [path for paths in self.by_split.values() for path in paths]

    def head(self, names: Sequence[str]) -> list[Column]:
        """The first cells of columns, of the first file that has rows."""
        rows: list[list[str]] = []
        for _, cells in self.rows(names):
            rows.append(cells)
            if len(rows) == MAX_ROWS:
                break
        if not rows:
            raise SourceError("the table holds no sample", where=str(self.paths[0]))
        return [Column(name, [row[index].strip() for row in rows]) for index, name in enumerate(names)]

    def rows(self, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Where each row of each file is, and its cells of these columns as text; a null is an empty text.

        Raises:
            SourceError: a file cannot be read, or a row has more or fewer cells than columns.
        """
        for path in self.paths:
            yield from self.rows_of(path, names)

    def blocks(self, names: Sequence[str]) -> Iterator[Rows]:
        """`rows`, many at once.

        Raises:
            SourceError: as of `rows`.
        """
        words = [self.blank.get(name) for name in names]
        for rows in self._blocks(names):
            yield rows._replace(block=_blanked(rows.block, words)) if any(words) else rows

    def _blocks(self, names: Sequence[str]) -> Iterator[Rows]:
        """`blocks` with the cells as they are."""
        from components.ingestion import columnar, delimited_blocks

        for path in self.paths:
            if self.kind in ("csv", "tsv"):
                own = delimited.names_of(self.dialect, path, ())
                for block in delimited_blocks.blocks(self.dialect, path, own, names):
                    yield Rows(f"{path} line", block)
                continue
            if self.kind == "parquet":
                for block in columnar.blocks(path, names):
                    yield Rows(f"{path} row", block._replace(columns=list(map(_as_text, block.columns))))
                continue
            rows = self.rows_of(path, names)
            while batch := list(islice(rows, _BLOCK)):
                where, _, _ = batch[0][0].rpartition(" ")
                lines = [int(place.rpartition(" ")[2]) for place, _ in batch]
                yield Rows(where, delimited_blocks.of_rows(lines, [cells for _, cells in batch]))

    def rows_of(self, path: Path, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """`rows` of one file."""
        words = [self.blank.get(name) for name in names]
        for where, cells in self._cells_of(path, names):
            yield (
                where,
                (
                    ["" if cell.strip() == word else cell for cell, word in zip(cells, words, strict=True)]
                    if any(words)
                    else cells
                ),
            )

    def _cells_of(self, path: Path, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Where each row of a file is, and its cells of these columns as they are."""
        if self.kind == "jsonl":
            for line, found in json_lines.rows(path, names, self.dialect.encoding):
                yield f"{path} line {line}", ["" if cell is None or cell != cell else str(cell) for cell in found]
            return
        if self.kind != "parquet":
            own = delimited.names_of(self.dialect, path, ())
            for line, cells in delimited.rows(self.dialect, path, own, names):
                yield f"{path} line {line}", cells
            return
        import pyarrow.parquet as pq

        row = 0
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(_BATCH, columns=list(names)):
                for record in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                    yield f"{path} row {row}", ["" if cell is None or cell != cell else str(cell) for cell in record]
                    row += 1


def _blanked(block: Any, words: Sequence[str | None]) -> Any:
    """A block without the cells of each column that are its word."""
    import pyarrow.compute as pc

    columns = [
        column if word is None else pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), word), "", column)
        for column, word in zip(block.columns, words, strict=True)
    ]
    return block._replace(columns=columns)


def _as_text(column: Any) -> Any:
    """A column of a Parquet file as `rows_of` gives its cells: text, empty for null and NaN."""
    from components.ingestion import columns, typed_columns

    try:
        return columns.filled(typed_columns.label(column), "")
    except typed_columns.OtherTypeError:
        return columns.text(["" if cell is None or cell != cell else str(cell) for cell in column.to_pylist()])


def open_files(files: Mapping[str, Sequence[Path]], kind: str) -> Files:
    """Read how the first file is written and which columns it has; the others must be alike.

    Raises:
        SourceError: a file is empty or binary, or its columns differ from those of the first.
    """
    by_split = {split: list(paths) for split, paths in files.items()}
    first, *others = (path for paths in by_split.values() for path in paths)
    if kind == "parquet":
        return _parquet(by_split, first, others)
    if kind == "jsonl":
        return _json_lines(by_split, first, others)
    recognised = {path: dialect.recognise(path, kind) for path in (first, *others)}
    coded = next((path for path in recognised if recognised[path].dialect.encoding != "utf-8"), first)
    ascii_only = [path for path in recognised if path != coded and encoding.decodes(path, "ascii")]
    model = recognised[coded]
    written, keys, notes = model.dialect, dict(model.keys), list(model.notes)
    names = delimited.names_of(written, first, ())
    below = {path: rows_below(written, path, len(names)) for path in recognised}
    if len(set(map(len, below.values()))) == 1 and below[first]:
        written = written._replace(skip_last_lines=len(below[first]))
        keys["skip_last_lines"] = len(below[first])
        notes.append(f"below the last row, {len(below[first])} skipped: {' / '.join(below[first])[:80]}")
    for path, other in recognised.items():
        same = other.dialect._replace(skip_last_lines=written.skip_last_lines)
        same = same._replace(encoding=written.encoding) if path in ascii_only else same
        if same != written:
            raise SourceError(
                "the files of the table are not written alike",
                where=str(path),
                got=_described(same, written),
                expected=f"{_described(written, same)}, as in {coded.name}",
                next_step="write all files alike",
            )
        _same(names, delimited.names_of(same, path, ()), first, path)
    return Files(by_split, str(keys.get("kind", kind)), names, written, keys, notes)


def rows_below(written: Dialect, path: Path, width: int) -> list[str]:
    """The first cells of the lines at the end of a file that are no rows; [] if there are none.

    They are shorter than the table and begin with words: one that begins with a digit is a row that is cut short.
    If shorter rows are elsewhere too, they are not left out: reading refuses them.
    """
    from components.ingestion import delimited_blocks

    below: list[str] = []
    lines: list[int] = []
    for piece in delimited_blocks.pieces(written, path, width, [0]):
        for line, row in piece if isinstance(piece, list) else ((0, None),):
            if row is not None and len(row) < width:
                below.append(row[0].strip())
                lines.append(line)
            elif below:
                return []
    if not below or len(below) > _MOST_BELOW or any(cell[:1].isdigit() or cell[:1] in "+-." for cell in below):
        return []
    total = _lines(written, path)
    return below if lines == list(range(total - len(lines) + 1, total + 1)) else []


def _lines(written: Dialect, path: Path) -> int:
    with text_encoding.open_text(path, written.encoding) as text:
        return sum(1 for _ in text)


def _parquet(by_split: dict[str, list[Path]], first: Path, others: Sequence[Path]) -> Files:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def schema(path: Path) -> Any:
        try:
            return pq.read_schema(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise SourceError("not a Parquet file", where=str(path), got=str(error).splitlines()[0]) from error

    columns = schema(first)
    for path in others:
        _same(columns.names, schema(path).names, first, path)
    return Files(by_split, "parquet", list(columns.names), Dialect(), {}, [], columns)


def _json_lines(by_split: dict[str, list[Path]], first: Path, others: Sequence[Path]) -> Files:
    coding = encoding.recognise(first)
    keys: dict[str, Any] = {} if coding.name == "utf-8" else {"encoding": coding.name}
    names = json_lines.names_of(first, coding.name)
    for path in others:
        _same(names, json_lines.names_of(path, coding.name), first, path)
    head = [document for _, (_, document) in zip(range(MAX_ROWS), json_lines.objects(first, coding.name), strict=False)]
    nested = tuple(name for name in names if any(isinstance(one.get(name), list | dict) for one in head))
    written = Dialect(encoding=coding.name)
    return Files(by_split, "jsonl", names, written, keys, [coding.note] if coding.note else [], None, nested)


def class_names(files: Files, label: str) -> list[str] | None:
    """Names of the classes that Hugging Face's `datasets` writes into the metadata of Parquet files."""
    metadata = (files.schema.metadata or {}) if files.schema is not None else {}
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][label]
        names = feature.get("feature", feature)["names"]  # of a list, those of its values
    except (KeyError, TypeError, ValueError):
        return None
    return (
        names if isinstance(names, list) and len(names) > 1 and all(isinstance(name, str) for name in names) else None
    )


def _same(names: Sequence[str], others: Sequence[str], first: Path, path: Path) -> None:
    if set(names) != set(others):
        missing, extra = sorted(set(names) - set(others)), sorted(set(others) - set(names))
        got = "; ".join(
            part for part in (f"without {', '.join(missing)}" if missing else "",
                              f"with {', '.join(extra)}" if extra else "") if part
        )  # fmt: skip
        raise SourceError(
            "the files of the table have different columns",
            where=str(path),
            got=got,
            expected=f"the columns of {first.name}: {', '.join(names[:20])}",
        )


def _described(one: Dialect, other: Dialect) -> str:
    differing = [(key, value) for key, value, its in zip(one._fields, one, other, strict=True) if value != its]
    return ", ".join(f"{key} {value!r}" for key, value in differing)
