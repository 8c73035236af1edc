"""All artifacts that gc may remove, with size, digest and age."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.contracts import settings
from components.contracts.prediction_log import DAY_SECONDS, HOUR_SECONDS, OPEN, SEALED, begin_of, hours
from components.core import file_lock
from components.core.errors import ModelyardError
from components.core.project import Project
from components.identity import manifest as manifests
from components.identity.manifest import Kind as SealedKind
from components.identity.manifest import Manifest
from components.monitoring import log_labels
from components.registry.deleted_runs import DeletedRuns
from components.retention.item import Item, Kind
from components.versioning.unused_cache import UnusedCache
from flows.platform import state
from flows.platform.programs import SERVICE_PREFIX

CACHE = "DVC's cache"
_BEING_BUILT = "it is being built"
_KEPT_FOR_GOOD = "prediction logs stay: predictions_days under [retention] is not set"
_ROTATED = re.compile(r"\.log\.\d+$")


def on_disk(project: Project) -> list[Item]:
    """Bundles, packages, run folders, evidence, reports, services, logs, requests, inputs of searches, predictions,
    and what was computed to watch them."""
    return [
        *_bundles(project),
        *_packages(project),
        *_runs(project),
        *_evidence(project),
        *(_item(project, "report", path.name, path) for path in _entries(project.state / "reports")),
        *(
            _item(project, "service", path.name, path, model=path.name)
            for path in _entries(project.service("any").parent)
        ),
        *_logs(project),
        *(_item(project, "request", path.name, path) for path in _entries(project.state / "requests")),
        *_inputs(project),
        *_predictions(project),
        *_monitoring(project),
    ]


def of_cache(unused: UnusedCache) -> list[Item]:
    """The unreferenced files of DVC's cache, as one item: DVC removes all of them or none."""
    if not unused.files:
        return []
    name = f"{CACHE}, {unused.files} files"
    return [Item(kind="data", name=name, path=None, bytes=unused.bytes, changed=unused.youngest)]


def of_mlflow(deleted: DeletedRuns) -> list[Item]:
    """Runs that were deleted in MLflow; a run that a model version references is held."""
    return [
        Item(
            kind="mlflow-run",
            name=run.id,
            path=None,
            bytes=run.bytes,
            changed=run.ended,
            held=f"{run.needed_by} rests on it" if run.needed_by else deleted.unsafe,
        )
        for run in deleted.runs
    ]


def _bundles(project: Project) -> Iterator[Item]:
    for model in _entries(project.bundles / "bentos"):
        for folder in _entries(model):
            if folder.is_dir():
                yield _bundle(project, f"{model.name}:{folder.name}", model.name, folder)
    for folder in _entries(project.bundles / "damaged"):
        model_name = folder.name.rsplit("-", 2)[0]
        is_running = (state.folder(project) / "programs" / f"{SERVICE_PREFIX}{model_name}.json").exists()
        reason = "the service runs, perhaps from it" if is_running else None
        yield _item(project, "bundle", f"damaged {folder.name}", folder, model=model_name, held=reason)


def _bundle(project: Project, name: str, model: str, folder: Path) -> Item:
    sealed = _sealed(folder / "src", "bundle")
    facts: dict[str, Any] = sealed.facts if sealed is not None else {}
    return _item(
        project,
        "bundle",
        name,
        folder,
        model=model,
        version=facts.get("version"),
        digest=sealed.digest if sealed is not None else None,
        package_digest=facts.get("package_digest"),
        held=_BEING_BUILT if file_lock.is_locked(_build_lock(project, name)) else None,
    )


def _build_lock(project: Project, tag: str) -> Path:
    """The lock file of a bundle that is being built (`components/packaging/bundle_store.py`)."""
    return project.bundles / "building" / f"{tag.replace(':', '-')}.lock"


def _packages(project: Project) -> Iterator[Item]:
    for folder in _entries(project.state / "packages"):
        sealed = _sealed(folder, "package")
        digest = sealed.digest if sealed is not None else None
        model = sealed.facts.get("pipeline") if sealed is not None else None
        yield _item(project, "package", folder.name, folder, model=model, digest=digest, package_digest=digest)


def _runs(project: Project) -> Iterator[Item]:
    for folder in _entries(project.state / "runs"):
        sealed = _sealed(folder / "trained", "trained")
        reason = "a training is at work in it" if file_lock.is_locked(folder / "lock") else None
        yield _item(
            project,
            "run",
            folder.name,
            folder,
            model=_pipeline_of(folder / "request.json"),
            digest=sealed.digest if sealed is not None else None,
            held=reason,
        )


def _inputs(project: Project) -> Iterator[Item]:
    """Data that a search has prepared under other settings of `input:`."""
    searching = [path.name for path in project.locks.glob("tune-*") if file_lock.is_locked(path)]
    held = f"{searching[0].removeprefix('tune-')} is being tuned" if searching else None
    for folder in _entries(project.state / "inputs"):
        if folder.is_dir():
            yield _item(project, "input", folder.name, folder, held=held)


def _evidence(project: Project) -> Iterator[Item]:
    for model in _entries(project.state / "gates"):
        for folder in _entries(model):
            yield _item(project, "evidence", f"{model.name}/{folder.name}", folder, model=model.name)


def _logs(project: Project) -> Iterator[Item]:
    """Rotated logs, and logs of services that the platform does not run."""
    programs = {path.stem for path in (state.folder(project) / "programs").glob("*.json")}
    for path in _entries(state.folder(project) / "logs"):
        program = path.name.partition(".")[0]
        is_orphaned = program.startswith(SERVICE_PREFIX) and program not in programs
        if is_orphaned or _ROTATED.search(path.name):
            yield _item(project, "log", path.name, path)


def _predictions(project: Project) -> Iterator[Item]:
    """Hours of the prediction logs. Those that are not sealed are held; the age of the others is that of the hour."""
    days = settings.read(project.root).retention.predictions_days
    for log in _entries(project.state / "predictions"):
        for hour in hours(log / OPEN):
            name, why = f"{log.name}/{hour}", "its answers are not sealed yet"
            yield _item(project, "predictions", name, log / OPEN / hour, model=log.name, held=why)
        folders = _entries(log / SEALED)
        before = None if days is None else time.time() - 86_400 * days
        unlabelled = log_labels.unlabelled(log, before) if before is not None and folders else {}
        for folder in folders:
            sealed = _sealed(folder, "predictions")
            if sealed is None:
                continue
            name, held = f"{log.name}/{folder.name}", _KEPT_FOR_GOOD if days is None else None
            item = _item(project, "predictions", name, folder, model=log.name, held=held)
            count = unlabelled.get(folder.name, 0)
            note = f"{count:,} of its answers have no truth" if count else None
            ended = begin_of(folder.name.partition(".")[0]) + HOUR_SECONDS
            yield item.model_copy(update={"digest": sealed.digest, "changed": ended, "note": note})


def _monitoring(project: Project) -> Iterator[Item]:
    """References, judged windows, and rehearsals with the rows that they read."""
    rehearsals = project.state / "rehearsals"
    for folder in [*_entries(project.state / "references"), *_entries(rehearsals / "rows")]:
        sealed = _sealed(folder, "reference")
        if sealed is not None:
            package = str(sealed.facts.get("package_digest"))
            yield _item(project, "reference", folder.name, folder, digest=sealed.digest, package_digest=package)
    for folder in _entries(rehearsals):
        if folder.name != "rows":
            yield _item(project, "rehearsal", folder.name, folder, model=folder.name)
    held = _KEPT_FOR_GOOD if settings.read(project.root).retention.predictions_days is None else None
    for model in _entries(project.state / "monitoring"):
        for folder in _entries(model):
            ended = _end_of_window(folder.name)
            if ended is not None and folder.is_dir():
                item = _item(project, "window", f"{model.name}/{folder.name}", folder, model=model.name, held=held)
                yield item.model_copy(update={"changed": ended})


def _end_of_window(name: str) -> float | None:
    """The end of an hour or a day by its name, seconds since 1970; None for another name."""
    try:
        return begin_of(name) + HOUR_SECONDS
    except ValueError:
        pass
    try:
        return begin_of(f"{name}T00") + DAY_SECONDS
    except ValueError:
        return None


def in_use(project: Project, item: Item) -> str | None:
    """Why an item must not be removed now: a process locks it, or it was written since the inventory; else None."""
    if item.path is None:
        return None
    path = project.root / item.path
    if item.kind == "run" and file_lock.is_locked(path / "lock"):
        return "a training is at work in it"
    if item.kind == "bundle" and file_lock.is_locked(_build_lock(project, item.name)):
        return _BEING_BUILT
    if item.kind == "window":  # its time is the window's, not that of its judgement
        return None
    if item.kind == "predictions":
        sealed = _sealed(path, "predictions")
        return None if sealed is not None and sealed.digest == item.digest else "written meanwhile"
    return "written meanwhile" if _size_and_time(path)[1] > item.changed else None


def _item(project: Project, kind: Kind, name: str, path: Path, **facts: Any) -> Item:
    size, changed = _size_and_time(path)
    place = path.relative_to(project.root).as_posix()
    return Item(kind=kind, name=name, path=place, bytes=size, changed=changed, **facts)


def _size_and_time(path: Path) -> tuple[int, float]:
    """Size in bytes of a file or of all files in a folder, and the latest modification time."""
    size, changed = 0, 0.0
    for entry in (path, *path.rglob("*")) if path.is_dir() and not path.is_symlink() else (path,):
        try:
            status = entry.lstat()
        except FileNotFoundError:
            continue
        size += status.st_size if not entry.is_dir() or entry.is_symlink() else 0
        changed = max(changed, status.st_mtime)
    return size, changed


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder, without names that begin with a dot: those are being written or removed."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sealed(folder: Path, kind: SealedKind) -> Manifest | None:
    try:
        return manifests.load(folder, kind)
    except ModelyardError:
        return None


def _pipeline_of(request: Path) -> str | None:
    try:
        name = json.loads(request.read_bytes())["pipeline"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None
