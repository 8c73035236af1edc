"""The programs of the stack: what each runs, where it answers, what it needs."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.core import atomic
from components.core.project import Project
from components.identity import digest
from flows.platform import connections, environment, state
from flows.platform.connections import own_url
from flows.platform.ports import LOOPBACK
from flows.platform.process_mark import PROGRAM
from flows.platform.state import StackState

ENTRYPOINT = "flows/pipelines/flow.py:pipeline"  # the flow that the runner runs, relative to the project
FIRST_PORT = {"prefect": 4200, "mlflow": 5000}
SERVICE_PREFIX = "serve-"
LOCK = "MODELYARD_LOCK"  # digest of the locked environment that a program was started with
GUARDIAN = "guardian"  # the one program without a shim: it watches the supervisor itself
STOP_SECONDS = 65  # of a service: a request may take a minute, and is answered
SHIM_SECONDS = 20  # that a shim needs to end a program, beside the program's own time


@dataclass(frozen=True)
class Program:
    """One supervised program. What it runs stands in a JSON file of its own, so no word of it needs quoting.

    Args:
        priority: lower starts first and stops last.
        stop_seconds: how long it may take to end after SIGTERM, before its whole process group is killed.
        after: a server (root, port) that must be ready before the program starts.
        clears_leftovers: end processes that a killed earlier start of it left.
        needs_credentials: its environment holds the project's secret, for the clients of Prefect and MLflow.
        hands_over_to: a folder, relative to the project's, in which the workers of the program say that they serve: the
            program is replaced by starting the new one beside it; None: it is ended first.
        workers: of a program that hands over, how many must say that they serve before the one before it ends.
        shim: a shim keeps it, so that it outlives the supervisor.
    """

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    priority: int = 10
    stop_seconds: int = 5
    after: dict[str, Any] | None = None
    clears_leftovers: bool = True
    needs_credentials: bool = False
    hands_over_to: str | None = None
    workers: int = 1
    shim: bool = True

    def write(self, project: Project) -> None:
        """Write the program's JSON file, which `launch.py` reads at each start."""
        path = launch_file(project, self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, self._document(project))

    def differs(self, project: Project) -> bool:
        """Whether the file written last is another than `write` would write."""
        path = launch_file(project, self.name)
        return not path.exists() or path.read_text() != self._document(project)

    def _document(self, project: Project) -> str:
        variables = {**environment.of_project(project), PROGRAM: self.name, **self.environment}
        if not self.name.startswith(SERVICE_PREFIX) and project.lock_file.is_file():
            # After other packages were installed, `up` starts the servers again; production stays as it is.
            variables[LOCK] = digest.of_file(project.lock_file)
        document = asdict(self) | {"folder": str(project.root), "environment": variables}
        return document_text(document)

    def section(self, project: Project) -> str:
        """The program's section of the supervisor's configuration.

        The supervisor runs in the project's folder, with this interpreter's folder first in PATH: all is relative, so
        no sign of a path is taken for syntax (` ;` begins a comment, `%` an expansion).
        """
        file = launch_file(project, self.name).relative_to(project.root)
        lines = {
            "command": shlex.join([Path(sys.executable).name, "-m", "flows.platform.shim", str(file)]),
            "priority": self.priority,
            "autorestart": "true",
            "startsecs": 2,
            "startretries": 10,
            "stopwaitsecs": self.stop_seconds + SHIM_SECONDS,
            "killasgroup": "false" if self.shim else "true",
            "redirect_stderr": "true",
            # What a shim prints before it opens the program's own log: nothing, unless Python itself fails.
            "stdout_logfile": log_file(project, f"{self.name}.shim" if self.shim else self.name).relative_to(
                project.root
            ),
            "stdout_logfile_maxbytes": "1MB",
            "stdout_logfile_backups": 1,
        }
        body = "".join(f"{key}={escaped(str(value))}\n" for key, value in lines.items())
        return f"[program:{self.name}]\n{body}"


def escaped(value: str) -> str:
    """A value as the supervisor's configuration reads it back (paths it expands twice: they are given relative)."""
    return value.replace("%", "%%")


def document_text(document: dict[str, Any]) -> str:
    """A program's file."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def launch_file(project: Project, name: str) -> Path:
    """What a program runs."""
    return state.folder(project) / "programs" / f"{name}.json"


def log_file(project: Project, name: str) -> Path:
    """What a program prints."""
    return state.folder(project) / "logs" / f"{name}.log"


def of_stack(project: Project, stack_state: StackState) -> tuple[Program, ...]:
    """The programs that `up` starts."""
    own = connections.own_servers(project)
    return (
        _guardian(project),
        *((_prefect(project, stack_state),) if "prefect" in own else ()),
        *((_mlflow(project, stack_state),) if "mlflow" in own else ()),
        _runner(project, stack_state),
        _controller(project, stack_state),
    )


def _prefect_api(project: Project, stack_state: StackState) -> str:
    server = connections.of(project).prefect
    return own_url("prefect", stack_state.ports["prefect"]) if server.is_own else str(server.url)


def _after(project: Project, stack_state: StackState, name: str) -> dict[str, Any] | None:
    """The server that a program waits for, if it is the project's own."""
    return (
        {"root": str(project.root), "port": stack_state.ports[name]}
        if name in connections.own_servers(project)
        else None
    )


def _uvicorn_command(application: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "--factory", application, "--host", LOOPBACK, "--port", str(port)]
    # Whoever asks does not say where from: the door asks the kernel about the connection.
    return [*command, "--no-proxy-headers", "--no-access-log", "--no-server-header", "--timeout-graceful-shutdown", "3"]


def _guardian(project: Project) -> Program:
    command = [sys.executable, "-m", "flows.platform.guardian", str(project.root)]
    return Program(GUARDIAN, command, priority=1, clears_leftovers=False, shim=False)


def _prefect(project: Project, stack_state: StackState) -> Program:
    port = stack_state.ports["prefect"]
    # Relative to the project's folder, in which the server runs: no sign of its path is taken for a part of the URL.
    database = project.state.relative_to(project.root) / "prefect" / "prefect.db"
    settings = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "true",
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{LOOPBACK}:{port}",
        # Prefect would write its pages, changed, into its own package, which may belong to another user.
        "PREFECT_UI_STATIC_DIRECTORY": str(project.state / "prefect" / "ui"),
        "PREFECT_UI_API_URL": "/api",  # of the page's own origin, under whatever name of this machine it was opened
        "PREFECT_API_URL": own_url("prefect", port),
        "PREFECT__SERVER_FINAL": "1",
    }
    return Program("prefect", _uvicorn_command("flows.platform.prefect_server:create_app", port), settings)


def _mlflow(project: Project, stack_state: StackState) -> Program:
    """The application that `mlflow server` starts as a child of its own; started directly, MLflow is imported once."""
    home = project.state.relative_to(project.root) / "mlflow"
    port = stack_state.ports["mlflow"]
    store = f"sqlite:///{home / 'mlflow.db'}"
    settings = {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"./{home / 'artifacts'}",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*,localhost:*,[[]::1]:*",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"http://{LOOPBACK}:{port}",
    }
    return Program("mlflow", _uvicorn_command("components.registry.server:create_app", port), settings)


def _runner(project: Project, stack_state: StackState) -> Program:
    return Program(
        "runner",
        [sys.executable, "-m", "flows.platform.runner"],
        {
            "PREFECT_API_URL": _prefect_api(project, stack_state),
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            # Prefect keeps `runner_storage` there. In /tmp it belongs to whoever came first, and to nobody else.
            "TMPDIR": str(state.folder(project)),
            "PYTHONUNBUFFERED": "1",
        },
        priority=30,
        stop_seconds=8,
        after=_after(project, stack_state, "prefect"),
        clears_leftovers=False,  # flow runs of a killed runner go on and report their end themselves
        needs_credentials=True,
    )


def _controller(project: Project, stack_state: StackState) -> Program:
    return Program(
        "controller",
        [sys.executable, "-m", "flows.releases.controller", str(project.root)],
        {
            "PREFECT_API_URL": _prefect_api(project, stack_state),
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
            "PYTHONUNBUFFERED": "1",
        },
        priority=30,
        stop_seconds=8,
        after=_after(project, stack_state, "mlflow"),
        clears_leftovers=False,  # a release of a killed controller goes on to its end
        needs_credentials=True,
    )
