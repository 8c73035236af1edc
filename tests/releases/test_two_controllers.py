"""Two controllers of two machines over one ledger on PostgreSQL: one acts, and the other takes over when it is killed.

The machines are two folders with a registry (a real MLflow server), a ledger and a key in common. The services are one
process that answers `GET /status` for them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import watch
from benchmarks.console import _register, _server
from components.access import project_door
from components.core.project import Project
from components.registry.api import Api
from components.release import ledger as ledgers
from components.release import ledger_place
from components.release.production import decided
from flows.platform import connections, programs, state
from flows.platform.state import StackState
from flows.releases import activity
from flows.serving_targets.local_target import LocalServingTarget
from tests import postgres_server
from tests.postgres_server import PostgresServer

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing())),
]
ROOT = Path(__file__).resolve().parents[2]
MODELS = [f"model-{number:04}" for number in range(4)]
LEDGER = '[connections]\nledger = "{url}"\nledger_credentials = {{env = "LEDGER_LOGIN"}}\n'


@dataclass
class Machine:
    """A folder with a controller."""

    project: Project
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What its controllers said."""
        return (self.project.root / "controller.log").read_text()

    def start(self) -> None:
        """Start its controller."""
        words = [sys.executable, "-m", "flows.releases.controller", str(self.project.root)]
        with (self.project.root / "controller.log").open("wb") as log:
            self.process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill its controller."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def doing(self, model: str) -> str | None:
        """What its controller does about a model."""
        found = activity.read(self.project, model)
        return found.doing if found is not None else None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Machine, Api, PostgresServer]]:
    folder = tmp_path_factory.mktemp("machines")
    with ExitStack() as during, pytest.MonkeyPatch.context() as patch:
        database = during.enter_context(postgres_server.running())
        patch.setenv("LEDGER_LOGIN", database.credentials)
        one, two = Project(folder / "one"), Project(folder / "two")
        one.root.mkdir()
        (one.root / "modelyard.toml").write_text(LEDGER.format(url=database.url))
        stack = watch._make(one, MODELS)
        during.enter_context(_server(one, programs._mlflow(one, stack), stack.ports["mlflow"]))
        _register(one, len(MODELS))
        watch._add_next_versions(one)
        _second(two, one, stack, database)
        words = [sys.executable, "-m", "benchmarks.watch", "--answer", str(len(MODELS))]
        services = subprocess.Popen(words, cwd=ROOT)
        during.callback(services.wait)
        during.callback(services.terminate)
        api = during.enter_context(
            Api(f"http://127.0.0.1:{stack.ports['mlflow']}", connections.credentials(one), patience_seconds=0)
        )
        machines = Machine(one), Machine(two)
        for machine in machines:
            during.callback(ledger_place.forget, machine.project)
            during.callback(machine.kill)
        yield (*machines, api, database)


def _second(two: Project, one: Project, stack: StackState, database: PostgresServer) -> None:
    """A machine that has the pipelines and the key of the first, and names its registry."""
    shutil.copytree(one.pipelines, two.pipelines)
    shutil.copy(one.root / "dvc.yaml", two.root / "dvc.yaml")
    two.ledger.mkdir(parents=True)
    shutil.copy(one.ledger / "key", two.ledger / "key")
    secret = project_door.secret_file(two)
    secret.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(project_door.secret_file(one), secret)
    login = two.root / "mlflow-login"
    known = connections.credentials(one)
    assert known is not None
    login.write_text(f"{known.user}:{known.secret}")
    (two.root / "modelyard.toml").write_text(
        LEDGER.format(url=database.url)
        + f'mlflow = "http://127.0.0.1:{stack.ports["mlflow"]}"\nmlflow_credentials = {{file = "{login}"}}\n'
        + 'prefect = "http://127.0.0.1:9/api"\n'
    )
    shutil.copytree(state.folder(one) / "serving.d", state.folder(two) / "serving.d")
    state.save(two, StackState(str(two.root), wanted=True, ports=stack.ports))
    for name in MODELS:
        production = decided(ledgers.of(two, name).entries()).production
        LocalServingTarget(two, name).apply(production, 1)


def _until(holds: Callable[[], bool], seconds: float = 60) -> float:
    """Wait; returns for how long."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() < begun + seconds
        time.sleep(0.02)
    return time.monotonic() - begun


def _promote(api: Api, model: str) -> None:
    api.post("registered-models/alias", {"name": model, "alias": "champion", "version": watch.NEXT_VERSION})


def test_one_acts_and_the_other_takes_over_within_seconds(
    place: tuple[Machine, Machine, Api, PostgresServer],
) -> None:
    one, two, api, database = place
    one.start()
    _until(lambda: all(one.doing(model) == "idle" for model in MODELS))
    two.start()
    _until(lambda: "another machine's controller leads" in two.log)
    _promote(api, MODELS[0])
    _until(lambda: one.doing(MODELS[0]) != "idle")
    time.sleep(2)
    assert all(two.doing(model) is None for model in MODELS)

    one.kill()
    assert _until(lambda: _leads(two)) < 5
    _until(lambda: two.doing(MODELS[1]) == "idle")
    _promote(api, MODELS[1])
    assert _until(lambda: two.doing(MODELS[1]) != "idle") < 5
    one.start()  # it comes back, and waits
    _until(lambda: "another machine's controller leads" in one.log)

    database.stop()  # nobody knows who leads: both wait, and neither ends
    _until(lambda: "nobody knows" in one.log and "nobody knows" in two.log)
    database.start()
    _until(lambda: _leads(one) or _leads(two))
    leader, other = (one, two) if _leads(one) else (two, one)
    assert not _leads(other)
    assert leader.process is not None
    assert os.waitpid(leader.process.pid, os.WNOHANG) == (0, 0)
    leader.kill()
    assert _until(lambda: _leads(other)) < 5
    for model in MODELS:
        entries = ledgers.of(one.project, model).entries()
        assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))


def _leads(machine: Machine) -> bool:
    said = [line for line in machine.log.splitlines() if "leads" in line]
    return bool(said) and said[-1] == "this controller leads"
