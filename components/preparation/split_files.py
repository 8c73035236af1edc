"""`<split>/<array>.npy` and `samples.parquet`, written in pieces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.core.errors import SampleError
from components.ingestion import columns
from components.ingestion.sample_file import ROW_GROUP
from components.preparation.splits import SPLITS
from components.preprocessing.batch import Arrays

_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("row", pa.int64()),
        *((name, pa.string()) for name in ("id", "label", "digest", "content")),
    ]
)


class SplitFiles:
    """Appends samples of all splits, in any order, to the arrays of their splits.

    Args:
        specs: the arrays; for an array of layout window, each sample has one row of the table that the spec names.
    """

    def __init__(self, folder: Path, specs: Sequence[ArraySpec]) -> None:
        # Stored arrays by name: a table with several windows is stored once.
        self._stored = {spec.of or spec.name: spec for spec in reversed(specs)}
        self._files: list[dict[str, _GrowingArray]] = []
        for split in SPLITS:
            (folder / split).mkdir()
            files: dict[str, _GrowingArray] = {}
            for name, spec in self._stored.items():
                kind = np.dtype(spec.type).newbyteorder("<")
                files[name] = _GrowingArray(folder / split / f"{name}.npy", kind, spec.shape)
                if spec.layout == "ragged":
                    offsets = _GrowingArray(folder / split / f"{name}.offsets.npy", np.dtype("<i8"), ())
                    offsets.append(np.zeros(1, np.int64))
                    files[_offsets(name)] = offsets
            self._files.append(files)
        self._rows = [0] * len(SPLITS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish all arrays; a second call does nothing."""
        for files in self._files:
            for file in files.values():
                file.close()
        self._files = []

    def append(self, number: int, ids: Sequence[str], samples: Sequence[Arrays]) -> NDArray[np.int64]:
        """Append samples to the split of this number and return their rows in the split.

        Raises:
            SampleError: an array does not fit its spec.
        """
        rows = np.arange(self._rows[number], self._rows[number] + len(samples))
        self._rows[number] += len(samples)
        files = self._files[number]
        for name, spec in self._stored.items() if samples else ():
            parts = [sample[name] for sample in samples]
            for identity, part in zip(ids, parts, strict=True):
                _check(part, spec, identity)
            if spec.layout == "ragged":
                ends = files[name].rows + np.cumsum([len(part) for part in parts], dtype=np.int64)
                files[_offsets(name)].append(ends)
                files[name].append(np.concatenate(parts))
            else:
                files[name].append(np.stack(parts))
        return rows

    def append_batch(self, numbers: NDArray[np.uint8], arrays: Arrays) -> NDArray[np.int64]:
        """Append samples of fixed arrays, each to the split of its number, and return their rows in the splits.

        Args:
            numbers: (n,) of the splits.
            arrays: of all samples, (n, ...).

        Raises:
            SampleError: an array does not fit its spec.
        """
        for number, files in enumerate(self._files):
            chosen = numbers == number
            for name, spec in self._stored.items() if chosen.any() else ():
                values = arrays[name][chosen]
                _check(values[0], spec, f"row {self._rows[number]} of {SPLITS[number]}")
                files[name].append(values)
        return self._places(numbers)

    def append_written(self, numbers: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Count samples whose fixed arrays `WrittenRows` puts into the files; returns as `append_batch`."""
        for number, files in enumerate(self._files):
            for file in files.values():
                file.rows += int((numbers == number).sum())
        return self._places(numbers)

    def _places(self, numbers: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The next rows (n,) of samples in the splits of their numbers."""
        rows = np.zeros(len(numbers), np.int64)
        for number in range(len(SPLITS)):
            chosen = numbers == number
            count = int(chosen.sum())
            rows[chosen] = np.arange(self._rows[number], self._rows[number] + count)
            self._rows[number] += count
        return rows


class WrittenRows(NamedTuple):
    """Where the samples of a partition are in the files of a `SplitFiles`: another process of this machine writes them,
    as often as it likes.

    Args:
        folder: of the `SplitFiles`.
        first: of each split, the row of the partition's first sample.
    """

    folder: Path
    first: tuple[int, ...]

    def write(self, specs: Sequence[ArraySpec], numbers: NDArray[np.uint8], arrays: Arrays) -> None:
        """Write fixed arrays; arguments as of `SplitFiles`.

        Raises:
            SampleError: an array does not fit its spec.
        """
        for number, split in enumerate(SPLITS):
            chosen = numbers == number
            for spec in specs if chosen.any() else ():
                values = np.ascontiguousarray(arrays[spec.name][chosen], np.dtype(spec.type).newbyteorder("<"))
                _check(values[0], spec, f"row {self.first[number]} of {split}")
                with (self.folder / split / f"{spec.name}.npy").open("r+b") as stream:
                    npy.read_magic(stream)
                    header = int.from_bytes(stream.read(2), "little")  # its length, in format 1.0
                    stream.seek(header + self.first[number] * values[:1].nbytes, os.SEEK_CUR)
                    stream.write(values.data)


class SampleList:
    """`samples.parquet`: split, row in the split, id and label of each sample.

    `digest` is of what the network is given, `content` of the sample before that: equal for equal samples.
    """

    def __init__(self, folder: Path) -> None:
        self._file = pq.ParquetWriter(
            folder / "samples.parquet", _SCHEMA, compression="zstd", write_statistics=False,
            use_dictionary=["split", "label"],  # the others differ from row to row
        )  # fmt: skip
        self._held: list[pa.Table] = []
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._write(self._rows)

    def append(
        self,
        splits: Sequence[str],
        rows: NDArray[np.int64],
        ids: Sequence[str],
        labels: Sequence[str],
        digests: Sequence[str],
        contents: Sequence[str],
    ) -> None:
        """Append n samples."""
        self.append_columns(
            [columns.text(splits), columns.integers(rows), *map(columns.text, (ids, labels, digests, contents))]
        )

    def append_columns(self, arrays: Sequence[pa.Array]) -> None:
        """Append samples by column."""
        self._held.append(pa.Table.from_arrays(list(arrays), schema=_SCHEMA))
        self._rows += self._held[-1].num_rows
        if self._rows >= ROW_GROUP:
            self._write(self._rows - self._rows % ROW_GROUP)

    def _write(self, rows: int) -> None:
        """Write the first of the held rows, by row group; these do not depend on how the rows were appended."""
        if not self._rows:
            return
        held = pa.concat_tables(self._held)
        for start in range(0, rows, ROW_GROUP):
            self._file.write_table(held.slice(start, min(ROW_GROUP, rows - start)).combine_chunks())
        self._held, self._rows = [held.slice(rows)], self._rows - rows


def _offsets(name: str) -> str:
    return f"{name}.offsets"


class _GrowingArray:
    """A .npy file whose number of rows is known only at the end; the header has room for the number."""

    def __init__(self, path: Path, kind: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._stream: IO[bytes] = path.open("wb")
        self._kind, self._shape = kind, shape
        self.rows = 0
        self._header()

    def append(self, values: NDArray[Any]) -> None:
        """Append rows (n, *shape)."""
        self._stream.write(np.ascontiguousarray(values, self._kind).data)
        self.rows += len(values)

    def close(self) -> None:
        """Write the number of rows into the header; numpy pads headers so that a larger number fits."""
        self._stream.seek(0)
        self._header()
        self._stream.close()

    def _header(self) -> None:
        """Write the header, at once: `WrittenRows` reads it."""
        shape = (self.rows, *self._shape)
        head = {"descr": npy.dtype_to_descr(self._kind), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._stream, head)
        self._stream.flush()


def _check(array: NDArray[Any], spec: ArraySpec, identity: str) -> None:
    shape = array.shape[1:] if spec.layout == "ragged" else array.shape
    if array.dtype != np.dtype(spec.type) or shape != spec.shape or (spec.layout == "ragged" and array.ndim == 0):
        raise SampleError(
            f"the task's array differs from its declaration: {spec.of or spec.name}",
            where=identity,
            got=f"{array.dtype} {array.shape}",
            expected=f"{spec.type} {spec.shape}, {spec.layout}",
        )
