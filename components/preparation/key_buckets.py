"""Samples by ranges of their keys, in files: what the draw knows of them is read a range at a time, in order.

Keys are digests, so that ranges of one width have about equally many samples; equal keys are in one range.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROWS_A_BUCKET = 1 << 18
SAMPLE = np.dtype([("key", "<u8"), ("row", "<i8"), ("class", "<i4"), ("split", "u1")])

Samples = NDArray[np.void]


class KeyBuckets:
    """Appended to in the order of the rows, then read.

    Args:
        path: prefix of the files' names.
        rows: number of all samples.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self._path = path
        self.count = max(1, -(-rows // ROWS_A_BUCKET))

    def append(self, samples: Samples) -> None:
        """Add samples."""
        numbers = (samples["key"] >> np.uint64(32)) * np.uint64(self.count) >> np.uint64(32)
        order = np.argsort(numbers, kind="stable")
        cuts = np.searchsorted(numbers[order], np.arange(1, self.count, dtype=np.uint64))
        for bucket, part in enumerate(np.split(samples[order], cuts)):
            if len(part):
                with self._file(bucket).open("ab") as stream:
                    stream.write(part.tobytes())

    def read(self) -> Iterator[tuple[int, Samples]]:
        """Number and samples of each bucket, in the order of the keys; within one, as written last."""
        for bucket in range(self.count):
            path = self._file(bucket)
            yield bucket, np.fromfile(path, SAMPLE) if path.is_file() else np.empty(0, SAMPLE)

    def replace(self, bucket: int, samples: Samples) -> None:
        """Keep these samples of a bucket."""
        self._file(bucket).write_bytes(samples.tobytes())

    def _file(self, bucket: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{bucket}")
