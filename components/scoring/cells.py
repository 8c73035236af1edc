"""Items for the predictor from the cells of tables, and why a cell is none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.core.errors import ModelyardError, SampleError, SourceError
from components.inference import body
from components.ingestion.feature_cells import FeatureCells
from components.ingestion.image_cells import ImageFiles
from components.ingestion.number_cells import Numbers
from components.scoring.sources import ScoreSource
from components.scoring.table_form import TableForm
from components.tasks.task import EndpointSchema, Processor

_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{60,}={0,2}\s*")


class SampleProblem(NamedTuple):
    """Why a sample has no answer: a code, as a service gives it, and a sentence."""

    code: str
    text: str


class CellReader:
    """Makes items of cells, as the form of the tables says and as the endpoint takes samples."""

    def __init__(self, source: ScoreSource, form: TableForm, processor: Processor, endpoint: EndpointSchema) -> None:
        self._source, self._processor, self._endpoint = source, processor, endpoint
        self._is_encoded = endpoint.schema.get("contentEncoding") == body.ENCODED
        self._is_text = endpoint.schema.get("type") == "string" and not self._is_encoded
        self._convert = self._converter(form)

    def item(self, cells: list[Any], file: int) -> Any:
        """The item of the cells of `TableForm.columns` in a file of this number.

        Raises:
            SampleError, SourceError: they are none.
        """
        return self._convert(cells, file)

    def _converter(self, form: TableForm) -> Callable[[list[Any], int], Any]:
        """Cells of `form.columns`, and the number of the file, to an item."""
        if form.mode == "features":
            cells_of = FeatureCells(form.layout)
            places = [form.columns.index(name) for name in form.layout.features]
            return lambda cells, _: cells_of.of([cells[place] for place in places], "", 0)
        if form.mode == "values":
            numbers = Numbers(form.layout, form.columns)
            return lambda cells, _: numbers.of(cells, "", 0).tolist()
        if form.mode == "object":
            return lambda cells, _: self._of_value(_object(form, self._endpoint, cells))
        return lambda cells, file: self._of_cell(cells[0], file)

    def _of_cell(self, cell: Any, file: int) -> Any:
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            raise SampleError(f"no {self._endpoint.item}", code="type", got="an empty cell")
        if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):  # as Hugging Face's `datasets` writes it
            cell = cell["bytes"]
        if isinstance(cell, bytes):
            return cell
        if self._is_encoded and isinstance(cell, str):
            named = self._file_of(cell, file)
            return self._of_value(cell) if named is None else _content(named)
        if self._is_text and not isinstance(cell, str):
            raise SampleError("no text", code="type", got=f"{type(cell).__name__} {str(cell)[:40]}", expected="a text")
        if isinstance(cell, str) and not self._is_text:
            with_json = _parsed(cell)
            return self._of_value(cell if with_json is None else with_json)
        return self._of_value(cell)

    def _file_of(self, cell: str, file: int) -> Path | None:
        """The file that a cell names; None if it is base64."""
        if cell.startswith("data:"):
            return None
        layout = self._source.form.layout if self._source.form is not None else None
        table = Path(self._source.paths[file])
        folder = getattr(layout, "image_folder", None)
        files = ImageFiles(table, table.parent, folder, getattr(layout, "image_suffix", None))
        try:
            path = files.path(cell)
        except (OSError, ValueError):  # too long for a name
            return None
        if path is not None and path.is_file():
            return path
        if _BASE64.fullmatch(cell) is None:
            raise SourceError("no such file beside the table", got=cell[:100])
        return None

    def _of_value(self, value: Any) -> Any:
        (item,) = body.of_document(self._processor, self._endpoint, {self._endpoint.item: value}).items
        return item


def problem_of(error: ModelyardError) -> SampleProblem:
    """An error of one sample as a problem."""
    parts = [
        error.what,
        *(f"{name} {value}" for name, value in (("got", error.got), ("expected", error.expected)) if value),
    ]
    return SampleProblem(getattr(error, "code", "") or "sample", "; ".join(parts)[:500])


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError("the file cannot be read", got=error.strerror) from error


def _object(form: TableForm, endpoint: EndpointSchema, cells: Sequence[Any]) -> dict[str, Any]:
    """An object of the cells that have a value; text of a table is converted to what the schema asks for."""
    properties, found = endpoint.schema["properties"], dict[str, Any]()
    for name, cell in zip(form.columns, cells, strict=True):
        if cell is None or cell == "" or cell != cell:
            continue
        kind = properties[name].get("type")
        if isinstance(cell, str) and kind in ("integer", "number"):
            try:
                cell = int(cell) if kind == "integer" else float(cell)
            except ValueError as error:
                raise SampleError("a value that is no number", code="type", got=f"{cell!r} in {name}") from error
        found[name] = str(cell) if kind == "string" else cell
    return found


def _parsed(text: str) -> Any:
    """A JSON list or object; None for any other text."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list | dict) else None
