"""Tensors of the Open Inference Protocol as JSON and as binary data, to and from numpy.

Source: KServe's "Open Inference Protocol" (predict protocol, version 2) and Triton's binary tensor data extension. A
tensor of datatype BYTES is an array of Python `bytes` (or None, for null); as binary data each element is preceded by
its length as a little-endian uint32, as JSON it is a text.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.errors import SampleError

NUMPY = {
    "BOOL": np.dtype(np.bool_),
    **{f"UINT{bits}": np.dtype(f"u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"f{bits // 8}") for bits in (16, 32, 64)},
}
BYTES = "BYTES"
MAX_NESTING = 16

_LENGTH = struct.Struct("<I")


def from_json(name: str, datatype: str, shape: Sequence[int], data: Any) -> NDArray[Any]:
    """The array of a tensor's `data`: flat in row-major order, or nested as its shape.

    Null is NaN in a tensor of floating point numbers, and None in one of BYTES.

    Raises:
        SampleError: `data` is no list, has another number of elements, or an element is not of the datatype.
    """
    elements = list(_flat(name, data, 0)) if datatype == BYTES or _is_nested(data) else data
    if not isinstance(elements, list):
        raise _wrong(name, "the data is no list", type(data).__name__, "a list")
    if len(elements) != math.prod(shape):
        raise _wrong(name, "the data does not fill the shape", f"{len(elements)} elements", f"the shape {list(shape)}")
    if datatype == BYTES:
        return _objects([_encoded(name, element) for element in elements], shape)
    dtype, kinds = NUMPY[datatype], _kinds(datatype)
    odd = next((element for element in elements if type(element) not in kinds), None)
    if odd is not None or (datatype[:2] != "FP" and None in elements):
        raise _wrong(name, f"an element is no {datatype}", repr(odd)[:40], datatype)
    values = [math.nan if element is None else element for element in elements] if None in elements else elements
    try:
        with np.errstate(over="ignore"):
            return np.array(values, dtype).reshape(tuple(shape))
    except (OverflowError, ValueError, TypeError) as error:
        raise _wrong(name, f"an element is no {datatype}", error, datatype) from error


def from_binary(name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview) -> NDArray[Any]:
    """The array of a tensor's binary data.

    Raises:
        SampleError: the data has another length than the shape.
    """
    count = math.prod(shape)
    if datatype == BYTES:
        elements = list(_length_prefixed(name, data, count))
        if len(elements) != count:
            raise _wrong(name, "the data does not fill the shape", f"{len(elements)} elements", f"{count} elements")
        return _objects(elements, shape)
    dtype = NUMPY[datatype]
    if len(data) != count * dtype.itemsize:
        raise _wrong(name, "the data does not fill the shape", f"{len(data)} bytes", f"{count * dtype.itemsize} bytes")
    return np.frombuffer(data, dtype.newbyteorder("<")).reshape(tuple(shape))


def to_json(array: NDArray[Any], *, base64_text: bool = False) -> list[Any]:
    """The elements of a tensor, flat; BYTES as text or as base64, null where a number is NaN."""
    flat = array.ravel()
    if array.dtype.kind == "O" and base64_text:
        return [base64.b64encode(element).decode("ascii") for element in flat]
    if array.dtype.kind == "O":
        return [element.decode("utf-8") for element in flat]
    if array.dtype.kind == "f" and np.isnan(flat).any():
        return [None if value != value else value for value in flat.tolist()]
    elements: list[Any] = flat.tolist()
    return elements


def to_binary(array: NDArray[Any]) -> bytes:
    """A tensor's binary data."""
    if array.dtype.kind == "O":
        return b"".join(_LENGTH.pack(len(element)) + element for element in array.ravel())
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _is_nested(data: Any) -> bool:
    return isinstance(data, list) and bool(data) and isinstance(data[0], list)


def _flat(name: str, data: Any, depth: int) -> Iterator[Any]:
    if not isinstance(data, list):
        raise _wrong(name, "the data is no list", type(data).__name__, "a list")
    if depth > MAX_NESTING:
        raise _wrong(name, "the data is nested too deeply", f"more than {MAX_NESTING} levels", "a flat list")
    for element in data:
        if isinstance(element, list):
            yield from _flat(name, element, depth + 1)
        else:
            yield element


def _kinds(datatype: str) -> tuple[type, ...]:
    if datatype == "BOOL":
        return (bool,)
    return (float, int, type(None)) if datatype.startswith("FP") else (int,)


def _encoded(name: str, element: Any) -> bytes | None:
    if element is None:
        return None
    if not isinstance(element, str):
        raise _wrong(name, "an element is no text", type(element).__name__, "a text")
    return element.encode("utf-8")


def _length_prefixed(name: str, data: bytes | memoryview, count: int) -> Iterator[bytes]:
    place = 0
    for _ in range(min(count, len(data) // _LENGTH.size)):
        if place + _LENGTH.size > len(data):
            break
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if place + length > len(data):
            raise _wrong(name, "an element is longer than the data", f"{length} bytes", f"{len(data) - place} bytes")
        yield bytes(data[place : place + length])
        place += length
    if place != len(data):
        raise _wrong(name, "the data does not fill the shape", f"{len(data)} bytes", f"{count} elements")


def _objects(elements: list[Any], shape: Sequence[int]) -> NDArray[Any]:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(tuple(shape))


def _wrong(name: str, what: str, got: object, expected: object) -> SampleError:
    return SampleError(what, code="tensor", where=f"tensor {name}", got=got, expected=expected)
