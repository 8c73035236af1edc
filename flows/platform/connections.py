"""URLs and credentials of Prefect, MLflow and the artifact store, and HTTP clients for them.

By default a project has its own servers, which `modelyard up` starts. `modelyard.toml` or the environment can name
external servers instead. Other packages of `flows` neither create HTTP clients for servers nor know a server's port.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from components.access import named_credentials, prefect_secret, project_door, server_redis
from components.access.secret import Credentials
from components.contracts import settings
from components.contracts.settings import CredentialSource
from components.core.errors import Problem, SpecError, StackError
from components.core.project import Project
from components.identity import remote_artifact_store
from components.identity.artifact_store import ArtifactStore
from flows.platform import health, people, state
from flows.platform.ports import LOOPBACK
from flows.platform.user_name import user_name

if TYPE_CHECKING:
    import httpx

Name = Literal["prefect", "mlflow"]
SERVERS: tuple[Name, ...] = ("prefect", "mlflow")
# Environment variables that override modelyard.toml.
URL_VARIABLES: dict[Name, str] = {"prefect": prefect_secret.URL_VARIABLE, "mlflow": people.URL_VARIABLE}
CREDENTIAL_VARIABLES: dict[Name, str] = {
    "prefect": prefect_secret.CREDENTIAL_VARIABLE,
    "mlflow": people.CREDENTIAL_VARIABLE,
}
PROBE_SECONDS = 5.0
PATIENCE_SECONDS = 20.0  # on a machine under load, a server that runs may take seconds to answer
OWN_NAME = "modelyard"  # work pool and tag of the deployments, on the project's own Prefect server


@dataclass(frozen=True)
class Server:
    """A Prefect or MLflow server.

    Args:
        url: the URL of the API; None for an own server that was never started.
        named_by: the file or the environment variable that names an external server; None for an own server.
    """

    name: Name
    url: str | None
    credentials: Credentials | None = field(repr=False)
    named_by: str | None = None

    @property
    def is_own(self) -> bool:
        """Whether the server is the project's own, which `modelyard up` starts."""
        return self.named_by is None

    @property
    def page(self) -> str | None:
        """The URL of the web page."""
        return self.url.removesuffix("/api") if self.url is not None and self.name == "prefect" else self.url


@dataclass(frozen=True)
class Connections:
    """The servers and stores of a project."""

    prefect: Server
    mlflow: Server
    artifact_place: str

    @property
    def artifacts(self) -> ArtifactStore:
        """The artifact store.

        Raises:
            StackError: there is no library for its URL.
        """
        return remote_artifact_store.open_store(self.artifact_place)

    def server(self, name: str) -> Server:
        """The server of that name."""
        return self.prefect if name == "prefect" else self.mlflow


@dataclass(frozen=True)
class Endpoints:
    """The URLs of the servers, and their credentials.

    Args:
        credentials: MLflow's credentials.
        prefect_credentials: Prefect's credentials.
    """

    prefect_api: str
    prefect_ui: str
    mlflow: str
    credentials: Credentials | None = field(default=None, repr=False)
    prefect_credentials: Credentials | None = field(default=None, repr=False)


def of(project: Project) -> Connections:
    """The connections of a project.

    Raises:
        SpecError: `modelyard.toml` or an environment variable is wrong.
        StackError: the configured credentials cannot be read.
    """
    config = settings.read(project.root).connections
    file = settings.FILE_NAME
    return Connections(
        _server(project, "prefect", config.prefect, config.prefect_credentials, file),
        _server(project, "mlflow", config.mlflow, config.mlflow_credentials, file),
        artifact_place(project),
    )


def artifact_place(project: Project) -> str:
    """The place of the artifact store: an absolute folder, or a URL.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    named = settings.read(project.root).connections.artifacts
    if named is not None and remote_artifact_store.is_url(named):
        return named
    return str((project.root / Path(named).expanduser() if named else project.artifacts).absolute())


def artifact_store(project: Project) -> ArtifactStore:
    """The artifact store.

    Raises:
        SpecError: `modelyard.toml` is wrong.
        StackError: there is no library for its URL.
    """
    return remote_artifact_store.open_store(artifact_place(project))


def artifact_folder(project: Project) -> Path:
    """The folder of the artifact store, for what is kept in folders alone.

    Raises:
        SpecError: `modelyard.toml` is wrong, or the store is no folder.
    """
    place = artifact_place(project)
    if remote_artifact_store.is_url(place):
        problem = Problem("connections.artifacts", "sealed hours go to a folder, not to a URL", got=place)
        raise SpecError(settings.FILE_NAME, (problem,))
    return Path(place)


def own_servers(project: Project) -> tuple[Name, ...]:
    """The servers that `modelyard up` starts.

    Raises:
        SpecError: `modelyard.toml` or an environment variable is wrong.
    """
    config = settings.read(project.root).connections
    urls: dict[Name, str | None] = {"prefect": config.prefect, "mlflow": config.mlflow}
    return tuple(name for name in SERVERS if not (os.environ.get(URL_VARIABLES[name]) or urls[name]))


def endpoints(project: Project) -> Endpoints | None:
    """The endpoints of the servers; None unless both answer. An own server also proves that it has the secret.

    A server that is slow is waited for; one that does not listen is not.
    """
    if own_servers(project):
        stack_state = state.load(project)
        if stack_state is None or not stack_state.wanted:
            return None
    servers = of(project)
    ready = all(answers(project, server, PATIENCE_SECONDS) for server in (servers.prefect, servers.mlflow))
    return _endpoints(servers) if ready else None


def configured(project: Project) -> Endpoints:
    """The configured endpoints of the servers, whether the servers answer or not.

    Raises:
        StackError: an own server was never started.
    """
    servers = of(project)
    if servers.prefect.url is None or servers.mlflow.url is None:
        raise StackError("the stack was never started here", next_step="`modelyard up`")
    return _endpoints(servers)


def answers(project: Project, server: Server, timeout_seconds: float = PROBE_SECONDS) -> bool:
    """Whether a server answers. An own server must prove that it has the project's secret; the secret is not sent."""
    if server.url is None:
        return False
    if server.is_own:
        return health.is_ours(project, int(server.url.removesuffix("/api").rpartition(":")[2]), timeout_seconds)
    import httpx

    try:
        with client(server.credentials, server.url, timeout=timeout_seconds) as http:
            return http.get("/health").is_success
    except httpx.HTTPError:
        return False


def worker_is_online(project: Project, work_pool: str, since: float) -> bool:
    """Whether a worker of the work pool has sent a heartbeat after `since` (seconds since 1970).

    Prefect's status alone is not enough: a killed worker stays ONLINE for a while after its last heartbeat.
    """
    import httpx

    prefect = of(project).prefect
    if prefect.url is None:
        return False
    try:
        with client(prefect.credentials, prefect.url, timeout=PROBE_SECONDS) as http:
            answer = http.post(f"/work_pools/{work_pool}/workers/filter", json={})
        return answer.is_success and any(
            worker["status"] == "ONLINE" and datetime.fromisoformat(worker["last_heartbeat_time"]).timestamp() >= since
            for worker in answer.json()
        )
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


def require_external_servers(project: Project) -> None:
    """Check that the external servers answer.

    Raises:
        StackError: an external server does not answer.
    """
    servers = of(project)
    for server in (servers.prefect, servers.mlflow):
        if not server.is_own and not answers(project, server):
            raise StackError(
                f"the {server.name} server that {server.named_by} names does not answer",
                where=f"{server.url}/health",
                next_step="correct its URL and credentials; without them `modelyard up` starts a server of the project",
            )


def shared_name(project: Project) -> str:
    """The name of the project's work pool and the tag of its deployments; unique on a shared Prefect server.

    Raises:
        StackError: the project has no id yet; the first `modelyard up` creates the id.
    """
    if "prefect" in own_servers(project):
        return OWN_NAME
    secret = project_door.secret_of(project)
    if secret is None:
        raise StackError("the runner of schedules was never started here", next_step="`modelyard up`")
    return f"{OWN_NAME}-{project_door.project_id(secret)}"


def deployment_name(project: Project, name: str) -> str:
    """The name of a deployment; on a shared Prefect server the name includes the project's id."""
    owner = shared_name(project)
    return name if owner == OWN_NAME else f"{name} ({owner})"


def credentials(project: Project) -> Credentials | None:
    """This user's name and the project's secret, for the project's own servers and model services.

    Returns:
        None before the stack was started for the first time.
    """
    secret = project_door.secret_of(project)
    return Credentials(user_name().replace(":", "_"), secret) if secret is not None else None


def headers(project: Project) -> dict[str, str]:
    """The HTTP headers of a request to an own server or a model service of the project."""
    own = credentials(project)
    return own.headers if own is not None else {}


def variables(root: Path) -> dict[str, str]:
    """The environment variables from which Prefect's and MLflow's own clients read the credentials, and patience."""
    servers = of(Project(root))
    # While the Redis of two API servers is away, they answer 500: Prefect's clients then ask again for a minute.
    result = {"PREFECT_CLIENT_RETRY_EXTRA_CODES": "500"} if server_redis.is_named(Project(root)) else {}
    if (credentials := servers.prefect.credentials) is not None:
        result |= (
            {"PREFECT_API_KEY": credentials.secret}
            if credentials.bearer
            else {"PREFECT_API_AUTH_STRING": _basic_auth(credentials)}
        )
    if (credentials := servers.mlflow.credentials) is not None:
        basic = {"MLFLOW_TRACKING_USERNAME": credentials.user, "MLFLOW_TRACKING_PASSWORD": credentials.secret}
        result |= {"MLFLOW_TRACKING_TOKEN": credentials.secret} if credentials.bearer else basic
    return result


def enter(project: Project) -> None:
    """Set the environment of this process and its children for a project: state folders of tools, and credentials."""
    from flows.platform import environment

    environment.quiet(os.environ)
    os.environ.update(environment.of_project(project))
    os.environ.update(variables(project.root))


def client(credentials: Credentials | None, url: str, **settings: Any) -> httpx.Client:
    """An HTTP client for a server.

    Args:
        credentials: the server's credentials; None: none are sent.
        settings: keyword arguments of `httpx.Client`.
    """
    from components.access import http_client

    return http_client.client(credentials, url, **settings)


def own_url(name: str, port: int) -> str:
    """The URL of the API of an own server."""
    return f"http://{LOOPBACK}:{port}" + ("/api" if name == "prefect" else "")


def _endpoints(servers: Connections) -> Endpoints:
    prefect, mlflow = servers.prefect, servers.mlflow
    assert prefect.url is not None  # noqa: S101  # the caller has checked this
    assert mlflow.url is not None  # noqa: S101
    return Endpoints(prefect.url, str(prefect.page), mlflow.url, mlflow.credentials, prefect.credentials)


def _server(project: Project, name: Name, url: str | None, source: CredentialSource | None, named_by: str) -> Server:
    variable = URL_VARIABLES[name]
    if text := os.environ.get(variable):
        try:
            url, named_by = settings.server_url(text), variable
        except ValueError as error:
            raise SpecError(f"environment variable {variable}", (Problem(variable, str(error)),)) from error
    if url is None:
        stack_state = state.load(project)
        port = stack_state.ports.get(name) if stack_state is not None else None
        own = people.of_process(project) if name == "mlflow" and people.are_enabled(project) else credentials(project)
        return Server(name, own_url(name, port) if port is not None else None, own)
    if name == "prefect" and not url.endswith("/api"):
        problem = Problem(f"connections.{name}", "the URL of Prefect's API ends in /api", got=url)
        raise SpecError(named_by, (problem,))
    known = named_credentials.read(project.root, name, source, CREDENTIAL_VARIABLES[name])
    if name == "mlflow" and people.are_enabled(project):
        known = people.of_process(project)
    return Server(name, url, known, named_by)


def _basic_auth(credentials: Credentials) -> str:
    return f"{credentials.user}:{credentials.secret}"
