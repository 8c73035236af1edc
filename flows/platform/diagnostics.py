"""The checks of `modelyard doctor`. Every check is quick and imports no heavy library."""

from __future__ import annotations

import configparser
import importlib.metadata
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from components.access import redis_owner, server_database, server_redis
from components.contracts import settings
from components.contracts.runner_spec import SlurmSpec
from components.core import git
from components.core.errors import CorruptArtifactError, ModelyardError
from components.core.project import Project
from components.identity import lock_file, remote_artifact_store
from components.release import ledger as ledgers
from components.release import ledger_place
from flows.platform import (
    connections,
    dask_check,
    followed_registry,
    lifecycle,
    people_check,
    ports,
    stack_profile,
    stack_status,
    state,
)
from flows.platform.programs import FIRST_PORT

GIGABYTE = 10**9
CLOCK_SECONDS = 2.0  # beyond which times of two machines mislead people


@dataclass(frozen=True)
class Finding:
    """The result of one check, and what to do about it unless the verdict is ok."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    found: str
    what_to_do: str = ""


def diagnose(project: Project, others: Sequence[Callable[[Project], Finding]] = ()) -> tuple[Finding, ...]:
    """Run all checks, in the order in which problems should be repaired; `others` are rooms' above this one."""
    checks: list[Callable[[Project], Finding]] = [
        _python,
        _packages,
        _git,
        _disk,
        _memory,
        _gpu,
        _mirror,
        _dvc_remote,
        _profile,
        _databases,
        _redis,
        _connections,
        _people,
        _ledger,
        _artifacts,
        _engines,
        _dask,
        _registry,
        _ports,
        _stack,
        *others,
    ]
    return _each_problem_once([_run_check(check, project) for check in checks])


def _each_problem_once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """A problem that stops several checks, as a wrong modelyard.toml does, is told by the first of them."""
    told: dict[tuple[str, str], str] = {}
    found = []
    for one in findings:
        problem = (one.found, one.what_to_do)
        first = told.setdefault(problem, one.check) if one.verdict == "fail" else one.check
        is_told = one.verdict == "fail" and first != one.check
        found.append(replace(one, found=f"not looked at: see {first}", what_to_do="") if is_told else one)
    return tuple(found)


def _run_check(check: Callable[[Project], Finding], project: Project) -> Finding:
    """Run a check; its error becomes a finding with the verdict fail."""
    try:
        return check(project)
    except ModelyardError as error:
        first, *more = error.lines()
        name = check.__name__.removeprefix("_")
        if name == "finding":  # of another room: hosts_report.finding
            name = check.__module__.rpartition(".")[2].removesuffix("_report")
        return Finding(name, "fail", first, "; ".join(line.strip() for line in more))


def _python(_project: Project) -> Finding:
    version = platform.python_version()
    if version.startswith("3.11."):
        return Finding("python", "ok", f"{version} at {sys.executable}")
    return Finding("python", "fail", version, "Python 3.11 is needed: rm -rf .venv && make install PYTHON=python3.11")


def _packages(project: Project) -> Finding:
    if not project.lock_file.is_file():
        return Finding("packages", "warn", "no requirements.lock", "make lock writes it")
    differences = different_packages(project.lock_file)
    if not differences:
        return Finding("packages", "ok", "as in requirements.lock")
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return Finding("packages", "fail", "; ".join(differences[:3]) + more, "touch requirements.lock && make install")


def different_packages(path: Path) -> list[str]:
    """Packages that are not installed in the locked version, each as `name: installed, locked`.

    With torch's CPU build, packages that only the CUDA build needs may be missing.
    """
    differences = []
    has_cuda = _has_cuda_build()
    for pin in lock_file.read(path):
        try:
            installed = importlib.metadata.version(pin.name)
        except importlib.metadata.PackageNotFoundError:
            if not pin.condition and (has_cuda or not pin.gpu_only):
                differences.append(f"{pin.name}: not installed, locked {pin.version}")
            continue
        if installed.partition("+")[0] != pin.version.partition("+")[0]:
            differences.append(f"{pin.name}: {installed}, locked {pin.version}")
    return differences


def _has_cuda_build() -> bool:
    try:
        return not importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False


def _git(project: Project) -> Finding:
    if shutil.which("git") is None:
        return Finding("git", "fail", "not found", "install git: the registry notes the commit a model came from")
    head = git.ask(project.root, "rev-parse", "--short", "HEAD")
    if head.next_step:
        return Finding("git", "fail", head.reason, head.next_step)
    if head.output is None:
        return Finding("git", "warn", "no commit here", "git init && git add . && git commit: DVC builds on git")
    return Finding("git", "ok", f"at commit {head.text}")


def _disk(project: Project) -> Finding:
    free = shutil.disk_usage(project.root).free
    free_space = f"{free / GIGABYTE:.1f} GB free"
    if free < GIGABYTE:
        return Finding("disk", "fail", free_space, "free some space: a training and its bundle need about 1 GB")
    if free < 5 * GIGABYTE:
        return Finding("disk", "warn", free_space, "`dvc gc --workspace` and old folders in .modelyard/runs give room")
    return Finding("disk", "ok", free_space)


def _memory(_project: Project) -> Finding:
    memory = psutil.virtual_memory()
    free_memory = f"{memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB free"
    if memory.available < 1.5 * GIGABYTE:
        return Finding(
            "memory", "warn", free_memory, "the servers take about 1 GB, a training 1 GB more: close something"
        )
    return Finding("memory", "ok", free_memory)


def _gpu(_project: Project) -> Finding:
    program = shutil.which("nvidia-smi")
    if program is not None:
        query = subprocess.run(
            [program, "--query-gpu=name,memory.total", "--format=csv,noheader"], capture_output=True, text=True
        )
        if query.returncode == 0 and query.stdout.strip():
            names = "; ".join(query.stdout.strip().splitlines())
            if not _has_cuda_build():
                return Finding("gpu", "warn", f"{names}; torch is the CPU build", "make install GPU=1 installs CUDA's")
            return Finding("gpu", "ok", names)
        return Finding("gpu", "warn", "nvidia-smi fails", "training uses the CPU; look at the driver")
    if Path("/proc/driver/nvidia/version").exists():
        return Finding("gpu", "warn", "a driver, but no nvidia-smi", "training may still find the GPU")
    return Finding("gpu", "ok", f"none; {os.cpu_count()} CPU cores")


def _mirror(_project: Project) -> Finding:
    folder = os.environ.get("MODELYARD_MIRROR")
    if not folder:
        return Finding("mirror", "ok", "MODELYARD_MIRROR is not set; sources are fetched by URL")
    if Path(folder).is_dir():
        return Finding("mirror", "ok", folder)
    return Finding("mirror", "warn", f"{folder} is no folder", "point MODELYARD_MIRROR to one, or unset it")


def _dvc_remote(project: Project) -> Finding:
    parser = configparser.ConfigParser()
    parser.read([project.root / ".dvc" / "config", project.root / ".dvc" / "config.local"])
    name = parser.get("core", "remote", fallback=None)
    if name is None:
        what_to_do = "dvc remote add --default store <folder or s3://...>: `dvc push` keeps data there"
        return Finding("dvc remote", "warn", "no default remote", what_to_do)
    url = next((parser[section].get("url") for section in parser.sections() if f'remote "{name}"' in section), None)
    return Finding("dvc remote", "ok", f"{name}: {url}")


def _profile(project: Project) -> Finding:
    """Check that the stack is what `modelyard up --profile` named."""
    name = stack_profile.of(project)
    wrong, _ = stack_profile.examine(project, name, reach=True)
    if wrong:
        return Finding("profile", "fail", f"{name}: {'; '.join(wrong)}", "modelyard up says which lines to write")
    if stack_profile.is_undecided(project):
        found = (
            "none is named; modelyard.toml names servers of a team: `modelyard up --profile team` was never done here"
        )
        what_to_do = "modelyard up --profile team looks for all that it needs; modelyard up --profile local for nothing"
        return Finding("profile", "warn", found, what_to_do)
    return Finding("profile", "ok", {"team": "team: all that it needs answers"}.get(str(name), "local: as configured"))


def _redis(project: Project) -> Finding:
    """Check the Redis of two Prefect API servers."""
    if not server_redis.is_named(project):
        return Finding("redis", "ok", "not used: Prefect is one server")
    found = server_redis.examine(project)
    text = f"{settings.read(project.root).servers.redis}, Redis {found.version}, which answers"
    if found.may_evict:
        what_to_do = "maxmemory-policy noeviction: a message that is removed is lost"
        return Finding("redis", "warn", f"{text}; it removes keys when its memory is full", what_to_do)
    if "prefect" in connections.own_servers(project) and not redis_owner.check(project):
        text += "; nobody's yet"
    return Finding("redis", "ok", text)


def _databases(project: Project) -> Finding:
    """Check the databases of both servers: an earlier version of Modelyard could be killed during a migration."""
    damaged = {}
    servers: tuple[connections.Name, ...] = connections.SERVERS
    named = [name for name in servers if server_database.is_named(project, name)]
    for server in named:
        where = str(getattr(settings.read(project.root).servers, server))
        with server_database.first_start(server_database.url(project, server, "postgresql"), where):
            pass  # it answers
    for name in FIRST_PORT:
        path = project.state / name / f"{name}.db"
        if path.exists() and (damage := _schema_damage(path)):
            damaged[path] = damage
    if not damaged:
        found = f"{' and '.join(named)} on PostgreSQL, which answers" if named else "whole, or not made yet"
        return Finding("databases", "ok", found)
    first = next(iter(damaged))
    repair = f"modelyard down; mv {first} {first}.broken; modelyard up makes a new one"
    return Finding("databases", "fail", "; ".join(f"{path}: {damage}" for path, damage in damaged.items()), repair)


def _schema_damage(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            temporary = sorted(table for table in tables if table.startswith("_alembic_tmp_"))
            if temporary:
                return f"a migration was killed ({temporary[0]})"
            if "alembic_version" not in tables or not list(connection.execute("SELECT * FROM alembic_version")):
                return "its tables were not all made"
    except sqlite3.OperationalError:  # locked: a server works with it
        return ""
    except sqlite3.DatabaseError as error:
        return f"it cannot be read: {error}"
    return ""


def _connections(project: Project) -> Finding:
    """Check which servers the project uses, and that the external ones answer."""
    configured = connections.of(project)
    servers = (configured.prefect, configured.mlflow)
    summary = "; ".join(
        f"{server.name} is the project's own" if server.is_own else f"{server.name} is {server.url} ({server.named_by})"
        for server in servers
    )
    unreachable = [server for server in servers if not server.is_own and not connections.answers(project, server)]
    if unreachable:
        names = " and ".join(server.name for server in unreachable)
        return Finding("connections", "fail", f"{summary}; {names} does not answer", "correct its URL and credentials")
    return Finding("connections", "ok", summary)


def _people(project: Project) -> Finding:
    """Check who may do what."""
    return Finding("people", *people_check.of(project))


def _ledger(project: Project) -> Finding:
    """Check the server of the release ledger: that it answers, may be written to, and has the same time."""
    url = ledger_place.url(project)
    if url is None:
        return _readable(project, "in the project's own file")
    from components.release.ledger_postgres import PostgresLedgerDatabase

    store = ledger_place.store(project)
    assert isinstance(store, PostgresLedgerDatabase)  # noqa: S101  # what a URL names
    state = store.examine()
    store.close()
    found = f"{store.where}, PostgreSQL {state.version}"
    if not state.may_write:
        return Finding("ledger", "fail", f"{found}: this user may not write there", "grant it, or name another user")
    if (problem := ledgers.key_problem(project)) is not None:
        return Finding("ledger", "fail", f"{found}: {problem}", ledgers.COPY_KEY)
    if abs(state.ahead_seconds) > CLOCK_SECONDS:
        return Finding("ledger", "warn", f"{found}: its clock is {state.ahead_seconds:+.1f} s off", "set both clocks")
    return _readable(project, found)


def _readable(project: Project, found: str) -> Finding:
    """Check that the end of each model's ledger is as it was written."""
    for name in ledgers.models(project):
        try:
            ledgers.of(project, name).head()
        except CorruptArtifactError as error:
            return Finding("ledger", "fail", f"{found}: {error.what}", error.next_step or "")
    return Finding("ledger", "ok", found)


def _artifacts(project: Project) -> Finding:
    """Check that the artifact store can be read, and a folder be written to."""
    place = connections.artifact_place(project)
    if settings.read(project.root).connections.artifacts is None:
        return Finding("artifacts", "ok", "in the project's own folder")
    try:
        connections.artifact_store(project).has("0" * 64)
    except OSError as error:
        return Finding("artifacts", "fail", f"{place}: {error.strerror}", "correct connections.artifacts")
    folder = Path(place)
    if remote_artifact_store.is_url(place) or (folder.is_dir() and os.access(folder, os.W_OK)):
        return Finding("artifacts", "ok", place)
    if folder.exists():
        return Finding("artifacts", "fail", f"{place} cannot be written to", "ask its owner for the right to write")
    return Finding("artifacts", "warn", f"{place} is not there yet", "mount it, if it is to be a mount")


def _engines(project: Project) -> Finding:
    """Check that Slurm answers, where modelyard.toml gives it stages."""
    placed = settings.read(project.root).run
    asked = [name for name in ("train", "evaluate") if isinstance(getattr(placed, name), SlurmSpec)]
    if not asked:
        return Finding("engines", "ok", "modelyard.toml runs every stage here")
    program = shutil.which("sinfo")
    if program is None:
        return Finding("engines", "fail", "sinfo of Slurm is not found", "run this where jobs are submitted")
    try:
        done = subprocess.run(
            [program, "--noheader", "--format=%P %a %D %T"], capture_output=True, text=True, timeout=30
        )
    except subprocess.TimeoutExpired:
        return Finding("engines", "fail", "sinfo does not answer in 30 s", "is slurmctld up?")
    if done.returncode != 0 or not done.stdout.strip():
        return Finding("engines", "fail", (done.stderr or "no partition").strip(), "is slurmctld up?")
    return Finding("engines", "ok", f"{' and '.join(asked)} by Slurm: {'; '.join(done.stdout.strip().splitlines())}")


def _dask(project: Project) -> Finding:
    """Check the Dask schedulers that modelyard.toml gives stages."""
    return Finding("dask", *dask_check.of(project))


def _ports(project: Project) -> Finding:
    if lifecycle.endpoints(project) is not None:
        return Finding("ports", "ok", "held by the stack")
    stack_state = state.load(project)
    expected = {
        name: (stack_state.ports.get(name, first) if stack_state else first)
        for name, first in FIRST_PORT.items()
        if name in connections.own_servers(project)
    }
    taken = {name: port for name, port in expected.items() if not ports.is_free(port)}
    if not taken:
        return Finding("ports", "ok", ", ".join(f"{name} {port}" for name, port in expected.items()) + " are free")
    holders = "; ".join(f"{port} ({name}) is held by {ports.holder(port)}" for name, port in taken.items())
    return Finding("ports", "warn", holders, "`modelyard up` takes other ports; or end that process first")


def _registry(project: Project) -> Finding:
    why = followed_registry.another(project)
    joins = followed_registry.followed(project) is None and ledger_place.store(project).is_shared
    if why is None and joins and ledgers.heads(project):
        found = f"production is not known to follow {followed_registry.place(project)}: this machine has joined others"
        return Finding("registry", "warn", found, "modelyard up says whether it has what serves")
    if why is None:
        return Finding("registry", "ok", f"production follows {followed_registry.place(project)}")
    return Finding("registry", "warn", why, f"`modelyard up {followed_registry.OPTION}` lets production follow it")


def _stack(project: Project) -> Finding:
    rows = stack_status.status(project)
    summary = ", ".join(f"{row.name} {row.state}" for row in rows)
    if any(row.state == "failed" for row in rows):
        log = next(row.log for row in rows if row.state == "failed")
        return Finding("stack", "fail", summary, f"look into {log}; then modelyard down && modelyard up")
    if all(row.state == "stopped" for row in rows):
        return Finding("stack", "ok", "stopped; modelyard up starts it")
    return Finding(
        "stack", "ok" if all(row.state == "ready" for row in rows) else "warn", summary, "wait, or look again"
    )
