"""What a stack has to be, `modelyard up --profile NAME`; it is remembered until another one is named.

`local` asks for nothing. `team` asks for the project's own servers in the form that several people and machines need:
both on PostgreSQL, artifacts in S3, two Prefect API servers with a Redis, MLflow's users and permissions. All that is
missing is said at once, before anything is started.
"""

from __future__ import annotations

import importlib.util
from typing import Literal, get_args

from components.access import server_database, server_redis
from components.contracts import settings
from components.core.errors import ModelyardError, UsageError
from components.core.project import Project
from components.identity import remote_artifact_store
from components.registry import artifact_bucket
from flows.platform import connections, state

Name = Literal["local", "team"]
NAMES: tuple[Name, ...] = get_args(Name)
PACKAGES = ("boto3", "s3fs")  # not among Modelyard's requirements
DATABASES = {  # key below [servers]: what lacks it, and an example of the line
    "mlflow": ("MLflow keeps runs and models in a file", "postgresql://db.example/mlflow"),
    "prefect": ("Prefect keeps flow runs in a file", "postgresql://db.example/prefect"),
    "redis": ("Prefect is one server", "redis://redis.example:6379/0"),
    "artifacts": ("MLflow keeps artifacts in a folder", "s3://BUCKET/mlflow"),
}


def of(project: Project) -> Name | None:
    """The profile that `modelyard up` named last; None: none was named."""
    found = state.profile(project)
    return next((name for name in NAMES if found == name), None)


def is_undecided(project: Project) -> bool:
    """Whether no profile was named, and the settings name the servers of a team: a copied file, before its first `up`.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    found = settings.read(project.root).servers
    named = None not in (found.mlflow, found.prefect, found.redis)
    return of(project) is None and named and len(connections.own_servers(project)) == len(connections.SERVERS)


def examine(project: Project, name: Name | None, *, reach: bool) -> tuple[list[str], list[str]]:
    """What a project lacks for a profile, and the lines to write into `modelyard.toml`.

    Args:
        reach: ask the databases, the Redis and the bucket too.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    if name != "team":
        return [], []
    missing, lines = _missing(project)
    return [*missing, *(_unreachable(project) if reach else ())], lines


def require(project: Project, name: Name | None, *, reach: bool) -> None:
    """Check that the project has all that a profile needs.

    Args:
        reach: as in `examine`.

    Raises:
        SpecError: `modelyard.toml` is wrong.
        UsageError: something is missing, or does not answer; names all of it, and the lines to write.
    """
    wrong, lines = examine(project, name, reach=reach)
    if wrong:
        raise UsageError(
            "this stack is not what the profile team asks for; nothing was started",
            where=str(project.root / settings.FILE_NAME),
            got="".join(f"\n    {one}" for one in wrong),
            expected="".join(f"\n    {line}" for line in lines) or None,
            next_step="`modelyard up --profile team` afterwards, see docs/team.md; `modelyard up --profile local` asks "
            "for nothing",
        )


def _missing(project: Project) -> tuple[list[str], list[str]]:
    """What `modelyard.toml` and this environment lack, and the lines to write."""
    found = settings.read(project.root)
    own = connections.own_servers(project)
    wrong, lines = [], []
    for server in connections.SERVERS:
        if server not in own:
            named = connections.of(project).server(server).named_by
            wrong.append(f"{server} is somebody else's, named by {named}: remove that, or leave the profile")
    for key, (what, example) in DATABASES.items():
        value = getattr(found.servers, key)
        if value is None or (key == "artifacts" and not value.startswith("s3://")):
            wrong.append(f"{what}: servers.{key} is {'not set' if value is None else value}")
            lines.append(f'{key} = "{example}"')
    if lines:
        lines = ["[servers]", *lines]
        if found.servers.credentials is None:
            lines.append('credentials = {file = "~/.config/modelyard/database"}  # USER:PASSWORD, or {env = "NAME"}')
        if found.servers.redis_credentials is None:
            lines.append('redis_credentials = {file = "~/.config/modelyard/redis"}  # where it asks for a password')
    if not found.people.enabled:
        wrong.append("MLflow asks nobody for a name: people.enabled is not true")
        lines += ["[people]", "enabled = true"]
    packages = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if packages:
        install = remote_artifact_store.install_command(*PACKAGES)
        wrong.append(f"no package {' and '.join(packages)}: {install}, together")
    return wrong, lines


def _unreachable(project: Project) -> list[str]:
    """Which of the databases, the Redis and the bucket that `[servers]` names do not answer, and why."""
    found = settings.read(project.root).servers
    wrong = []
    for server in connections.SERVERS:
        named = getattr(found, server)
        if named is None:
            continue
        try:
            with server_database.first_start(server_database.url(project, server, "postgresql"), named):
                pass  # it answers
        except ModelyardError as error:
            wrong.append(_one_line(error))
    if found.redis is not None:
        try:
            server_redis.examine(project)
        except ModelyardError as error:
            wrong.append(_one_line(error))
    if found.artifacts is not None and found.artifacts.startswith("s3://"):
        try:
            artifact_bucket.examine(found.artifacts)
        except ModelyardError as error:
            wrong.append(_one_line(error))
    return list(dict.fromkeys(wrong))


def _one_line(error: ModelyardError) -> str:
    place = f" ({error.where})" if error.where else ""
    return f"{error.what}{place}: {error.got or error.expected or error.next_step}"
