"""Seal closed hours of a prediction log: Parquet, a manifest over it, and the lines are gone.

`<log>/sealed/<hour>/` holds predictions.parquet, feedback.parquet and manifest.json; pandas, Polars and DuckDB read the
files as they are. Lines that come after their hour was sealed, as a disk was stuck, become `<hour>.2`, and so on.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from components.contracts.prediction_log import OPEN, SEALED, begin_of, hours
from components.core import atomic
from components.identity import manifest as manifests
from components.identity.manifest import Manifest
from components.monitoring import log_reader

PREDICTIONS, FEEDBACK = "predictions.parquet", "feedback.parquet"
GRACE_SECONDS = 60.0  # after the end of an hour, for what waits in a worker's queue
_HOUR = 3600.0


class SealedHour(NamedTuple):
    """A sealed part of a log.

    Args:
        name: the hour, `2026-11-29T13`, or `2026-11-29T13.2` for lines that came late.
    """

    name: str
    folder: Path
    manifest: Manifest


def seal_closed(log: Path, now: float | None = None) -> list[SealedHour]:
    """Seal every hour that is over; what a killed call left is completed.

    Raises:
        OSError: a file cannot be read or written; the lines stay.
    """
    now = time.time() if now is None else now
    due = [hour for hour in hours(log / OPEN) if begin_of(hour) + _HOUR + GRACE_SECONDS <= now]
    return [sealed for hour in due if (sealed := seal(log, hour)) is not None]


def seal(log: Path, hour: str) -> SealedHour | None:
    """Seal an hour, over or not; None if it has no lines, or they had been sealed already."""
    source = log / OPEN / hour
    lines = {path.name: path.stat().st_size for path in sorted(source.iterdir())}
    name, number = hour, 1
    while (target := log / SEALED / name).exists():
        facts = manifests.load(target, "predictions").facts
        lines = {file: size for file, size in lines.items() if facts["lines"].get(file) != size}
        number += 1
        name = f"{hour}.{number}"
    sealed = None
    if lines:
        part = log_reader.read(source, lines)
        with atomic.folder(target) as folder:
            pq.write_table(part.predictions, folder / PREDICTIONS, compression="zstd")
            pq.write_table(part.feedback, folder / FEEDBACK, compression="zstd")
            manifest = manifests.seal(folder, "predictions", _facts(name, part, lines))
        sealed = SealedHour(name, target, manifest)
    shutil.rmtree(source)
    return sealed


def remove_inputs(log: Path, before: float) -> int:
    """Take the inputs out of sealed hours that began before a time; everything else in them stays.

    Returns:
        The number of hours that had inputs. Their manifests say so (`inputs_removed`), and have another digest.
    """
    count = 0
    for one in sealed_hours(log):
        if begin_of(one.name.partition(".")[0]) >= before:
            continue
        table = pq.read_table(one.folder / PREDICTIONS)
        if log_reader.INPUT not in table.column_names:
            continue
        feedback = pq.read_table(one.folder / FEEDBACK)
        with atomic.folder(one.folder) as folder:
            pq.write_table(table.drop_columns([log_reader.INPUT]), folder / PREDICTIONS, compression="zstd")
            pq.write_table(feedback, folder / FEEDBACK, compression="zstd")
            manifests.seal(folder, "predictions", {**one.manifest.facts, "inputs_removed": True})
        count += 1
    return count


def _facts(name: str, part: log_reader.LogPart, lines: dict[str, int]) -> dict[str, Any]:
    versions = sorted({str(version) for version in part.predictions["version"].unique().to_pylist()})
    return {
        "hour": name,
        "predictions": part.predictions.num_rows,
        "feedback": part.feedback.num_rows,
        "versions": versions,
        "dropped_requests": part.dropped,
        "unreadable_lines": part.torn,
        "lines": lines,
    }


def sealed_hours(log: Path) -> list[SealedHour]:
    """The sealed parts of a log, in order.

    Raises:
        CorruptArtifactError: a manifest cannot be read or does not fit.
    """
    folder = log / SEALED
    found = [path for path in folder.iterdir() if (path / manifests.FILE_NAME).is_file()] if folder.is_dir() else []
    return [SealedHour(path.name, path, manifests.load(path, "predictions")) for path in sorted(found)]
