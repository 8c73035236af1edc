"""One release controller that watches many models that serve: what a look at all costs, and how soon it sees a change.

The controller is the platform's own process, with a real MLflow server in which each model has a champion, a ledger
with each model's release, and each model's spec on the disk. One process answers `GET /status` for all services as
their workers do; the controller asks each of them at every look. A promotion is an alias set by MLflow's API, and is
seen when the controller writes what it does about it.

    python -m benchmarks.watch [--models 1000] [--seconds 30] [--promotions 10]
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import psutil

from benchmarks import figure
from benchmarks.console import PIPELINE, _register, _server
from benchmarks.figure import Figure
from components.access import project_door, secret
from components.contracts.serving_spec import ServiceStatus, SlotStatus, WorkerStatus
from components.core.errors import StackError
from components.core.project import Project
from components.registry.api import Api
from components.release import ledger as ledgers
from components.release.entry import VersionRef
from components.release.production import Pin, Production
from flows.platform import connections, ports, programs, readiness, state
from flows.platform.state import StackState
from flows.releases import activity
from flows.serving_targets.local_target import LocalServingTarget

NAME, VERSION, NEXT_VERSION, FIRST_PORT = "watch", "10", "11", 30000
DIGEST = "0" * 64
STEPS: tuple[ledgers.Event, ...] = (
    "asked", "verified", "bundled", "gated", "staged", "proven", "switching", "switched", "served", "told",
)  # fmt: skip
START_SECONDS = 240.0


def measure(models: int = 1000, seconds: int = 30, promotions: int = 10) -> list[Figure]:
    """Processor time of the controller a look, and the seconds until it sees a promotion.

    Raises:
        StackError: a server or the controller does not start, or a promotion is not seen.
    """
    names = [f"model-{number:04}" for number in range(models)]
    with ExitStack() as during:
        folder = during.enter_context(tempfile.TemporaryDirectory(prefix="modelyard-", dir=Path.cwd()))
        project = Project(Path(folder))
        stack = _make(project, names)
        figure.tell(f"{models:,} models are there, each with a release")
        during.enter_context(_server(project, programs._mlflow(project, stack), stack.ports["mlflow"]))
        _register(project, models)
        _add_next_versions(project)
        for words in (["benchmarks.watch", "--answer", str(models)], ["flows.releases.controller", folder]):
            process = subprocess.Popen([sys.executable, "-m", *words], cwd=Path(__file__).parents[1])
            during.callback(process.wait)
            during.callback(process.terminate)
        controller = psutil.Process(process.pid)
        _until(lambda: all(_doing(project, name) == "idle" for name in names), START_SECONDS, "rest")
        figure.tell("the controller has looked at all of them")
        spent, looks = _looks(controller, project, seconds)
        url = f"http://{ports.LOOPBACK}:{stack.ports['mlflow']}"
        with Api(url, connections.credentials(project)) as api:
            delays = [_seen_after(project, api, name) for name in names[-promotions:]]
        memory = controller.memory_info().rss / 1e6
    return [
        Figure(NAME, f"processor time of a look at {models:,} models that serve", round(spent / looks, 3), "s", 1.0),
        Figure(NAME, "seconds from one look to the next", round(seconds / looks, 2), "s"),
        Figure(NAME, f"a promotion is seen after, median of {promotions}", statistics.median(delays), "s", 2.0),
        Figure(NAME, "... at most", max(delays), "s"),
        Figure(NAME, "memory of the controller", round(memory), "MB"),
    ]


def _make(project: Project, names: list[str]) -> StackState:
    """A project whose models have been released: their ledgers, specs, and the files of their services."""
    project.pipelines.mkdir()
    (project.root / "dvc.yaml").write_text("stages: {}\n")
    project.state.mkdir(mode=0o700)
    secret.create_once(project_door.secret_file(project))
    serving = state.folder(project) / "serving.d"
    serving.mkdir(parents=True)
    taken = {"mlflow": ports.choose(24600, ()), "prefect": ports.choose(24500, ())}
    for place, name in enumerate(names):
        project.pipeline_file(name).write_text(PIPELINE.format(name=name))
        taken[f"serve-{name}"] = FIRST_PORT + place
        (serving / f"serve-{name}.conf").touch()
        pin = Pin(version=VERSION, package_digest=DIGEST, bundle=f"{name}:{0:012x}", bundle_digest=DIGEST)
        production = Production(champion=pin)
        ledger = ledgers.of(project, name)
        for step in STEPS:
            facts = {"production": production.model_dump(mode="json")} if step == "switching" else {}
            after = VersionRef(version=VERSION, package_digest=DIGEST)
            entry = ledger.append(
                step, release="0" * 12, role="champion", before=None, after=after, asked_by="ann", facts=facts
            )
        LocalServingTarget(project, name).apply(production, entry.sequence)
    stack = StackState(str(project.root), wanted=True, ports=taken)
    state.save(project, stack)
    return stack


def _add_next_versions(project: Project) -> None:
    """A second version of every model in the registry's database, which can be promoted."""
    with closing(sqlite3.connect(project.state / "mlflow" / "mlflow.db", timeout=60)) as connection, connection:
        connection.execute(
            "INSERT INTO model_versions"
            " (name, version, creation_time, last_updated_time, current_stage, status, source) SELECT"
            " name, ?, creation_time, last_updated_time, current_stage, status, source FROM model_versions",
            (NEXT_VERSION,),
        )


def _doing(project: Project, name: str) -> str | None:
    found = activity.read(project, name)
    return found.doing if found is not None else None


def _looks(controller: psutil.Process, project: Project, seconds: int) -> tuple[float, int]:
    """Processor time in a span of time, and how many looks at all models there were."""
    heartbeat, stamps = readiness.controller_heartbeat(project), set()
    begin, end = _spent(controller), time.monotonic() + seconds
    while time.monotonic() < end:
        stamps.add(heartbeat.stat().st_mtime_ns)
        time.sleep(0.05)
    return _spent(controller) - begin, max(1, len(stamps) - 1)


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _seen_after(project: Project, api: Api, name: str) -> float:
    """Seconds from an alias that names another version until the controller does something about it."""
    begin = time.monotonic()
    api.post("registered-models/alias", {"name": name, "alias": "champion", "version": NEXT_VERSION})
    _until(lambda: _doing(project, name) != "idle", 30.0, f"see the promotion of {name}")
    return round(time.monotonic() - begin, 2)


def _until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise StackError(f"the controller did not {what} within {seconds:.0f} s")
        time.sleep(0.02)


async def _answer(models: int) -> None:
    """Answer for the services of all models, each on its port, until the process is ended."""
    for place in range(models):
        slot = SlotStatus(version=VERSION, package_digest=DIGEST, state="ready", since=0.0)
        worker = WorkerStatus(worker=1, generation=1, code="", champion=slot)
        status = ServiceStatus(model=f"model-{place:04}", expected=1, workers=[worker]).model_dump_json().encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(status)}\r\n\r\n"
        await asyncio.start_server(partial(_respond, head.encode() + status), ports.LOOPBACK, FIRST_PORT + place)
    await asyncio.Event().wait()


async def _respond(answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--answer"]:
        with suppress(KeyboardInterrupt):
            asyncio.run(_answer(int(sys.argv[2])))
        sys.exit()
    options = figure.parser(__doc__)
    options.add_argument("--models", type=int, default=1000)
    options.add_argument("--seconds", type=int, default=30)
    options.add_argument("--promotions", type=int, default=10)
    sys.exit(figure.command(measure, options))
