"""Truths that are being told, against the classes of the answers that they are about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contracts.prediction_log import HOUR_SECONDS, OPEN, Feedback, answered_at, hour_of, hours
from components.core import file_lock
from components.inference import told_truth
from components.inference.told_truth import KnownClasses
from components.monitoring import log_reader, sealing, upkeep

_COLUMNS = ["id", "index", "output"]
_SHOWN = 10


class DoubtfulTruth(NamedTuple):
    """A truth that no answer of its model can be.

    Args:
        row: of the file, from 1.
        name: that is no class; None: the truth is of another kind than the answer.
    """

    row: int
    name: str | None
    known: KnownClasses

    def sentence(self) -> str:
        """In words."""
        if self.name is None:
            return f"row {self.row}: the truth is of another kind than the answer, which has {self.known.field}"
        near = told_truth.nearest(self.name, self.known.classes)
        perhaps = "" if near is None else f"; the nearest is {near!r}"
        return (
            f"row {self.row}: the truth {self.name[:60]!r} is no class of the model{perhaps}; "
            f"it knows {told_truth.named(self.known.classes)}"
        )


def examine(log: Path, told: Sequence[Feedback]) -> list[DoubtfulTruth]:
    """The truths that name no class of the model, or are of another kind, in the order of the rows.

    Truths of answers that are not in the log, and of tasks whose answers do not name all classes, are not judged.

    Raises:
        CorruptArtifactError: a sealed hour is damaged.
    """
    known: dict[tuple[str, int], KnownClasses] = {}
    with file_lock.locked(upkeep.lock_file(log), "another look at the prediction log"):
        for table in _tables(log, told):
            for row in table.to_pylist():
                found = told_truth.of_answer(json.loads(row["output"]))
                if found is not None:
                    known[row["id"], row["index"]] = found
    doubtful = []
    for number, one in enumerate(told, 1):
        if (classes := known.get((one.id, one.index))) is None:
            continue
        if told_truth.is_of_another_kind(one.truth, classes):
            doubtful.append(DoubtfulTruth(number, None, classes))
        doubtful += [DoubtfulTruth(number, name, classes) for name in told_truth.unknown_names(one.truth, classes)]
    return doubtful


def notes(doubtful: Sequence[DoubtfulTruth]) -> list[str]:
    """What a person should know of them: the first ones, how many more there are, and what becomes of them."""
    if not doubtful:
        return []
    found = [one.sentence() for one in doubtful[:_SHOWN]]
    if len(doubtful) > _SHOWN:
        found.append(f"{len(doubtful) - _SHOWN:,} more truths are like that")
    return [*found, "they are kept and counted apart, neither right nor wrong; told again, the last truth counts"]


def _tables(log: Path, told: Sequence[Feedback]) -> Iterator[pa.Table]:
    """The answers that truths are about: an id says its time, so few hours are read."""
    ids = pa.array(sorted({one.id for one in told}), pa.string())
    chosen = {hour_of(answered_at(one.id) + later) for one in told for later in (0.0, HOUR_SECONDS)}
    for one in sealing.sealed_hours(log):
        if one.name.partition(".")[0] in chosen:
            with pq.ParquetFile(one.folder / sealing.PREDICTIONS) as parquet:
                for number in range(parquet.num_row_groups):
                    table = parquet.read_row_group(number, columns=_COLUMNS)
                    yield table.filter(pc.is_in(table["id"], value_set=ids))
    for hour in hours(log / OPEN):
        if hour in chosen:
            table = log_reader.read(log / OPEN / hour).predictions.select(_COLUMNS)
            yield table.filter(pc.is_in(table["id"], value_set=ids))
