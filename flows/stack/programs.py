"""The programs of the stack: what each runs, where it answers, what it needs."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.contracts import atomic
from components.contracts.project import Project
from flows import environment
from flows.stack import state
from flows.stack.health import TOKEN_HEADER
from flows.stack.mark import PROGRAM
from flows.stack.ports import LOOPBACK
from flows.stack.state import StackState

WORK_POOL = "modelyard"
FIRST_PORT = {"prefect": 4200, "mlflow": 5000}
HEALTH = {"prefect": "/api/health", "mlflow": "/health"}
SERVICE_PREFIX = "serve-"


@dataclass(frozen=True)
class Program:
    """One supervised program. What it runs stands in a JSON file of its own, so no word of it needs quoting.

    Args:
        priority: lower starts first and stops last.
        stop_seconds: how long it may take to end after SIGTERM, before its whole process group is killed.
        after: a server (port, path, token) that must be ready before the program starts.
        clears_leftovers: end processes that a killed earlier start of it left.
    """

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    priority: int = 10
    stop_seconds: int = 5
    after: dict[str, Any] | None = None
    clears_leftovers: bool = True
    dies_with_supervisor: bool = True

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
        document = asdict(self) | {"folder": str(project.root), "environment": variables}
        return json.dumps(document, indent=1, sort_keys=True) + "\n"

    def section(self, project: Project) -> str:
        """The program's section of the supervisor's configuration."""
        command = shlex.join([sys.executable, "-m", "flows.stack.launch", str(launch_file(project, self.name))])
        lines = {
            "command": command,
            "priority": self.priority,
            "autorestart": "true",
            "startsecs": 2,
            "startretries": 10,
            "stopwaitsecs": self.stop_seconds,
            "stopasgroup": "true",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": log_file(project, self.name).relative_to(project.root),
            "stdout_logfile_maxbytes": "5MB",
            "stdout_logfile_backups": 2,
        }
        body = "".join(f"{key}={escaped(str(value))}\n" for key, value in lines.items())
        return f"[program:{self.name}]\n{body}"


def escaped(value: str) -> str:
    """A value as the supervisor's configuration reads it back (paths it expands twice: they are given relative)."""
    return value.replace("%", "%%")


def launch_file(project: Project, name: str) -> Path:
    """What a program runs."""
    return state.folder(project) / "programs" / f"{name}.json"


def log_file(project: Project, name: str) -> Path:
    """What a program prints."""
    return state.folder(project) / "logs" / f"{name}.log"


def of_stack(project: Project, known: StackState) -> tuple[Program, ...]:
    """The programs that `up` starts."""
    return (
        _guardian(project),
        _prefect(project, known),
        _mlflow(project, known),
        _runner(project, known),
        _watcher(project, known),
    )


def prefect_api(port: int) -> str:
    """The URL of Prefect's REST API."""
    return f"http://{LOOPBACK}:{port}/api"


def _uvicorn(application: str, port: int, token: str, *more: str) -> list[str]:
    words = [sys.executable, "-m", "uvicorn", application, "--host", LOOPBACK, "--port", str(port)]
    return [*words, "--header", f"{TOKEN_HEADER}:{token}", "--no-access-log", "--timeout-graceful-shutdown", "3", *more]


def _guardian(project: Project) -> Program:
    command = [sys.executable, "-m", "flows.stack.guardian", str(project.root)]
    return Program("guardian", command, priority=1, clears_leftovers=False, dies_with_supervisor=False)


def _prefect(project: Project, known: StackState) -> Program:
    port = known.ports["prefect"]
    settings = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{project.state / 'prefect' / 'prefect.db'}",
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_UI_API_URL": prefect_api(port),
        "PREFECT_API_URL": prefect_api(port),
        "PREFECT__SERVER_FINAL": "1",
    }
    command = _uvicorn("prefect.server.api.server:create_app", port, known.token, "--factory")
    return Program("prefect", command, settings)


def _mlflow(project: Project, known: StackState) -> Program:
    """The application that `mlflow server` starts as a child of its own; started directly, MLflow is imported once."""
    home = project.state / "mlflow"
    store = f"sqlite:///{home / 'mlflow.db'}"
    settings = {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(home / "artifacts"),
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    return Program("mlflow", _uvicorn("mlflow.server.fastapi_app:app", known.ports["mlflow"], known.token), settings)


def _runner(project: Project, known: StackState) -> Program:
    port = known.ports["prefect"]
    words = ["worker", "start", "--pool", WORK_POOL, "--type", "process", "--name", "modelyard-runner", "--limit", "2"]
    return Program(
        "runner",
        [sys.executable, "-m", "prefect", *words, "--install-policy", "never"],
        {
            "PREFECT_API_URL": prefect_api(port),
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            # Prefect keeps `runner_storage` there. In /tmp it belongs to whoever came first, and to nobody else.
            "TMPDIR": str(state.folder(project)),
            "PYTHONUNBUFFERED": "1",
        },
        priority=30,
        stop_seconds=8,
        after={"port": port, "path": HEALTH["prefect"], "token": known.token},
        clears_leftovers=False,  # flow runs of a killed runner go on and report their end themselves
    )


def _watcher(project: Project, known: StackState) -> Program:
    return Program(
        "watcher",
        [sys.executable, "-m", "flows.release.watcher", str(project.root)],
        {
            "PREFECT_API_URL": prefect_api(known.ports["prefect"]),
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
            "PYTHONUNBUFFERED": "1",
        },
        priority=30,
        stop_seconds=8,
        after={"port": known.ports["mlflow"], "path": HEALTH["mlflow"], "token": known.token},
        clears_leftovers=False,  # a release of a killed watcher goes on to its end
    )
