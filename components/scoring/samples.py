"""The samples of a piece: the item of each for the predictor, its place in the input, and what of it is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from components.core.errors import ModelyardError, SampleError
from components.identity import digest
from components.inference import body
from components.scoring.cells import CellReader, SampleProblem, problem_of
from components.scoring.piece import Piece
from components.scoring.records import Lines, records
from components.scoring.sources import ScoreSource
from components.scoring.table_form import TableForm
from components.tasks.task import EndpointSchema, Processor

if TYPE_CHECKING:
    import pyarrow as pa


_Row = tuple[int, Sequence[Any] | SampleProblem]  # line or row, and its cells


class Samples(NamedTuple):
    """The samples of a piece, by column; all lists have the same length.

    Args:
        items: for `Predictor.read`; a `SampleProblem` where a sample cannot be read.
        keys: columns that say which sample it is.
        kept: columns of the input, as texts or as they are stored.
        places: of each sample, for messages.
        input: digest of what was read.
    """

    items: list[Any]
    keys: dict[str, list[Any]]
    kept: dict[str, pa.Array | list[str | None]]
    places: list[str]
    input: str


class SampleReader:
    """Reads pieces of a source, as the processor and the endpoint of a package take samples."""

    def __init__(self, source: ScoreSource, processor: Processor, endpoint: EndpointSchema) -> None:
        self._source, self._processor, self._endpoint = source, processor, endpoint
        self._cells = None if source.form is None else CellReader(source, source.form, processor, endpoint)

    def read(self, piece: Piece) -> Samples:
        """The samples of a piece.

        Raises:
            DiskFullError, OSError: not of a sample, which has a `SampleProblem` then.
        """
        if piece.kind == "files":
            return self._of_files(piece)
        if piece.kind == "samples":
            return self._of_dataset(piece)
        assert self._source.form is not None  # noqa: S101  # a piece of a table
        rows = self._rows_of_batch(piece) if piece.kind == "batch" else self._rows_of_text(piece)
        return self._of_rows(piece, self._source.form, rows)

    def _of_files(self, piece: Piece) -> Samples:
        names = [self._source.names[number] for number in piece.content]
        items: list[Any] = []
        hashes: list[str | None] = []
        for number in piece.content:
            try:
                content = Path(self._source.paths[number]).read_bytes()
            except OSError as error:
                items.append(SampleProblem("file", f"the file cannot be read: {error.strerror or error}"))
                hashes.append(None)
            else:
                items.append(content)
                hashes.append(hashlib.sha256(content).hexdigest())
        return Samples(items, {"file": names}, {}, names, digest_of_files(names, hashes))

    def _of_dataset(self, piece: Piece) -> Samples:
        items = [self._items_of(sample.content, sample.media) for sample in piece.content]
        ids, splits, truths = ([sample[place] for sample in piece.content] for place in range(3))
        return Samples(items, {"id": ids, "split": splits, "truth": truths}, {}, ids, piece.digest())

    def _items_of(self, content: bytes, media: str) -> Any:
        try:
            (item,) = body.read(self._processor, self._endpoint, content, media).items
        except SampleError as error:
            return problem_of(error)
        return item

    def _rows_of_text(self, piece: Piece) -> Iterator[_Row]:
        """Line and cells of each row, in the order of the file's columns."""
        form = self._source.form
        assert form is not None  # noqa: S101  # a piece of a table
        from components.scoring.pieces import newline_of

        newline = newline_of(form, Path(self._source.paths[piece.file]))
        names = form.names[piece.file]
        lines = Lines(_lines(piece.content, newline), piece.first)
        if piece.kind == "json_lines":
            yield from _objects(lines, names)
            return
        width = len(names)
        for record in records(form.dialect, lines):
            cells = record.cells
            if cells is None:
                yield record.line, SampleProblem("row", record.problem)
            elif len(cells) == width or (len(cells) == width + 1 and not cells[-1].strip()):
                yield record.line, cells
            elif len(cells) > 1 or cells[0].strip():
                shown = " | ".join(cells[:5])[:100]
                yield record.line, SampleProblem("row", f"{len(cells)} cells in place of {width}: {shown}")

    def _rows_of_batch(self, piece: Piece) -> Iterator[_Row]:
        form = self._source.form
        assert form is not None  # noqa: S101  # a piece of a table
        batch = _batch(piece)
        columns = [batch.column(name).to_pylist() for name in form.columns]
        yield from enumerate(zip(*columns, strict=True), piece.first + 1)

    def _of_rows(self, piece: Piece, form: TableForm, rows: Iterator[_Row]) -> Samples:
        assert self._cells is not None  # noqa: S101  # a piece of a table
        is_batch = piece.kind == "batch"
        names = form.names[piece.file]
        places = list(range(len(form.columns))) if is_batch else [names.index(name) for name in form.columns]
        kept_places = [] if is_batch else [names.index(name) for name in form.kept]
        numbers: list[int] = []
        items: list[Any] = []
        kept: dict[str, list[str | None]] = {name: [] for name in form.kept}
        where = self._source.names[piece.file]
        unit = "row" if is_batch else "line"
        for number, cells in rows:
            numbers.append(number)
            if isinstance(cells, SampleProblem):
                items.append(cells)
            else:
                items.append(self._item([cells[place] for place in places], piece.file))
            for name, place in zip(form.kept, kept_places, strict=False):
                kept[name].append(None if isinstance(cells, SampleProblem) else _kept(cells[place]))
        stored: dict[str, Any] = kept
        if is_batch:
            batch = _batch(piece)
            stored = {name: batch.column(name) for name in form.kept}
        keys: dict[str, list[Any]] = {"file": [where] * len(numbers)} if self._source.has_names else {}
        shown = [f"{where} {unit} {number}" for number in numbers]
        return Samples(items, {**keys, unit: numbers}, stored, shown, piece.digest())

    def _item(self, cells: list[Any], file: int) -> Any:
        assert self._cells is not None  # noqa: S101  # a piece of a table
        try:
            return self._cells.item(cells, file)
        except ModelyardError as error:
            return problem_of(error)


def digest_of_files(names: Sequence[str], hashes: Sequence[str | None]) -> str:
    """The digest of the files of a piece: their names and contents; None for one that cannot be read."""
    return digest.of_value(list(map(list, zip(names, hashes, strict=True))))


def files_of(piece: Piece, source: ScoreSource) -> str:
    """The digest of the files of a piece, which are read for it."""
    hashes: list[str | None] = []
    for number in piece.content:
        try:
            hashes.append(digest.of_file(Path(source.paths[number])))
        except OSError:
            hashes.append(None)
    return digest_of_files([source.names[number] for number in piece.content], hashes)


def _lines(text: str, newline: str) -> Iterator[str]:
    import io

    return io.StringIO(text, newline=newline)


def _objects(lines: Lines, names: Sequence[str]) -> Iterator[_Row]:
    for line in lines:
        if line.strip():
            yield lines.number, _object_cells(line, names)
        lines.begin()


def _object_cells(line: str, names: Sequence[str]) -> Sequence[Any] | SampleProblem:
    try:
        document = json.loads(line)
    except RecursionError:
        return SampleProblem("json", "a line that is no JSON: it is nested too deep")
    except ValueError as error:
        return SampleProblem("json", f"a line that is no JSON: {error}")
    if not isinstance(document, dict):
        return SampleProblem("json", f"a line that is no object: {type(document).__name__}")
    return [document.get(name) for name in names]


def _kept(value: Any) -> str | None:
    """A value of the input as text; JSON of what is no text."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _batch(piece: Piece) -> Any:
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(piece.content)) as reader:
        return reader.read_next_batch()
