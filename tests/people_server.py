"""The project's own MLflow server with people's logins, as a process of its own, with users of each right."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.access import project_door, secret, service_account
from components.access.secret import Credentials
from components.core.project import Project
from components.registry import people, tracking, versions
from components.registry.api import Api
from flows.platform import environment, health, programs, state
from flows.platform.state import StackState
from tests.free_ports import free_port

STOP_SECONDS = 20

SETTINGS = "[people]\nenabled = true\n"
PASSWORDS = {
    "rita": "rita's password",
    "edith": "edith: a password",
    "mara": "mara's password",
    "ramon": "ramon was removed",
}
MODEL = "digits"


@dataclass(frozen=True)
class PeopleServer:
    """A running MLflow.

    Users: rita may look at the model, edith may train, mara may promote, ramon may as well until he is removed.
    """

    project: Project
    url: str
    log: Path

    def api(self, user: str | None = None) -> Api:
        """The REST API for a user; None: for the platform's own account."""
        own = service_account.credentials(str(project_door.secret_of(self.project)))
        return Api(self.url, own if user is None else Credentials(user, PASSWORDS[user]), patience_seconds=0)


@contextmanager
def running(folder: Path, settings: str = SETTINGS, *, is_filled: bool = False) -> Iterator[PeopleServer]:
    """A server with a model of three versions, until the block ends.

    Args:
        settings: of the project, as in `modelyard.toml`.
        is_filled: its database has the model and the users already.
    """
    project = Project(folder)
    (folder / "modelyard.toml").write_text(settings)
    (folder / "dvc.yaml").touch()
    project.pipelines.mkdir()
    shutil.copy(Path("pipelines") / f"{MODEL}.yaml", project.pipeline_file(MODEL))
    secret.create(project_door.secret_file(project))
    port = free_port()
    found = StackState(str(folder), True, {"prefect": 1, "mlflow": port})
    state.save(project, found)
    program = next(one for one in programs.of_stack(project, found) if one.name == "mlflow")
    variables = dict(os.environ)
    environment.quiet(variables)
    variables |= {**environment.of_project(project), **program.environment, "PYTHONPATH": os.fspath(Path.cwd())}
    log = folder / "mlflow.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(program.command, cwd=folder, env=variables, stdout=stream, stderr=stream)
    try:
        deadline = time.monotonic() + 120
        while not health.is_ours(project, port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        server = PeopleServer(project, f"http://127.0.0.1:{port}", log)
        if not is_filled:
            _fill(server)
        yield server
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _fill(server: PeopleServer) -> None:
    with server.api() as api:
        versions.ensure_model(api, MODEL, "Digits.")
        run = tracking.ensure(api, MODEL, "0" * 64, {})
        for _ in range(3):
            body = {"name": MODEL, "source": f"{run.artifact_uri}/model", "run_id": run.id}
            api.post("model-versions/create", body)
        for user, password in PASSWORDS.items():
            people.add(api, user, password)
        rights: dict[str, people.Right] = {"edith": "train", "mara": "promote", "ramon": "promote"}
        for user, right in rights.items():
            people.grant(api, user, MODEL, right)
