"""The prepared samples of a partition, and the file in which they come from another process.

Legend: n samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.preparation import column_file
from components.preprocessing.batch import Arrays

_NUMBERS, _SIZES, _LISTED = "numbers", "sizes", "listed"


class EncodedPartition(NamedTuple):
    """The samples that are in a split, in the order of the raw rows.

    Args:
        numbers: (n,) of their splits.
        arrays: (n, ...) each.
        listed: columns of `samples.parquet`, of texts (n,).
        sizes: number of samples of each row group of the raw file.
    """

    numbers: NDArray[np.uint8]
    arrays: Arrays
    listed: dict[str, pa.Array]
    sizes: list[int]

    def save(self, path: Path) -> None:
        """Write the file."""
        sink = pa.BufferOutputStream()
        table = pa.Table.from_arrays(list(self.listed.values()), names=list(self.listed))
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        arrays: dict[str, NDArray[Any]] = {f"array.{name}": values for name, values in self.arrays.items()}
        arrays |= {_NUMBERS: self.numbers, _SIZES: np.array(self.sizes, np.int64)}
        column_file.save(path, arrays | {_LISTED: np.frombuffer(sink.getvalue(), np.uint8)})

    @staticmethod
    def load(path: Path) -> EncodedPartition:
        """Read the file."""
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        table = pa.ipc.open_stream(pa.py_buffer(found[_LISTED])).read_all().combine_chunks()
        return EncodedPartition(
            found[_NUMBERS],
            {name.removeprefix("array."): values for name, values in found.items() if name.startswith("array.")},
            {
                name: table[name].chunk(0) if table.num_rows else table[name].combine_chunks()
                for name in table.column_names
            },
            found[_SIZES].tolist(),
        )
