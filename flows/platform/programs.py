"""The programs of the stack: command, environment and supervisor configuration of each."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.access import server_redis
from components.contracts import settings as settings_file
from components.core import atomic
from components.core.project import Project
from components.identity import digest
from components.registry import artifact_destination
from components.release import ledger_place
from flows.platform import connections, environment, prefect_services, state
from flows.platform.connections import Name, own_url
from flows.platform.ports import LOOPBACK
from flows.platform.process_mark import PROGRAM
from flows.platform.state import StackState

ENTRYPOINT = "flows/pipelines/flow.py:pipeline"  # the flow that the runner runs, relative to the project
FIRST_PORT = {"prefect": 4200, "mlflow": 5000, "console": 4300, "prefect-1": 4251, "prefect-2": 4252}
CONSOLE = "console"
PREFECT_PAIR = ("prefect-1", "prefect-2")  # two API servers that share the port of `prefect`, and have one each
SERVICE_PREFIX = "serve-"
LOCK = "MODELYARD_LOCK"  # digest of the locked environment that a program was started with
GUARDIAN = "guardian"  # the only program without a shim: it watches the supervisor
STOP_SECONDS = 65  # for a service to end: a request may take a minute, and is answered
SHIM_SECONDS = 20  # for a shim to end a program, in addition to the program's `stop_seconds`


@dataclass(frozen=True)
class Program:
    """One supervised program. Its command is stored in a JSON file of its own, so no argument needs quoting.

    Args:
        priority: lower starts first and stops last.
        stop_seconds: time to end after SIGTERM, before the whole process group is killed.
        after: a server (root, port) that must be ready before the program starts.
        clears_leftovers: end the processes that an earlier, killed start of the program left.
        needs_credentials: add the project's secret to the environment, for the clients of Prefect and MLflow.
        hands_over_to: a folder, relative to the project's, with the heartbeats of the program's workers. A changed
            program is then replaced without a pause: the new process starts beside the old one. None: the old process
            ends first.
        workers: number of workers of the new process that must be ready before the old process ends.
        shim: run the program under a shim, so that it outlives the supervisor.
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
        """Write the program's JSON file, which the shim reads at each start."""
        path = launch_file(project, self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, self._document(project))

    def differs(self, project: Project) -> bool:
        """Whether the program's file differs from what `write` would write."""
        path = launch_file(project, self.name)
        return not path.exists() or path.read_text() != self._document(project)

    def _document(self, project: Project) -> str:
        variables = {**environment.of_project(project), PROGRAM: self.name, **self.environment}
        if not self.name.startswith(SERVICE_PREFIX) and project.lock_file.is_file():
            # If the locked environment has changed, `up` restarts the servers, but not the model services.
            variables[LOCK] = digest.of_file(project.lock_file)
        document = asdict(self) | {"folder": str(project.root), "environment": variables}
        return document_text(document)

    def section(self, project: Project) -> str:
        """The program's section of the supervisor's configuration.

        The supervisor runs in the project's folder, with this interpreter's folder first in PATH. All paths are
        relative, so no character of a path is parsed as syntax (` ;` begins a comment, `%` an expansion).
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
            # Output of a shim before it opens the program's own log: only errors of Python itself.
            "stdout_logfile": log_file(project, f"{self.name}.shim" if self.shim else self.name).relative_to(
                project.root
            ),
            "stdout_logfile_maxbytes": "1MB",
            "stdout_logfile_backups": 1,
        }
        body = "".join(f"{key}={escaped(str(value))}\n" for key, value in lines.items())
        return f"[program:{self.name}]\n{body}"


def escaped(value: str) -> str:
    """A value with `%` escaped for the supervisor's configuration. It expands paths twice, so paths are relative."""
    return value.replace("%", "%%")


def document_text(document: dict[str, Any]) -> str:
    """The content of a program's JSON file."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def launch_file(project: Project, name: str) -> Path:
    """The JSON file of a program."""
    return state.folder(project) / "programs" / f"{name}.json"


def log_file(project: Project, name: str) -> Path:
    """The log file of a program."""
    return state.folder(project) / "logs" / f"{name}.log"


def of_stack(project: Project, stack_state: StackState) -> tuple[Program, ...]:
    """The programs that `up` starts."""
    own = connections.own_servers(project)
    return (
        _guardian(project),
        *(_prefect_servers(project, stack_state) if "prefect" in own else ()),
        *((_mlflow(project, stack_state),) if "mlflow" in own else ()),
        _runner(project, stack_state),
        _controller(project, stack_state),
        _console(project, stack_state),
    )


def prefect_names(project: Project) -> tuple[str, ...]:
    """The names of the programs of the project's own Prefect; none if a setting names another server."""
    if "prefect" not in connections.own_servers(project):
        return ()
    return (*PREFECT_PAIR, prefect_services.NAME) if server_redis.is_named(project) else ("prefect",)


def of_host(project: Project) -> tuple[Program, ...]:
    """The programs of a folder that only serves, beside the services themselves."""
    return (_guardian(project),)


def _prefect_api(project: Project, stack_state: StackState) -> str:
    server = connections.of(project).prefect
    return own_url("prefect", stack_state.ports["prefect"]) if server.is_own else str(server.url)


def _after(project: Project, stack_state: StackState, name: str) -> dict[str, Any] | None:
    """The server that a program waits for; None if the server is external."""
    return (
        {"root": str(project.root), "port": stack_state.ports[name]}
        if name in connections.own_servers(project)
        else None
    )


def _uvicorn_command(application: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "--factory", application, "--host", LOOPBACK, "--port", str(port)]
    # Proxy headers of a client are ignored: the door asks the kernel which user opened the connection.
    return [*command, "--no-proxy-headers", "--no-access-log", "--no-server-header", "--timeout-graceful-shutdown", "3"]


def _guardian(project: Project) -> Program:
    command = [sys.executable, "-m", "flows.platform.guardian", str(project.root)]
    return Program(GUARDIAN, command, priority=1, clears_leftovers=False, shim=False)


def _prefect(project: Project, stack_state: StackState) -> Program:
    port = stack_state.ports["prefect"]
    # Relative to the project's folder, in which the server runs, so no character of its path is parsed as URL syntax.
    database = project.state.relative_to(project.root) / "prefect" / "prefect.db"
    settings = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "true",
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{LOOPBACK}:{port}",
        # Prefect would write its pages, changed, into its own package, which may belong to another user.
        "PREFECT_UI_STATIC_DIRECTORY": str(project.state / "prefect" / "ui"),
        "PREFECT_UI_API_URL": "/api",  # relative to the page's origin, for any host name of this machine
        "PREFECT_API_URL": own_url("prefect", port),
        "PREFECT__SERVER_FINAL": "1",
        **_database(project, "prefect"),
    }
    return Program("prefect", _uvicorn_command("flows.platform.prefect_server:create_app", port), settings)


def _prefect_servers(project: Project, stack_state: StackState) -> tuple[Program, ...]:
    """One Prefect server; with a Redis two API servers (`prefect server start --no-services`) and the services."""
    one = _prefect(project, stack_state)
    if not server_redis.is_named(project):
        return (one,)
    port, application = stack_state.ports["prefect"], "flows.platform.prefect_server:create_app"
    shared = {
        **one.environment,
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",  # `up` has migrated it, and registered the blocks
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
        **_redis(project),
    }
    module = [sys.executable, "-m", "flows.platform.shared_port", application, str(port)]
    servers = (
        Program(name, [*module, str(stack_state.ports[name])], {**shared, "PREFECT__SERVER_WEBSERVER_ONLY": "1"})
        for name in PREFECT_PAIR
    )
    services = [sys.executable, "-m", "flows.platform.prefect_services"]
    return (*servers, Program(prefect_services.NAME, services, shared))


def _mlflow(project: Project, stack_state: StackState) -> Program:
    """The ASGI application of `mlflow server`, started directly instead of as its child: MLflow is imported once."""
    home = project.state.relative_to(project.root) / "mlflow"
    port = stack_state.ports["mlflow"]
    store = f"sqlite:///{home / 'mlflow.db'}"
    settings = {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifact_destination.of(project),
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*,localhost:*,[[]::1]:*",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"http://{LOOPBACK}:{port}",
        **_database(project, "mlflow"),
        **_people(project),
    }
    return Program("mlflow", _uvicorn_command("components.registry.server:create_app", port), settings)


def _database(project: Project, server: Name) -> dict[str, str]:
    """The database that `[servers]` names, so that `up` restarts a server that is to have another one."""
    named = getattr(settings_file.read(project.root).servers, server)
    return {} if named is None else {"MODELYARD_SERVER_DATABASE": named}


def _redis(project: Project) -> dict[str, str]:
    """So that `up` restarts Prefect's clients too when there are two API servers now: they are more patient then."""
    named = settings_file.read(project.root).servers.redis
    return {} if named is None else {"MODELYARD_SERVER_REDIS": named}


def _people(project: Project) -> dict[str, str]:
    """So that `up` restarts the programs that ask for logins when `[people]` has changed."""
    found = settings_file.read(project.root).people
    return {"MODELYARD_PEOPLE": found.model_dump_json()} if found.enabled else {}


def _runner(project: Project, stack_state: StackState) -> Program:
    return Program(
        "runner",
        [sys.executable, "-m", "flows.platform.runner"],
        {
            "PREFECT_API_URL": _prefect_api(project, stack_state),
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            # Prefect creates `runner_storage` there. In /tmp the first user would own the folder.
            "TMPDIR": str(state.folder(project)),
            "PYTHONUNBUFFERED": "1",
            **_people(project),
            **_redis(project),
        },
        priority=30,
        stop_seconds=8,
        after=_after(project, stack_state, "prefect"),
        clears_leftovers=False,  # flow runs of a killed runner continue and report their own end
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
            # So that `up` restarts a controller whose ledger is to be elsewhere: it holds its lead in that database.
            **({"MODELYARD_LEDGER_URL": url} if (url := ledger_place.url(project)) is not None else {}),
            **_people(project),
            **_redis(project),
        },
        priority=30,
        stop_seconds=8,
        after=_after(project, stack_state, "mlflow"),
        clears_leftovers=False,  # the release worker of a killed controller completes its release
        needs_credentials=True,
    )


def _console(project: Project, stack_state: StackState) -> Program:
    port = stack_state.ports.get(CONSOLE, FIRST_PORT[CONSOLE])
    return Program(CONSOLE, _uvicorn_command("flows.console.app:create_app", port), _people(project))
