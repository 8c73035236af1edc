"""A CSV, TSV or Parquet file with one row for each sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.contracts.dataset_layout import TableLayout
from components.core.errors import SourceError
from components.ingestion import delimited, png
from components.ingestion.sample import Sample, split_name

_BATCH = 1024
_IMAGE_COLUMN = "\0drawn"  # name of the column of encoded images; no column of a table has this name


def samples(layout: TableLayout, folder: Path) -> Iterator[Sample]:
    """The rows of each file, in order; ids are `<file's split or name>/<row>`.

    Raises:
        SourceError: a file or column is missing, a cell is empty or of the wrong type, a path is outside the folder.
    """
    for key, name in layout.files.items():
        path = folder / name
        if not path.is_file():
            raise SourceError("no such file in the source", where=str(path))
        split = split_name(key, "layout.files") if key else None
        try:
            yield from _rows(layout, path, key or path.name.partition(".")[0], split)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeDecodeError) as error:
            raise SourceError("the table cannot be read", where=str(path), got=str(error).splitlines()[0]) from error


def _rows(layout: TableLayout, path: Path, prefix: str, split: str | None) -> Iterator[Sample]:
    names = list(pq.read_schema(path).names) if layout.kind == "parquet" else delimited.header(layout, path)
    pixels = _pixel_columns(layout.pixels, names, path) if layout.pixels is not None else []
    values = _value_columns(layout, names, path)
    single = [layout.label, layout.split, layout.time, layout.image, layout.text]
    columns = [*(name for name in single if name is not None), *pixels, *values]
    delimited.check(names, columns, path)
    if layout.kind == "parquet" or pixels:
        records = _records(layout, path, columns, pixels)
    else:
        records = delimited.rows(layout, path, columns)
    for row, (where, cells) in enumerate(records):
        split_cell = cells[layout.split] if layout.split is not None else None
        row_split = split if split_cell in (None, "") else split_name(str(split_cell), where)
        fields: dict[str, Any] = {}
        if layout.time is not None:
            fields["time"] = str(cells[layout.time])
        if layout.label is not None:
            fields["label"] = _label(cells[layout.label], layout, where)
        if layout.text is not None:
            fields["text"] = _text(cells[layout.text], where)
        elif layout.values is not None:
            fields["values"] = numbers([cells[name] for name in values], where)
        else:
            fields["image"] = cells[_IMAGE_COLUMN] if pixels else _image(cells[str(layout.image)], path, where)
        yield Sample(f"{prefix}/{row:06d}", row_split, fields)


def numbers(cells: list[Any], where: str) -> NDArray[np.float64]:
    """Cells as float64 (n,); an empty cell is NaN, which validation counts.

    Raises:
        SourceError: a cell is not a number.
    """
    if len(cells) == 1 and isinstance(cells[0], list):
        cells = cells[0]
    try:
        return np.array([math.nan if cell in (None, "") else float(cell) for cell in cells], np.float64)
    except (ValueError, TypeError) as error:
        raise SourceError("a value that is no number", where=where, got=error) from error


def _pixel_columns(prefix: str, names: list[str], path: Path) -> list[str]:
    """The pixel columns in the order of the numbers after the prefix."""
    columns = _numbered(prefix, names)
    if not columns or math.isqrt(len(columns)) ** 2 != len(columns):
        expected = f"a square number of columns {prefix}0, {prefix}1, ..."
        raise SourceError("no square image in these columns", where=str(path), got=len(columns), expected=expected)
    return columns


def _value_columns(layout: TableLayout, names: list[str], path: Path) -> list[str]:
    if not isinstance(layout.values, str):
        return layout.values or []
    columns = [layout.values] if layout.values in names else _numbered(layout.values, names)
    if not columns:
        expected = f"columns {layout.values}0, {layout.values}1, ..."
        raise SourceError("columns are missing", where=str(path), got=", ".join(names[:20]), expected=expected)
    return columns


def _numbered(prefix: str, names: list[str]) -> list[str]:
    columns = [name for name in names if name.startswith(prefix) and name[len(prefix) :].isdigit()]
    return sorted(columns, key=lambda name: int(name[len(prefix) :]))


def _records(
    layout: TableLayout, path: Path, columns: list[str], pixels: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    row = 0
    for batch in _batches(layout, path, columns, pixels):
        cells_by_name = {name: batch.column(name).to_pylist() for name in columns if name not in set(pixels)}
        if pixels:
            cells_by_name[_IMAGE_COLUMN] = list(_encoded_images(batch, pixels))
        for cells in zip(*cells_by_name.values(), strict=True):
            yield f"{path} row {row}", dict(zip(cells_by_name, cells, strict=True))
            row += 1


def _batches(layout: TableLayout, path: Path, columns: list[str], pixels: list[str]) -> Iterator[pa.RecordBatch]:
    if layout.kind == "parquet":
        with pq.ParquetFile(path) as table:
            yield from table.iter_batches(batch_size=_BATCH, columns=columns)
        return
    types = {name: pa.uint8() if name in set(pixels) else pa.string() for name in columns}
    options = pacsv.ConvertOptions(include_columns=columns, column_types=types, strings_can_be_null=False)
    reading = pacsv.ReadOptions(column_names=layout.columns, encoding=layout.encoding)
    with pacsv.open_csv(path, read_options=reading, convert_options=options) as stream:
        for batch in stream:
            for start in range(0, batch.num_rows, _BATCH):
                yield batch.slice(start, _BATCH)


def _encoded_images(batch: pa.RecordBatch, pixels: list[str]) -> Iterator[bytes]:
    levels = [batch.column(name).cast(pa.uint8()).to_numpy(zero_copy_only=False) for name in pixels]
    table = np.stack(levels, axis=1)  # (N, H*W)
    if table.dtype != np.uint8:
        raise pa.ArrowInvalid("an empty cell among the pixels")
    side = math.isqrt(len(pixels))
    return (png.encode(image) for image in table.reshape(-1, side, side))


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise SourceError("no text", where=where, got=type(value).__name__)
    return value


def _label(value: Any, layout: TableLayout, where: str) -> str:
    if value is None or value == "":
        raise SourceError("no label", where=where)
    if layout.classes is None:
        return str(value)
    try:
        number = int(value)
    except ValueError as error:
        raise SourceError("a label that is no number", where=where, got=repr(value)) from error
    if not 0 <= number < len(layout.classes):
        expected = f"0 to {len(layout.classes) - 1}"
        raise SourceError("a label without a class", where=where, got=number, expected=expected)
    return layout.classes[number]


def _image(value: Any, table: Path, where: str) -> bytes:
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not value:
        expected = "bytes, a struct with `bytes`, or a path"
        raise SourceError("no image", where=where, got=type(value).__name__, expected=expected)
    base = table.parent.resolve()
    path = (base / value).resolve()
    if not path.is_relative_to(base):
        raise SourceError("an image outside the table's folder", where=where, got=value)
    if not path.is_file():
        raise SourceError("no such image", where=where, got=value)
    return path.read_bytes()
