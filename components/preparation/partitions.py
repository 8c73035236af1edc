"""The partitions of a raw file: runs of whole row groups. What is prepared does not depend on where they are cut."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

ROWS = 1 << 16
_BYTES = 64 << 20  # of the rows, decompressed


class Partition(NamedTuple):
    """Consecutive rows.

    Args:
        number: of the partition, from 0.
        start, rows: the first row, and number of rows.
        first_group, groups: the first row group, and number of row groups.
    """

    number: int
    start: int
    rows: int
    first_group: int
    groups: int

    @property
    def row_groups(self) -> range:
        """The numbers of its row groups."""
        return range(self.first_group, self.first_group + self.groups)


def of(path: Path, rows: int = ROWS, least: int = 1) -> list[Partition]:
    """The partitions of a file, in order.

    Args:
        rows: a partition ends with the row group that reaches so many rows, or 64 MiB.
        least: so many partitions, if there are as many row groups.
    """
    found: list[Partition] = []
    start = first = held_rows = held_bytes = 0
    about = pq.read_metadata(path)
    rows = min(rows, max(1, -(-about.num_rows // least)))
    for group in range(about.num_row_groups):
        one = about.row_group(group)
        held_rows, held_bytes = held_rows + one.num_rows, held_bytes + one.total_byte_size
        if held_rows >= rows or held_bytes >= _BYTES or group == about.num_row_groups - 1:
            found.append(Partition(len(found), start, held_rows, first, group + 1 - first))
            start, first, held_rows, held_bytes = start + held_rows, group + 1, 0, 0
    return found
