"""Arrow columns made from Python values without pyarrow's own converter, which imports pandas first (seconds)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def text(values: Sequence[str | None]) -> pa.Array:
    """A string column; None is null."""
    encoded = [b"" if value is None else value.encode() for value in values]
    present = np.array([value is not None for value in values], bool)
    validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.string(), len(values), [validity, *_binary_buffers(encoded)])


def encoded_text(values: Sequence[bytes]) -> pa.Array:
    """A string column of UTF-8 bytes."""
    return pa.Array.from_buffers(pa.string(), len(values), [None, *_binary_buffers(values)])


def binary(values: Sequence[bytes]) -> pa.Array:
    """A binary column of at most 2 GiB in all."""
    return pa.Array.from_buffers(pa.binary(), len(values), [None, *_binary_buffers(values)])


def numbers(values: Sequence[NDArray[np.float64]]) -> pa.Array:
    """A column of lists of float64, each (n,)."""
    flat = np.concatenate(values) if values else np.empty(0)
    inner = pa.Array.from_buffers(pa.float64(), len(flat), [None, pa.py_buffer(flat.astype("<f8").tobytes())])
    offsets = _offsets([len(value) for value in values])
    return pa.Array.from_buffers(pa.list_(pa.float64()), len(values), [None, offsets], children=[inner])


def integers(values: np.ndarray) -> pa.Array:
    """An int64 column."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values.astype(np.int64).tobytes())])


def lists(column: pa.ChunkedArray) -> list[NDArray[np.float64]]:
    """The inverse of `numbers`: one array (n,) for each row."""
    arrays: list[NDArray[np.float64]] = []
    for chunk in column.chunks:
        flat = chunk.flatten()
        values = np.frombuffer(flat.buffers()[1] or b"", np.float64)[flat.offset : flat.offset + len(flat)]
        sizes = [size.as_py() for size in chunk.value_lengths()]
        arrays += np.split(values, np.cumsum(sizes)[:-1]) if sizes else []
    return arrays


def _binary_buffers(values: Sequence[bytes]) -> list[pa.Buffer]:
    return [_offsets([len(value) for value in values]), pa.py_buffer(b"".join(values))]


def _offsets(sizes: Sequence[int]) -> pa.Buffer:
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.py_buffer(offsets.tobytes())
