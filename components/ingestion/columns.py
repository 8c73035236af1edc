"""Arrow columns made from Python values without pyarrow's own converter, which imports pandas first (seconds)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def text(values: Sequence[str | None]) -> pa.Array:
    """A string column; None is null."""
    encoded = [b"" if value is None else value.encode() for value in values]
    present = np.array([value is not None for value in values], bool)
    return pa.Array.from_buffers(pa.string(), len(values), [_validity(present), *_binary_buffers(encoded)])


def scalar(value: str | None) -> pa.Scalar:
    """A single text, or null."""
    return text([value])[0]


def filled(column: pa.Array, value: str) -> pa.Array:
    """The texts, and a value in place of nulls."""
    return pc.fill_null(column, scalar(value)) if column.null_count else column


def encoded_text(values: Sequence[bytes]) -> pa.Array:
    """A string column of UTF-8 bytes."""
    return pa.Array.from_buffers(pa.string(), len(values), [None, *_binary_buffers(values)])


def hexadecimal(content: bytes, size: int) -> pa.Array:
    """A string column of every `size` bytes, in hexadecimal digits."""
    count = len(content) // size
    offsets = pa.py_buffer(np.arange(0, 2 * size * count + 1, 2 * size, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), count, [None, offsets, pa.py_buffer(content.hex().encode())])


def binary(values: Sequence[bytes]) -> pa.Array:
    """A binary column of at most 2 GiB in all."""
    return pa.Array.from_buffers(pa.binary(), len(values), [None, *_binary_buffers(values)])


def numbers(values: Sequence[NDArray[np.float64]]) -> pa.Array:
    """A column of lists of float64, each (n,)."""
    flat = np.concatenate(values) if values else np.empty(0)
    inner = pa.Array.from_buffers(pa.float64(), len(flat), [None, pa.py_buffer(flat.astype("<f8").tobytes())])
    offsets = _offsets([len(value) for value in values])
    return pa.Array.from_buffers(pa.list_(pa.float64()), len(values), [None, offsets], children=[inner])


def single_numbers(values: NDArray[np.float64]) -> pa.Array:
    """A column of lists of one float64 each."""
    offsets = pa.py_buffer(np.arange(len(values) + 1, dtype=np.int32))
    return pa.Array.from_buffers(pa.list_(pa.float64()), len(values), [None, offsets], children=[floats(values)])


def whole(column: pa.ChunkedArray) -> pa.Array:
    """All rows of a column in one piece."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def integers(values: np.ndarray) -> pa.Array:
    """An int64 column."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values.astype(np.int64).tobytes())])


def floats(values: NDArray[np.float64], present: NDArray[np.bool_] | None = None) -> pa.Array:
    """A float64 column of values (n,); null where not present."""
    buffer = pa.py_buffer(np.ascontiguousarray(values, "<f8"))
    return pa.Array.from_buffers(pa.float64(), len(values), [_validity(present), buffer])


def booleans(values: NDArray[np.bool_]) -> pa.Array:
    """A column of truth values (n,)."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def to_floats(column: pa.Array) -> NDArray[np.float64]:
    """The values (n,) of a float64 column, NaN where null; the inverse of `floats`."""
    _, buffer = column.buffers()
    values = np.frombuffer(buffer or b"", np.float64, len(column), 8 * column.offset if buffer else 0)
    return values if not column.null_count else np.where(to_booleans(column.is_null()), np.nan, values)


def to_booleans(column: pa.Array) -> NDArray[np.bool_]:
    """The truth values (n,) of a column without nulls."""
    _, buffer = column.buffers()
    bits = np.frombuffer(buffer or b"", np.uint8)
    return np.unpackbits(bits, count=column.offset + len(column), bitorder="little")[column.offset :].astype(bool)


def to_integers(column: pa.Array) -> NDArray[np.int32]:
    """The values (n,) of an int32 column, -1 where null."""
    _, buffer = column.buffers()
    values = np.frombuffer(buffer or b"", np.int32, len(column), 4 * column.offset if buffer else 0)
    return values if not column.null_count else np.where(to_booleans(column.is_null()), np.int32(-1), values)


def codes(column: pa.Array) -> tuple[NDArray[np.int32], list[str]]:
    """Texts as numbers (n,) of the different ones, in the order of their first rows; -1 for null."""
    encoded = column.dictionary_encode()
    return to_integers(encoded.indices), encoded.dictionary.to_pylist()


def of_codes(numbers: NDArray[np.int32], names: Sequence[str | None]) -> pa.Array:
    """The inverse of `codes`; a name that is None is null too."""
    absent = numbers < 0
    indices = pa.Array.from_buffers(
        pa.int32(), len(numbers), [_validity(~absent) if absent.any() else None,
                                    pa.py_buffer(np.ascontiguousarray(numbers, "<i4"))],
    )  # fmt: skip
    return text(names).take(indices)


def renamed(
    numbers: NDArray[np.int32], texts: Sequence[str], name_of: Callable[[str], str | None]
) -> tuple[NDArray[np.int32], list[str]]:
    """The texts of `codes` by other names, each of which is there once; -1 where the name is None."""
    names: dict[str, int] = {}
    found = [name_of(one) for one in texts]
    places = np.array([-1 if name is None else names.setdefault(name, len(names)) for name in found] + [-1], np.int32)
    return places[numbers], list(names)


def sizes(column: pa.Array) -> NDArray[np.int64]:
    """Number of bytes (n,) of texts that are not null, or of values of lists."""
    offsets = column.buffers()[1]
    return np.diff(np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset)).astype(np.int64)


def lists(column: pa.ChunkedArray) -> list[NDArray[np.float64]]:
    """The inverse of `numbers`: one array (n,) for each row."""
    arrays: list[NDArray[np.float64]] = []
    for chunk in column.chunks:
        flat = chunk.flatten()
        values = np.frombuffer(flat.buffers()[1] or b"", np.float64)[flat.offset : flat.offset + len(flat)]
        sizes = [size.as_py() for size in chunk.value_lengths()]
        arrays += np.split(values, np.cumsum(sizes)[:-1]) if sizes else []
    return arrays


def _validity(present: NDArray[np.bool_] | None) -> pa.Buffer | None:
    return None if present is None or present.all() else _bits(present)


def _bits(values: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little").tobytes())


def _binary_buffers(values: Sequence[bytes]) -> list[pa.Buffer]:
    return [_offsets([len(value) for value in values]), pa.py_buffer(b"".join(values))]


def _offsets(sizes: Sequence[int]) -> pa.Buffer:
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.py_buffer(offsets.tobytes())
