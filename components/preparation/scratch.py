"""Decoded arrays of all samples in one file, to be read again from the front; their shapes may differ."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from components.preprocessing.batch import Arrays

_Form = tuple[tuple[str, str, tuple[int, ...]], ...]  # name, dtype and shape of each array of a sample


class Scratch:
    """Written once, then read as often as needed. Held in memory: a number a sample, and each form once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = path.open("wb")
        self._forms: dict[_Form, int] = {}
        self._of_sample = array("I")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._path.unlink()

    def append(self, sample: Arrays) -> None:
        """Write one sample's arrays."""
        form = tuple((name, value.dtype.str, value.shape) for name, value in sample.items())
        self._of_sample.append(self._forms.setdefault(form, len(self._forms)))
        for value in sample.values():
            self._stream.write(np.ascontiguousarray(value).data)

    def read(self) -> Iterator[Arrays]:
        """All samples in the order in which they were written."""
        self._stream.flush()
        forms = list(self._forms)
        with self._path.open("rb", buffering=1 << 20) as stream:
            for number in self._of_sample:
                sample: Arrays = {}
                for name, kind, shape in forms[number]:
                    dtype: np.dtype[Any] = np.dtype(kind)
                    count = int(np.prod(shape))
                    sample[name] = np.frombuffer(stream.read(count * dtype.itemsize), dtype).reshape(shape)
                yield sample
