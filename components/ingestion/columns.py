"""Arrow columns made from Python values without pyarrow's own converter, which imports pandas first (seconds)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def text(values: Sequence[str | None]) -> pa.Array:
    """A string column; None is null."""
    encoded = [b"" if value is None else value.encode() for value in values]
    present = np.array([value is not None for value in values], bool)
    validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.string(), len(values), [validity, *_joined(encoded)])


def binary(values: Sequence[bytes]) -> pa.Array:
    """A binary column of at most 2 GiB in all."""
    return pa.Array.from_buffers(pa.binary(), len(values), [None, *_joined(values)])


def integers(values: np.ndarray) -> pa.Array:
    """An int64 column."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values.astype(np.int64).tobytes())])


def _joined(values: Sequence[bytes]) -> list[pa.Buffer]:
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return [pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(values))]
