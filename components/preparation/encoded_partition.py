"""The prepared samples of a partition, and the files in which they come from another process.

Legend: n samples.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.ingestion import columns
from components.preparation import column_file
from components.preprocessing.batch import Arrays

_NUMBERS = "numbers"


class EncodedPartition(NamedTuple):
    """The samples that are in a split, in the order of the raw rows.

    Args:
        numbers: (n,) of their splits.
        arrays: (n, ...) each; {} where they are in the files of the splits already.
        listed: columns of `samples.parquet`, of texts (n,).
    """

    numbers: NDArray[np.uint8]
    arrays: Arrays
    listed: dict[str, pa.Array]

    def save(self, path: Path) -> None:
        """Write the samples into an Arrow file, and the arrays beside it; each is there as a whole or not at all."""
        if self.arrays:
            column_file.save(_arrays_of(path), self.arrays)
        numbers = pa.Array.from_buffers(pa.uint8(), len(self.numbers), [None, pa.py_buffer(self.numbers.tobytes())])
        table = pa.Table.from_arrays([numbers, *self.listed.values()], names=[_NUMBERS, *self.listed])
        fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        with pa.ipc.new_file(str(fresh), table.schema) as stream:
            stream.write_table(table)
        fresh.replace(path)

    @staticmethod
    def take(path: Path) -> EncodedPartition:
        """Read the files and remove them; the texts stay mapped."""
        arrays: Arrays = {}
        if (beside := _arrays_of(path)).is_file():
            with column_file.opened(beside) as file:
                arrays = dict(file)
            beside.unlink()
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        path.unlink()
        listed = {name: columns.whole(table[name]) for name in table.column_names if name != _NUMBERS}
        _, buffer = columns.whole(table[_NUMBERS]).buffers()
        numbers = np.frombuffer(buffer or b"", np.uint8, table.num_rows)
        return EncodedPartition(numbers, arrays, listed)


def _arrays_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.arrays")
