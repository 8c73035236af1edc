"""A host's folder: it belongs to one project, whose secret it has; a supervisor in it runs the models' services."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from components.access import project_door
from components.access import secret as secrets
from components.contracts import prediction_log, serving_lease
from components.contracts.prediction_log import OPEN
from components.contracts.serving_lease import LEASE_FILE, Lease
from components.core import atomic
from components.core.errors import StackError
from components.core.project import Project
from components.packaging.bundle import Bundle
from flows.platform import orphans, programs, services, state, supervisor
from flows.serving_targets.host_protocol import Grant
from flows.serving_targets.local_target import LocalServingTarget

KEPT_BUNDLES = 5  # of a model, beside those that its spec names
YOUNG_SECONDS = 3600.0
PIECE_BYTES = 4 << 20


def claim(project: Project, secret: str, name: str, names: Collection[str]) -> None:
    """Make the folder one host of the project with this secret.

    Args:
        name: the host's; `names`: of all hosts of the project.

    Raises:
        StackError: it is another project's or another host's, or not to be written to.
    """
    known = project_door.secret_of(project)
    if known is not None and known != secret:
        raise StackError(
            "this folder belongs to another project, whose services run in it",
            where=str(project.root),
            got=f"project {project_door.project_id(known)}",
            expected=f"project {project_door.project_id(secret)}, or a clone in which nothing was started yet",
            next_step="name another folder under [hosts.NAME] of modelyard.toml",
        )
    if known is None:
        try:
            project.state.mkdir(mode=0o700, exist_ok=True)
            secrets.put(project_door.secret_file(project), secret)
        except OSError as error:
            raise StackError("the host's folder cannot be written to", where=str(project.root), got=error) from error
    _be(project, name, names)


def _be(project: Project, name: str, names: Collection[str]) -> None:
    path = project.state / "stack" / "host"
    known = path.read_text().strip() if path.exists() else name
    if known != name and known in names:  # one that is named no more has left its folder to another
        raise StackError(
            f"this folder is the one of the host {known}",
            where=str(project.root),
            got=f"the host {name} names it too",
            expected="a folder of its own for each host",
        )
    if not path.exists() or known != name:
        atomic.write_text(path, f"{name}\n")


def require_clone(folder: Path) -> None:
    """Check that a folder is a clone of a project.

    Raises:
        StackError: it is none.
    """
    missing = [name for name in ("dvc.yaml", "pipelines", "flows", "components") if not (folder / name).exists()]
    if missing:
        raise StackError(
            "this folder is no clone of a project", where=str(folder), got=f"without {', '.join(missing)}",
            next_step="`git clone` there, and `make install` in it",
        )  # fmt: skip


def start_supervisor(project: Project) -> None:
    """Start the supervisor unless it runs.

    Services that ran before a restart of the machine wait until they are told what is in force: they are not started,
    but those whose lease refuses requests until then.
    """
    with state.lock(project):
        if supervisor.answers(project):
            return
        stack_state, _ = state.claim(project)
        state.save(project, replace(stack_state, wanted=True))
        if not orphans.find(str(project.root)):  # else they outlived their supervisor, and go on
            for path in (state.folder(project) / "serving.d").glob("*.conf"):
                lease = Lease.read(project.service(path.stem.removeprefix(programs.SERVICE_PREFIX)))
                if lease is None or not lease.refuses:
                    path.unlink()
        supervisor.write_configuration(project, programs.of_host(project))
        supervisor.start(project)


def start(target: LocalServingTarget, key: str) -> str:
    """Run the service from a bundle, unless one of the same code with as many workers runs; returns its URL."""
    bundle = Bundle(target.project.bundles, target.name, key)
    facts = bundle.verify().facts
    start_supervisor(target.project)
    elsewhere = listens_elsewhere(target)
    status = target.status() if not elsewhere else None
    if (
        status is not None
        and target.state() == "running"
        and status.workers
        and all(worker.code == facts.get("code") for worker in status.workers)
        and status.expected == workers_of(bundle)
    ):
        return str(target.url)
    if elsewhere:  # its socket would be handed over
        services.stop_serving(target.project, target.name)
    return target.start(bundle)


def take_leases(project: Project, grant: Grant) -> list[str]:
    """Put the leases that were granted into the folders of their services.

    A grant of before the machine's restart, or one that a later grant has overtaken on its way, is left out.

    Returns:
        The models whose grants were taken.
    """
    if grant.boot != serving_lease.boot_id():
        return []
    taken = []
    for model, seconds in grant.seconds.items():
        folder = project.service(model)
        present = Lease.read(folder)
        if present is not None and present.boot == grant.boot and present.since > grant.since:
            continue
        if seconds is None:
            (folder / LEASE_FILE).unlink(missing_ok=True)
        else:
            Lease(boot=grant.boot, since=grant.since, seconds=seconds, refuses=grant.refuses).write(folder)
        taken.append(model)
    return taken


def workers_of(bundle: Bundle) -> int:
    """How many workers a bundle's service has."""
    return int(json.loads((bundle.source / "serving.json").read_bytes())["workers"])


def listens_elsewhere(target: LocalServingTarget) -> bool:
    """Whether the service was started for another address than it is to listen on now."""
    path = programs.launch_file(target.project, programs.SERVICE_PREFIX + target.name)
    try:
        words = path.read_text()
    except OSError:
        return False
    return f'"{target.listen}"' not in words


def remove_old_bundles(project: Project, model: str, named: set[str]) -> list[str]:
    """Remove bundles that neither the spec nor a running process needs, but the youngest; returns their keys."""
    program = programs.launch_file(project, programs.SERVICE_PREFIX + model)
    running = program.read_text() if program.exists() else ""
    folders = [path for path in (project.bundles / "bentos" / model).glob("*/") if path.name not in named]
    folders = [path for path in folders if f"/{path.name}" not in running]
    removed = []
    for path in sorted(folders, key=_age)[KEPT_BUNDLES:]:
        if _age(path) > YOUNG_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path.name)
    return removed


def logs(project: Project) -> dict[str, dict[str, int]]:
    """Of every model, the files `<hour>/<name>` of its prediction log, with their sizes."""
    found: dict[str, dict[str, int]] = {}
    for path in sorted((project.state / "predictions").glob(f"*/{OPEN}/*/*.jsonl")):
        with contextlib.suppress(ValueError, OSError):
            prediction_log.begin_of(path.parent.name)
            model = path.parents[2].name
            found.setdefault(model, {})[f"{path.parent.name}/{path.name}"] = path.stat().st_size
    return found


def lines(project: Project, model: str, hour: str, file: str, start: int) -> bytes:
    """Bytes of a file of a prediction log, at most `PIECE_BYTES`.

    Raises:
        ValueError: the names are none of a log.
        OSError: there is no such file.
    """
    path = _hour(project, model, hour) / file
    if path.parent.name != hour or not file.endswith(".jsonl"):
        raise ValueError(f"no file of a prediction log: {file!r}")
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(PIECE_BYTES)


def remove_hour(project: Project, model: str, hour: str, files: dict[str, int]) -> bool:
    """Remove an hour of a prediction log that is over and has these files, of these sizes; returns whether it has.

    Raises:
        ValueError: the hour is none, or not over.
    """
    if time.time() < prediction_log.begin_of(hour) + prediction_log.HOUR_SECONDS:
        raise ValueError(f"the hour {hour} is not over")
    folder = _hour(project, model, hour)
    aside = folder.with_name(f".{hour}.brought")
    folder.rename(aside)  # who appends now begins a new folder
    if _sizes(aside) == files:
        shutil.rmtree(aside)
        return True
    for path in aside.iterdir():
        folder.mkdir(mode=0o700, exist_ok=True)
        path.rename(folder / path.name)
    aside.rmdir()
    return False


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.glob("*.jsonl")}


def _hour(project: Project, model: str, hour: str) -> Path:
    prediction_log.begin_of(hour)
    return project.predictions(model) / OPEN / hour


def remove_incoming(project: Project, prefix: str) -> None:
    """Remove bundles that were half sent when an agent was killed."""
    for path in project.bundles.glob(f"{prefix}*"):
        if _age(path) > YOUNG_SECONDS:
            path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def put_keys(project: Project, model: str, content: bytes) -> None:
    """Replace the API keys of a model's service."""
    path = project_door.api_keys_file(project, model)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write_bytes(path, content)
    path.chmod(0o600)
