"""A temporary file of the decoded arrays of all samples, for several passes; their shapes may differ."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from components.preprocessing.batch import Arrays

_ArrayHeaders = tuple[tuple[str, str, tuple[int, ...]], ...]  # name, dtype and shape of each array of a sample


class Scratch:
    """Written once, then read any number of times. In memory: one number for each sample, and each header once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = path.open("wb")
        self._headers: dict[_ArrayHeaders, int] = {}
        self._header_numbers = array("I")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._path.unlink()

    def append(self, sample: Arrays) -> None:
        """Write one sample's arrays."""
        header = tuple((name, value.dtype.str, value.shape) for name, value in sample.items())
        self._header_numbers.append(self._headers.setdefault(header, len(self._headers)))
        for value in sample.values():
            self._stream.write(np.ascontiguousarray(value).data)

    def read(self) -> Iterator[Arrays]:
        """All samples in the order of writing."""
        self._stream.flush()
        headers = list(self._headers)
        with self._path.open("rb", buffering=1 << 20) as stream:
            for number in self._header_numbers:
                sample: Arrays = {}
                for name, kind, shape in headers[number]:
                    dtype: np.dtype[Any] = np.dtype(kind)
                    count = int(np.prod(shape))
                    sample[name] = np.frombuffer(stream.read(count * dtype.itemsize), dtype).reshape(shape)
                yield sample
