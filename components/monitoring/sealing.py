"""Seal closed hours of a prediction log: Parquet, a manifest over it, and the lines are gone.

`<log>/sealed/<hour>/` holds predictions.parquet, feedback.parquet and manifest.json; pandas, Polars and DuckDB read the
files as they are. Lines that come after their hour was sealed, as a disk was stuck, become `<hour>.2`, and so on. The
memory does not grow with the number of answers.

A manifest names the lines that its part holds (sizes and digests of the files), so that a killed call is completed:
what is sealed is not sealed again, and what was appended since is.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components.contracts.prediction_log import HOUR_SECONDS, OPEN, SEALED, begin_of, hours
from components.core import atomic
from components.core.errors import CorruptArtifactError, NotFoundError
from components.identity import manifest as manifests
from components.identity.manifest import Manifest
from components.monitoring import hour_file, log_reader
from components.monitoring.hour_file import LinesOf
from components.monitoring.upkeep_request import GRACE_SECONDS

_MEND = "restore the folder from a backup or the artifact store, or move it away: its answers are then not counted"
PREDICTIONS, FEEDBACK = "predictions.parquet", "feedback.parquet"


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
    _restore(log)
    for aside in sorted((log / OPEN).glob(".*")):
        _finish_removal(log, aside)
    due = [hour for hour in hours(log / OPEN) if begin_of(hour) + HOUR_SECONDS + GRACE_SECONDS <= now]
    return [sealed for hour in due if (sealed := seal(log, hour)) is not None]


def seal(log: Path, hour: str) -> SealedHour | None:
    """Seal an hour, over or not; None if it has no lines, or they had been sealed already."""
    source = log / OPEN / hour
    files = _unsealed(log, hour, source)
    sealed = None
    if files:
        parts = _parts(log, hour)
        name = hour if not parts else f"{hour}.{len(parts) + 1}"
        with atomic.folder(log / SEALED / name) as folder:
            found = hour_file.write(files, folder / PREDICTIONS, folder / FEEDBACK)
            manifest = manifests.seal(folder, "predictions", _facts(name, found, files))
        sealed = SealedHour(name, log / SEALED / name, manifest)
    aside = source.with_name(f".{hour}.{time.time_ns():x}")
    source.rename(aside)  # a later append makes a new file
    _finish_removal(log, aside)
    return sealed


def _parts(log: Path, hour: str) -> list[Manifest]:
    """The manifests of the sealed parts of an hour."""
    found = list[Manifest]()
    while (folder := log / SEALED / (hour if not found else f"{hour}.{len(found) + 1}")).exists():
        found.append(manifests.load(folder, "predictions"))
    return found


def _unsealed(log: Path, hour: str, source: Path) -> list[LinesOf]:
    """What no sealed part of the hour has of the files of a folder."""
    found = []
    parts = [manifest.facts for manifest in _parts(log, hour)]
    for path in sorted(path for path in source.iterdir() if path.name.endswith(".jsonl")):
        start, stop = 0, path.stat().st_size
        for facts in parts:
            size = facts["lines"].get(path.name, 0)
            known = facts.get("line_digests", {}).get(path.name)  # None: sealed by an earlier Modelyard
            is_same = size == stop if known is None else size <= stop and hour_file.digest_of(path, size) == known
            if is_same:  # else a new file of the same process
                start = max(start, size)
        if start < stop:
            found.append(LinesOf(path, start, stop))
    return found


def _finish_removal(log: Path, aside: Path) -> None:
    """Remove lines that are sealed; those that were appended while they were being sealed are put back."""
    hour = aside.name[1:].partition(".")[0]
    for one in _unsealed(log, hour, aside):
        with one.path.open("rb") as stream:
            stream.seek(one.start)
            late = log / OPEN / hour / f"late{aside.suffix}-{one.path.name}"
            late.parent.mkdir(mode=0o700, exist_ok=True)
            atomic.write_bytes(late, stream.read())
    shutil.rmtree(aside)


def remove_inputs(log: Path, before: float) -> int:
    """Take the inputs out of sealed hours that began before a time; everything else in them stays.

    Returns:
        The number of hours that had inputs. Their manifests say so (`inputs_removed`), and have another digest.
    """
    count = 0
    for one in sealed_hours(log):
        if begin_of(one.name.partition(".")[0]) >= before:
            continue
        if log_reader.INPUT not in pq.read_schema(one.folder / PREDICTIONS).names:
            continue
        with atomic.folder(one.folder) as folder:
            hour_file.rewrite(one.folder / PREDICTIONS, folder / PREDICTIONS, _without_inputs)
            shutil.copyfile(one.folder / FEEDBACK, folder / FEEDBACK)
            manifests.seal(folder, "predictions", {**one.manifest.facts, "inputs_removed": True})
        count += 1
    return count


def _without_inputs(table: pa.Table) -> pa.Table:
    return table.drop_columns([log_reader.INPUT])


def _facts(name: str, found: hour_file.HourFacts, files: list[LinesOf]) -> dict[str, Any]:
    return {
        "hour": name,
        "predictions": found.predictions,
        "feedback": found.feedback,
        "versions": list(found.versions),
        "dropped_requests": found.dropped,
        "unreadable_lines": found.torn,
        "unordered_rows": found.unordered,
        "inputs": found.inputs,
        "lines": {one.path.name: one.stop for one in files},
        "line_digests": found.digests,
    }


def sealed_hours(log: Path) -> list[SealedHour]:
    """The sealed parts of a log, in order.

    Raises:
        CorruptArtifactError: an hour has no manifest that fits, or a file of another size than was sealed.
    """
    folder = log / SEALED
    found = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    hours_there = []
    for path in sorted(found):
        try:
            hours_there.append(SealedHour(path.name, path, _checked(path)))
        except CorruptArtifactError:
            if path.is_dir():
                raise  # else it was just removed
    return hours_there


def _checked(folder: Path) -> Manifest:
    """The manifest of a sealed hour; its files have the sizes that were sealed."""
    try:
        manifest = manifests.load(folder, "predictions")
    except NotFoundError as error:
        raise CorruptArtifactError(
            "a sealed hour of the prediction log has no manifest", where=str(folder), next_step=_MEND
        ) from error
    for name, entry in manifest.files.items():
        size = (folder / name).stat().st_size if (folder / name).is_file() else None
        if size != entry.bytes:
            raise CorruptArtifactError(
                "a file of the prediction log is not the one that was sealed",
                where=str(folder / name),
                got="it is missing" if size is None else f"{size:,} bytes",
                expected=f"{entry.bytes:,} bytes",
                next_step=_MEND,
            )
    return manifest


def _restore(log: Path) -> None:
    """Put back hours that a killed call was about to replace (`atomic.folder`)."""
    for old in (log / SEALED).glob(".*.old"):
        target = old.with_name(old.name[1:].removesuffix(".old"))
        if not target.exists():
            old.rename(target)
