"""A CSV or Parquet file with one row a sample."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from components.contracts.dataset import TableLayout
from components.contracts.errors import SourceError
from components.ingestion import png
from components.ingestion.sample import Sample, split_name

_BATCH = 1024


def samples(layout: TableLayout, folder: Path) -> Iterator[Sample]:
    """The rows of each file, in order; ids are `<file's split or name>/<row>`.

    Raises:
        SourceError: a file or column is missing, a cell is empty or of the wrong type, a path leads outside the folder.
    """
    for key, name in layout.files.items():
        path = folder / name
        if not path.is_file():
            raise SourceError("no such file in the source", where=str(path))
        split = split_name(key, "layout.files") if key else None
        try:
            yield from _rows(layout, path, key or path.stem, split)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeDecodeError) as error:
            raise SourceError("the table cannot be read", where=str(path), got=str(error).splitlines()[0]) from error


def _rows(layout: TableLayout, path: Path, prefix: str, split: str | None) -> Iterator[Sample]:
    names = _column_names(layout, path)
    pixels = _pixel_columns(layout, names, path)
    wanted = [layout.label, *([layout.split] if layout.split else []), *(pixels or [str(layout.image)])]
    if missing := [name for name in wanted if name not in names]:
        raise SourceError(
            "columns are missing", where=str(path), got=", ".join(names[:20]), expected=", ".join(missing)
        )
    row = 0
    for batch in _batches(layout, path, wanted, pixels):
        labels = batch.column(layout.label).to_pylist()
        splits = batch.column(layout.split).to_pylist() if layout.split else [None] * len(labels)
        images = _drawn(batch, pixels) if pixels else batch.column(str(layout.image)).to_pylist()
        for label, given, image in zip(labels, splits, images, strict=True):
            place = f"{path} row {row}"
            drawn_split = split if given in (None, "") else split_name(str(given), place)
            yield Sample(f"{prefix}/{row:06d}", drawn_split, _label(label, layout, place), _image(image, path, place))
            row += 1


def _column_names(layout: TableLayout, path: Path) -> list[str]:
    if layout.kind == "parquet":
        return list(pq.read_schema(path).names)
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return next(csv.reader(stream), [])


def _pixel_columns(layout: TableLayout, names: list[str], path: Path) -> list[str]:
    """The pixel columns in the order of the numbers behind the prefix; empty where the images are no pixel columns."""
    if layout.pixels is None:
        return []
    start = len(layout.pixels)
    found = [name for name in names if name.startswith(layout.pixels) and name[start:].isdigit()]
    if not found or math.isqrt(len(found)) ** 2 != len(found):
        expected = f"a square number of columns {layout.pixels}0, {layout.pixels}1, ..."
        raise SourceError("no square image in these columns", where=str(path), got=len(found), expected=expected)
    return sorted(found, key=lambda name: int(name[start:]))


def _batches(layout: TableLayout, path: Path, wanted: list[str], pixels: list[str]) -> Iterator[pa.RecordBatch]:
    if layout.kind == "parquet":
        with pq.ParquetFile(path) as table:
            yield from table.iter_batches(batch_size=_BATCH, columns=wanted)
        return
    types = {name: pa.uint8() if name in set(pixels) else pa.string() for name in wanted}
    options = pacsv.ConvertOptions(include_columns=wanted, column_types=types, strings_can_be_null=False)
    with pacsv.open_csv(path, convert_options=options) as stream:
        for batch in stream:
            for start in range(0, batch.num_rows, _BATCH):
                yield batch.slice(start, _BATCH)


def _drawn(batch: pa.RecordBatch, pixels: list[str]) -> Iterator[bytes]:
    columns = [batch.column(name).cast(pa.uint8()).to_numpy(zero_copy_only=False) for name in pixels]
    table = np.stack(columns, axis=1)  # (N, H*W)
    if table.dtype != np.uint8:
        raise pa.ArrowInvalid("an empty cell among the pixels")
    side = math.isqrt(len(pixels))
    return (png.encode(image) for image in table.reshape(-1, side, side))


def _label(value: Any, layout: TableLayout, place: str) -> str:
    if value is None or value == "":
        raise SourceError("no label", where=place)
    if layout.classes is None:
        return str(value)
    try:
        number = int(value)
    except ValueError as error:
        raise SourceError("a label that is no number", where=place, got=repr(value)) from error
    if not 0 <= number < len(layout.classes):
        expected = f"0 to {len(layout.classes) - 1}"
        raise SourceError("a label without a class", where=place, got=number, expected=expected)
    return layout.classes[number]


def _image(value: Any, table: Path, place: str) -> bytes:
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not value:
        expected = "bytes, a struct with `bytes`, or a path"
        raise SourceError("no image", where=place, got=type(value).__name__, expected=expected)
    base = table.parent.resolve()
    path = (base / value).resolve()
    if not path.is_relative_to(base):
        raise SourceError("an image outside the table's folder", where=place, got=value)
    if not path.is_file():
        raise SourceError("no such image", where=place, got=value)
    return path.read_bytes()
