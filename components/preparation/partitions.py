"""The partitions of a raw file. What is prepared does not depend on where they are cut."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from components.ingestion.sample_file import ROW_GROUP, FilePart

ROWS = ROW_GROUP
_BYTES = 64 << 20  # of the rows, decompressed


class Partition(NamedTuple):
    """Consecutive rows.

    Args:
        number: of the partition, from 0.
        start: the first row.
        part: where the rows are in the file.
    """

    number: int
    start: int
    part: FilePart

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.part.rows


def of(path: Path, rows: int = ROWS, least: int = 1) -> list[Partition]:
    """The partitions of a file, in order: each has whole row groups, or a part of one.

    Args:
        rows: at most so many rows; a partition of more than 64 MiB has one row group.
        least: so many partitions, if there are as many rows.
    """
    about = pq.read_metadata(path)
    rows = min(rows, max(1, -(-about.num_rows // least)))
    parts: list[FilePart] = []
    held_rows = held_bytes = first = 0

    def end(group: int) -> None:
        nonlocal held_rows, held_bytes, first
        if held_rows:
            parts.append(FilePart(range(first, group), 0, held_rows))
        held_rows, held_bytes, first = 0, 0, group

    for group in range(about.num_row_groups):
        one = about.row_group(group)
        if held_rows + one.num_rows > rows or held_bytes + one.total_byte_size > _BYTES:
            end(group)
        if one.num_rows > rows:
            each = -(-one.num_rows // -(-one.num_rows // rows))  # parts of about one size
            cuts = range(0, one.num_rows, each)
            parts += [FilePart(range(group, group + 1), cut, min(each, one.num_rows - cut)) for cut in cuts]
            first = group + 1
        else:
            held_rows, held_bytes = held_rows + one.num_rows, held_bytes + one.total_byte_size
    end(about.num_row_groups)
    starts = itertools.accumulate((part.rows for part in parts), initial=0)
    return [Partition(number, start, part) for number, (start, part) in enumerate(zip(starts, parts, strict=False))]
