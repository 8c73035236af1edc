"""Rows of a Parquet file, or of a CSV of pixels, read in batches by Arrow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from components.contracts.dataset_layout import TableLayout
from components.ingestion import png
from components.ingestion.delimited_blocks import RowBlock

_BATCH = 1024
_BLOCK = 1 << 14


def rows(
    layout: TableLayout, path: Path, columns: Sequence[str], pixels: Sequence[str]
) -> Iterator[tuple[int, Sequence[Any]]]:
    """Number of each row from 0 on, and its cells of `columns`, in their order.

    Args:
        pixels: columns of grey pixels, which become one more cell: an image as PNG.

    Raises:
        ArrowInvalid, ArrowTypeError: the file is not what its layout says.
    """
    row = 0
    for batch in _batches(layout, path, columns, pixels):
        cells = [batch.column(name).to_pylist() for name in columns]
        if pixels:
            cells.append(list(_encoded_images(batch, pixels)))
        for record in zip(*cells, strict=True):
            yield row, record
            row += 1


def blocks(path: Path, columns: Sequence[str]) -> Iterator[RowBlock]:
    """The cells of `columns` of all rows of a Parquet file, as they are stored; rows are numbered from 0 on.

    Raises:
        ArrowInvalid: the file is not a Parquet file, or damaged.
    """
    row = 0
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(_BLOCK, columns=list(dict.fromkeys(columns))):
            yield RowBlock(np.arange(row, row + batch.num_rows), [batch.column(name) for name in columns])
            row += batch.num_rows


def _batches(
    layout: TableLayout, path: Path, columns: Sequence[str], pixels: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    if layout.kind == "parquet":
        with pq.ParquetFile(path) as table:
            yield from table.iter_batches(batch_size=_BATCH, columns=list(columns))
        return
    types = {**dict.fromkeys(columns, pa.string()), **dict.fromkeys(pixels, pa.uint8())}
    options = pacsv.ConvertOptions(include_columns=list(types), column_types=types, strings_can_be_null=False)
    reading = pacsv.ReadOptions(column_names=layout.columns, encoding=layout.encoding)
    parsing = pacsv.ParseOptions(delimiter=layout.delimiter or ",")
    with pacsv.open_csv(path, read_options=reading, parse_options=parsing, convert_options=options) as stream:
        for batch in stream:
            for start in range(0, batch.num_rows, _BATCH):
                yield batch.slice(start, _BATCH)


def _encoded_images(batch: pa.RecordBatch, pixels: Sequence[str]) -> Iterator[bytes]:
    levels = [batch.column(name).cast(pa.uint8()).to_numpy(zero_copy_only=False) for name in pixels]
    table = np.stack(levels, axis=1)  # (N, H*W)
    if table.dtype != np.uint8:
        raise pa.ArrowInvalid("an empty cell among the pixels")
    side = math.isqrt(len(pixels))
    return (png.encode(image) for image in table.reshape(-1, side, side))
