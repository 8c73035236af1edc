"""Write the lines of an hour as Parquet within a bounded memory, however many there are, and rewrite such files.

The files of the workers are each in the order of their blocks, which is nearly that of time: they are merged by the
first time of the next block. What was read is sorted and written up to `SLACK_SECONDS` before that time.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contracts.prediction_log import FEEDBACK, PREDICTIONS
from components.monitoring import log_reader

GROUP_ROWS, GROUP_BYTES = 65_536, 64 << 20  # of a row group, at most
SLACK_SECONDS = 2.0  # a block is written so much later than its first answer, at most


class LinesOf(NamedTuple):
    """Lines of a file, from a place to another."""

    path: Path
    start: int
    stop: int


class HourFacts(NamedTuple):
    """What was written.

    Args:
        predictions, feedback: rows.
        versions: of the models that answered.
        dropped, torn: as of `log_reader.LogPart`.
        unordered: rows that came so late that they are not in the order of time.
        inputs: whether inputs are in it.
        digests: sha256 of each file up to its stop, by name.
    """

    predictions: int
    feedback: int
    versions: tuple[str, ...]
    dropped: int
    torn: int
    unordered: int
    inputs: bool
    digests: dict[str, str]


def write(files: Sequence[LinesOf], predictions: Path, feedback: Path) -> HourFacts:
    """Write the predictions and the feedback of files of lines.

    The files are read twice: for the columns that there are, and to merge them.
    """
    chosen = [one for one in files if one.path.name.endswith(PREDICTIONS)]
    schemas, versions, dropped, torn = set[pa.Schema](), set[str](), 0, 0
    for one in chosen:
        for line in log_reader.lines(*one):
            block = log_reader.parsed(line)
            dropped += block.dropped
            torn += block.table is None
            if block.table is not None and block.table.num_rows:
                schemas.add(block.table.schema)
                versions.update(block.table["version"].slice(0, 1).to_pylist())
    schema = log_reader.unified(schemas)
    rows, unordered = _write_predictions(chosen, schema, predictions)
    told, torn_feedback = _write_feedback([one for one in files if one.path.name.endswith(FEEDBACK)], feedback)
    digests = {one.path.name: digest_of(one.path, one.stop) for one in files}
    has_inputs = log_reader.INPUT in schema.names
    torn += torn_feedback
    return HourFacts(rows, told, tuple(sorted(versions)), dropped, torn, unordered, has_inputs, digests)


def rewrite(source: Path, target: Path, change: Callable[[pa.Table], pa.Table]) -> int:
    """A Parquet file with each of its row groups changed; returns the number of its rows."""
    with pq.ParquetFile(source) as parquet:
        schema = change(parquet.schema_arrow.empty_table()).schema
        count = 0
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for group in range(parquet.num_row_groups):
                table = change(parquet.read_row_group(group, use_threads=False))
                if table.num_rows:
                    writer.write_table(table)
                    count += table.num_rows
    return count


def digest_of(path: Path, stop: int) -> str:
    """The sha256 of a file's first bytes."""
    hashed = hashlib.sha256()
    with path.open("rb") as stream:
        while stop > 0 and (piece := stream.read(min(stop, 1 << 20))):
            hashed.update(piece)
            stop -= len(piece)
    return hashed.hexdigest()


def _write_predictions(files: Sequence[LinesOf], schema: pa.Schema, target: Path) -> tuple[int, int]:
    """Returns the number of rows, and of those that are not in order."""
    counts: Counter[str] = Counter()
    last = [-(1 << 62)]
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:

        def put(table: pa.Table) -> None:
            times = table["time"].cast(pa.int64())
            counts["rows"] += table.num_rows
            counts["unordered"] += pc.sum(pc.less(times, last[0])).as_py() or 0
            last[0] = max(last[0], times[-1].as_py())
            writer.write_table(table, row_group_size=GROUP_ROWS)

        waiting, size = list[pa.Table](), 0
        for table, following in _merged(files):
            waiting.append(log_reader.conformed(table, schema))
            size += table.nbytes
            if sum(one.num_rows for one in waiting) < 2 * GROUP_ROWS and size < 2 * GROUP_BYTES:
                continue
            whole = pa.concat_tables(waiting).sort_by(log_reader.ORDER)
            ready = _before(whole, following)
            if not ready and whole.num_rows >= 4 * GROUP_ROWS:  # so many within the slack: the memory is bounded
                ready = whole.num_rows // 2
            if ready:
                put(whole.slice(0, ready))
            # A slice keeps all of the memory of its table.
            waiting = [whole.take(pa.array(np.arange(ready, whole.num_rows)))]
            size = waiting[0].nbytes
        if waiting and (whole := pa.concat_tables(waiting).sort_by(log_reader.ORDER)).num_rows:
            put(whole)
    return counts["rows"], counts["unordered"]


def _before(table: pa.Table, following: int | None) -> int:
    """The number of rows of a sorted table that nothing comes before any more."""
    if following is None:
        return int(table.num_rows)
    limit = following - round(SLACK_SECONDS * 1e6)
    return int(pc.sum(pc.less(table["time"].cast(pa.int64()), limit)).as_py() or 0)


def _merged(files: Sequence[LinesOf]) -> Iterator[tuple[pa.Table, int | None]]:
    """The blocks of files by their first times; with each, the first time of all that follow, in microseconds."""
    sources = [_blocks(one) for one in files]
    heap: list[tuple[int, int, pa.Table]] = []

    def advance(place: int) -> None:
        found = next(sources[place], None)
        if found is not None:
            heapq.heappush(heap, (found[0], place, found[1]))

    for place in range(len(sources)):
        advance(place)
    while heap:
        _, place, table = heapq.heappop(heap)
        advance(place)
        yield table, heap[0][0] if heap else None


def _blocks(file: LinesOf) -> Iterator[tuple[int, pa.Table]]:
    for line in log_reader.lines(*file):
        table = log_reader.parsed(line).table
        if table is not None and table.num_rows:
            yield pc.min(table["time"].cast(pa.int64())).as_py(), table


def _write_feedback(files: Sequence[LinesOf], target: Path) -> tuple[int, int]:
    """Returns the number of rows, and of lines that cannot be read."""
    count = torn = 0
    with pq.ParquetWriter(target, log_reader.FEEDBACK_SCHEMA, compression="zstd") as writer:
        rows = []
        for one in files:
            for line in log_reader.lines(*one):
                told = log_reader.parsed_feedback(line)
                if told is None:
                    torn += 1
                    continue
                rows.append(told)
                if len(rows) == GROUP_ROWS:
                    writer.write_table(pa.Table.from_pylist(rows, log_reader.FEEDBACK_SCHEMA))
                    count, rows = count + len(rows), []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, log_reader.FEEDBACK_SCHEMA))
        return count + len(rows), torn
