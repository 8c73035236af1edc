"""Find a person's rows in the prediction log of a model, and remove them: predictions, inputs, and their truths."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.contracts.prediction_log import OPEN, hours
from components.core import atomic, file_lock
from components.core.strict import Strict
from components.identity import digest
from components.identity import manifest as manifests
from components.monitoring import hour_file, log_reader, sealing, subject, upkeep
from components.monitoring.sealing import SealedHour
from components.monitoring.subject import Subject


class LogRows(Strict):
    """Rows of a log that are a person's.

    Args:
        hours: number of rows by hour.
        ids: of their predictions; none of the person's data can be told from them.
        digest: sha256 over the digests of the rows.
    """

    hours: dict[str, int]
    ids: list[str]
    digest: str

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(self.hours.values())


def seal_open(log: Path) -> None:
    """Seal all hours, also the present one, so that every line that was written can be removed."""
    with file_lock.locked(upkeep.lock_file(log), "another look at the prediction log"):
        sealing.seal_closed(log)
        for hour in hours(log / OPEN):
            sealing.seal(log, hour)


def find(log: Path, whose: Subject, inputs: Collection[str] = ()) -> LogRows:
    """The rows of a log that are a person's; those of hours that are not sealed too.

    Args:
        inputs: as of `subject.rows_of`.
    """
    counts: dict[str, int] = {}
    ids: set[str] = set()
    digests: list[str] = []

    def look(name: str, table: pa.Table) -> None:
        chosen = table.filter(pa.array(subject.rows_of(table, whose, inputs, ())))
        if chosen.num_rows:
            counts[name] = counts.get(name, 0) + chosen.num_rows
            ids.update(chosen["id"].to_pylist())
            digests.extend(digest.of_value(_plain(row)) for row in chosen.to_pylist())

    with file_lock.locked(upkeep.lock_file(log), "another look at the prediction log"):
        for one in sealing.sealed_hours(log):
            with pq.ParquetFile(one.folder / sealing.PREDICTIONS) as parquet:
                for group in range(parquet.num_row_groups):
                    look(one.name, parquet.read_row_group(group, use_threads=False))
        for hour in hours(log / OPEN):
            look(hour, log_reader.read(log / OPEN / hour).predictions)
    return LogRows(hours=counts, ids=sorted(ids), digest=digest.of_value(sorted(digests)))


def remove(log: Path, whose: Subject, inputs: Collection[str], ids: Collection[str]) -> int:
    """Remove a person's rows and the truths of these from the sealed hours; again after a kill, it goes on.

    Args:
        ids: of predictions that are known to be the person's, as their rows may be gone already.

    Returns:
        The number of hours that were rewritten. Their manifests count `forgotten` rows, and have another digest.
    """
    count = 0
    with file_lock.locked(upkeep.lock_file(log), "another look at the prediction log"):
        for one in sealing.sealed_hours(log):
            with contextlib.suppress(_NothingToDo):
                _rewrite(one, whose, inputs, frozenset(ids))
                count += 1
    return count


def _rewrite(one: SealedHour, whose: Subject, inputs: Collection[str], ids: frozenset[str]) -> None:
    def kept(table: pa.Table) -> pa.Table:
        return table.filter(pa.array(~subject.rows_of(table, whose, inputs, ids)))

    def kept_truths(table: pa.Table) -> pa.Table:
        return table.filter(pa.array(np.array([name not in ids for name in table["id"].to_pylist()], bool)))

    with atomic.folder(one.folder) as folder:
        rows = hour_file.rewrite(one.folder / sealing.PREDICTIONS, folder / sealing.PREDICTIONS, kept)
        truths = hour_file.rewrite(one.folder / sealing.FEEDBACK, folder / sealing.FEEDBACK, kept_truths)
        facts = one.manifest.facts
        gone = int(facts["predictions"]) - rows, int(facts["feedback"]) - truths
        if not any(gone):
            raise _NothingToDo
        forgotten = int(facts.get("forgotten", 0)) + gone[0]
        manifests.seal(
            folder, "predictions", {**facts, "predictions": rows, "feedback": truths, "forgotten": forgotten}
        )


class _NothingToDo(Exception):
    """The hour has none of the rows: the folder stays as it is."""


def _plain(row: dict[str, object]) -> dict[str, object]:
    """A row as JSON has it: times and numbers that are not finite as text."""
    return {name: value if isinstance(value, str | int | None) else str(value) for name, value in row.items()}
