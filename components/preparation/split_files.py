"""`<split>/<array>.npy` and `samples.parquet`, written in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.contracts.errors import SampleError
from components.ingestion import columns
from components.preparation.splits import SPLITS
from components.preprocessing.batch import Arrays
from components.preprocessing.stored import digest_of

_SCHEMA = pa.schema(
    [("split", pa.string()), ("row", pa.int64()), ("id", pa.string()), ("label", pa.string()), ("digest", pa.string())]
)


class SplitFiles:
    """Takes samples of all splits in any order and appends each to its split's arrays.

    Args:
        specs: the arrays; those of layout window name a table, of which each sample brings a row.
        inputs: names of the arrays that a sample's digest is of.
    """

    def __init__(self, folder: Path, specs: Sequence[ArraySpec], inputs: Sequence[str]) -> None:
        self._specs, self._inputs = tuple(specs), tuple(inputs)
        # What is stored, by its name: of several windows of one table the table once.
        self._stored = {spec.of or spec.name: spec for spec in reversed(specs)}
        self._files: list[dict[str, _Growing]] = []
        for split in SPLITS:
            (folder / split).mkdir()
            self._files.append({name: _Growing(folder / split / f"{name}.npy", _kind(spec), spec.shape)
                                for name, spec in self._stored.items()})  # fmt: skip
            for name, spec in self._stored.items():
                if spec.layout == "ragged":
                    offsets = _Growing(folder / split / f"{name}.offsets.npy", np.dtype(np.int64), ())
                    offsets.append(np.zeros(1, np.int64))
                    self._files[-1][f"{name}.offsets"] = offsets
        self._table = pq.ParquetWriter(folder / "samples.parquet", _SCHEMA, compression="zstd", write_statistics=False)
        self._rows = [0] * len(SPLITS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()
        for files in self._files:
            for file in files.values():
                file.close()

    def append(
        self,
        ids: Sequence[str],
        labels: Sequence[str],
        samples: Sequence[Arrays],
        assigned: NDArray[np.uint8],
        stored: NDArray[np.bool_],
    ) -> None:
        """Append n samples.

        Args:
            assigned: (n,) the number of each one's split, under which it is listed.
            stored: (3, n) in which splits' arrays it is written: its own, and those whose look-back it belongs to.
        """
        for identity, sample in zip(ids, samples, strict=True):
            for name, spec in self._stored.items():
                _check(sample[name], spec, identity)
        rows = np.zeros(len(ids), np.int64)
        for number, mask in enumerate(stored):
            chosen = np.flatnonzero(mask)
            self._append(self._files[number], [samples[position] for position in chosen.tolist()])
            places = np.arange(self._rows[number], self._rows[number] + len(chosen))
            own = assigned[chosen] == number
            rows[chosen[own]] = places[own]
            self._rows[number] += len(chosen)
        digests = [digest_of(sample, self._specs, self._inputs) for sample in samples]
        splits = [SPLITS[number] for number in assigned]
        arrays = [columns.text(splits), columns.integers(rows), *map(columns.text, (ids, labels, digests))]
        self._table.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA))

    def _append(self, files: dict[str, _Growing], samples: list[Arrays]) -> None:
        if not samples:
            return
        for name, spec in self._stored.items():
            parts = [sample[name] for sample in samples]
            if spec.layout == "ragged":
                offsets = files[f"{name}.offsets"]
                before = files[name].rows
                offsets.append(before + np.cumsum([len(part) for part in parts], dtype=np.int64))
                files[name].append(np.concatenate(parts))
            else:
                files[name].append(np.stack(parts))


class _Growing:
    """A .npy file whose number of rows is known at its end only; its header leaves room for it."""

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
        """Write the number of rows into the header. numpy pads it so that a larger number fits in the same place."""
        self._stream.seek(0)
        self._header()
        self._stream.close()

    def _header(self) -> None:
        shape = (self.rows, *self._shape)
        head = {"descr": npy.dtype_to_descr(self._kind), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._stream, head)


def _kind(spec: ArraySpec) -> np.dtype[Any]:
    return np.dtype(spec.type).newbyteorder("<")


def _check(array: NDArray[Any], spec: ArraySpec, identity: str) -> None:
    shape = array.shape[1:] if spec.layout == "ragged" else array.shape
    if array.dtype != np.dtype(spec.type) or shape != spec.shape or (spec.layout == "ragged" and array.ndim == 0):
        raise SampleError(
            f"the task made another array of it than it declares: {spec.of or spec.name}",
            where=identity,
            got=f"{array.dtype} {array.shape}",
            expected=f"{spec.type} {spec.shape}, {spec.layout}",
        )
