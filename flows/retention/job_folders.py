"""Folders of jobs on other machines, and copies of code for them: what no job needs any more.

They lie in the jobs' folder of one person, often outside the project. A job's folder goes when its result is taken;
what is left is of jobs that were cancelled, killed, or never asked for again, with their checkpoints.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from components.contracts.pipeline import PipelineSpec
from components.core import file_lock, located_yaml
from components.core.errors import ModelyardError, StackError
from components.core.log import Log
from components.core.project import Project
from components.retention.item import Item
from flows.pipelines import stage_placement
from flows.pipelines.stage_placement import JobFolder

LOST = "a job that could have gone on from its checkpoint begins anew"


def find(project: Project, log: Log) -> list[Item]:
    """The folders of all engines that `run:` of a pipeline or `[run]` names.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    found: dict[str, Item] = {}
    for place in _places(project, log):
        jobs = [_job(place, folder) for folder in sorted(place.folder.glob("modelyard-*")) if folder.is_dir()]
        busy = next((item.held for item in jobs if item.held), None)
        copies = [folder for folder in (place.folder / "code").glob("[0-9a-f]*") if folder.is_dir()]
        items = [*jobs, *(_item(folder, f"code {folder.name[:12]}", busy) for folder in sorted(copies))]
        found |= {item.name: item for item in items}
    return list(found.values())


def remove(project: Project, name: str, log: Log) -> str | None:
    """Remove one of them; returns None, or the reason why it is kept.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    for place in _places(project, log):
        folder = place.folder / name
        if name.startswith("code "):
            folder = next((place.folder / "code").glob(f"{name.removeprefix('code ')}*"), folder)
        if not folder.is_dir():
            continue
        with file_lock.locked(place.folder / "locks" / name, "a run that submits this stage", log):
            if (held := _held(place, folder)) is not None:
                return held
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            (place.folder / "locks" / name).unlink()
        return None
    return "it is gone"


def _places(project: Project, log: Log) -> Iterator[JobFolder]:
    seen: set[tuple[str, Path]] = set()
    for path in sorted(project.pipelines.glob("*.yaml")):
        try:
            spec = located_yaml.read(path, PipelineSpec)
        except ModelyardError:  # `modelyard run` says what is wrong with it
            continue
        for place in stage_placement.job_folders(project, spec, log):
            if (place.engine.label, place.folder) not in seen:
                seen.add((place.engine.label, place.folder))
                yield place


def _job(place: JobFolder, folder: Path) -> Item:
    return _item(folder, folder.name, _held(place, folder))


def _held(place: JobFolder, folder: Path) -> str | None:
    """Why a folder is needed just now: its job waits or runs, or nobody knows."""
    if not folder.name.startswith("modelyard-"):
        return None
    try:
        job = place.engine.find(folder.name)
    except StackError as error:
        return f"{place.engine.label} does not say whether its job is over: {error.what}"
    return None if job is None else f"job {job} of {place.engine.label} is not over"


def _item(folder: Path, name: str, held: str | None) -> Item:
    sizes = [path.lstat() for path in folder.rglob("*")]
    return Item(
        kind="job",
        name=name,
        path=None,
        bytes=sum(about.st_size for about in sizes),
        changed=max([folder.lstat().st_mtime, *(about.st_mtime for about in sizes)]),
        held=held,
        note=LOST if name.startswith("modelyard-") else None,
    )
