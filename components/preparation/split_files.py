"""`<split>/images.npy`, `<split>/labels.npy` and `samples.parquet`, written in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy
from numpy.typing import NDArray

from components.ingestion import columns
from components.preprocessing.splits import SPLITS

_SCHEMA = pa.schema(
    [("split", pa.string()), ("row", pa.int64()), ("id", pa.string()), ("label", pa.string()), ("digest", pa.string())]
)


class SplitFiles:
    """Takes samples of all splits in any order and appends each to its split's arrays.

    Args:
        counts: samples of each split: the arrays' headers are written first.
        shape: (H, W, C) of a tensor.
    """

    def __init__(self, folder: Path, counts: dict[str, int], shape: tuple[int, int, int]) -> None:
        self._images: list[IO[bytes]] = []
        self._labels: list[IO[bytes]] = []
        for split in SPLITS:
            (folder / split).mkdir()
            self._images.append(_opened(folder / split / "images.npy", np.dtype(np.uint8), (counts[split], *shape)))
            self._labels.append(_opened(folder / split / "labels.npy", np.dtype(np.int64), (counts[split],)))
        self._table = pq.ParquetWriter(folder / "samples.parquet", _SCHEMA, compression="zstd", write_statistics=False)
        self._rows = [0] * len(SPLITS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()
        for stream in (*self._images, *self._labels):
            stream.close()

    def append(
        self,
        ids: Sequence[str],
        names: Sequence[str],
        tensors: NDArray[np.uint8],
        labels: NDArray[np.uint16],
        assigned: NDArray[np.uint8],
    ) -> None:
        """Append samples: ids, class names, tensors (N, H, W, C), class numbers (N,), splits' numbers (N,)."""
        rows = np.zeros(len(ids), np.int64)
        for number in range(len(SPLITS)):
            chosen = assigned == number
            size = int(chosen.sum())
            self._images[number].write(tensors[chosen].tobytes())
            self._labels[number].write(labels[chosen].astype("<i8").tobytes())
            rows[chosen] = np.arange(self._rows[number], self._rows[number] + size)
            self._rows[number] += size
        digests = [hashlib.sha256(tensor.tobytes()).hexdigest() for tensor in tensors]
        names_of_splits = [SPLITS[number] for number in assigned]
        arrays = [columns.text(names_of_splits), columns.integers(rows), *map(columns.text, (ids, names, digests))]
        self._table.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA))


def _opened(path: Path, kind: np.dtype, shape: tuple[int, ...]) -> IO[bytes]:
    stream = path.open("wb")
    npy.write_array_header_1_0(stream, {"descr": npy.dtype_to_descr(kind), "fortran_order": False, "shape": shape})
    return stream
