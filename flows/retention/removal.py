"""Removal of artifacts that survives a kill at any line.

The plan is written first. Each item is renamed into the trash, its tombstone is written, then its bytes are deleted.
The next gc deletes what a killed gc left in the trash; items that were not renamed yet are judged again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from components.core import atomic, file_lock
from components.core.errors import StackError
from components.core.log import Log
from components.core.project import Project
from components.core.strict import Strict
from components.provenance import tombstone
from components.provenance.tombstone import Tombstone
from components.retention.item import Item
from components.retention.reachability import RetentionDecision


class Removal(Strict):
    """One planned removal.

    Args:
        place: the item's path in the trash, relative to the project's folder; None: DVC or MLflow removes the item.
    """

    item: Item
    why: str
    place: str | None


class PlanFile(Strict):
    """`retention/plan.json`."""

    removals: list[Removal]


@contextmanager
def lock(project: Project) -> Iterator[None]:
    """Hold the gc lock for the duration of the block.

    Raises:
        StackError: another gc holds the lock.
    """
    path = project.locks / "retention.lock"
    with ExitStack() as lock:
        try:
            lock.enter_context(file_lock.locked(path, "another gc", timeout_seconds=0))
        except TimeoutError as error:
            raise StackError(
                "another gc is at work", where=str(path), next_step="wait until it has ended, then run it again"
            ) from error
        yield


def plan(project: Project, verdicts: Sequence[RetentionDecision]) -> list[Removal]:
    """Write the plan file for the removable items; returns the planned removals."""
    removals = [
        Removal(item=verdict.item, why=verdict.why, place=_place(project, number) if verdict.item.path else None)
        for number, verdict in enumerate(verdict for verdict in verdicts if verdict.removable)
    ]
    if removals:
        atomic.write_text(_file(project), PlanFile(removals=removals).model_dump_json(indent=1) + "\n")
    return removals


def remove(project: Project, removal: Removal) -> bool:
    """Move an item into the trash, write its tombstone, and delete it; returns whether the item existed."""
    if removal.item.path is None or removal.place is None:
        return False
    source, trash = project.root / removal.item.path, project.root / removal.place
    trash.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(source, trash)  # noqa: PTH104  # the atomic step
    except FileNotFoundError:  # another process has removed it
        return False
    _record_and_delete(project, removal, trash)
    return True


def record(project: Project, removal: Removal) -> None:
    """Write the tombstone of a removed item."""
    item = removal.item
    stone = Tombstone(
        kind=item.kind,
        name=item.name,
        model=item.model,
        version=item.version,
        digest=item.digest,
        package_digest=item.package_digest,
        bytes=item.bytes,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=removal.why,
    )
    tombstone.write(project, stone)


def finish(project: Project, log: Log) -> int:
    """Complete the removals of a killed gc; returns their number."""
    count = 0
    try:
        removals = PlanFile.model_validate_json(_file(project).read_bytes()).removals
    except FileNotFoundError:
        removals = []
    except ValidationError:  # written by another version of Modelyard; the trash is deleted below
        removals = []
    for removal in removals:
        if removal.place is not None and os.path.lexists(project.root / removal.place):
            log(f"finishing what an earlier gc began: {removal.item.kind} {removal.item.name}")
            _record_and_delete(project, removal, project.root / removal.place)
            count += 1
    shutil.rmtree(_trash(project), ignore_errors=True)
    _file(project).unlink(missing_ok=True)
    return count


def clear_plan(project: Project) -> None:
    """Delete the plan file and the trash after a complete gc."""
    shutil.rmtree(_trash(project), ignore_errors=True)
    _file(project).unlink(missing_ok=True)


def _record_and_delete(project: Project, removal: Removal, trash: Path) -> None:
    record(project, removal)
    if removal.item.kind == "bundle" and removal.item.path is not None:
        _unlink_latest(project.root / removal.item.path)
    if trash.is_dir() and not trash.is_symlink():
        shutil.rmtree(trash)
    else:
        trash.unlink(missing_ok=True)


def _unlink_latest(folder: Path) -> None:
    """Delete BentoML's file with the name of the model's latest bundle, if it names the removed bundle."""
    latest = folder.parent / "latest"
    with suppress(FileNotFoundError):
        if latest.read_text().strip() == folder.name:
            latest.unlink()


def _place(project: Project, number: int) -> str:
    return (_trash(project) / str(number)).relative_to(project.root).as_posix()


def _trash(project: Project) -> Path:
    return project.retention / "trash"


def _file(project: Project) -> Path:
    return project.retention / "plan.json"
