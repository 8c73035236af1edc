"""What `modelyard doctor` says of people: whether MLflow's users decide who may do what, who they are, what is open."""

from __future__ import annotations

from typing import Literal

from components.access import server_database, service_account
from components.contracts import settings
from components.core.errors import RegistryError, StackError
from components.core.project import Project
from components.registry import people as users
from components.registry.api import Api, MissingError
from components.registry.people import Person
from flows.platform import connections, people

_GONE = (
    "{} is the account of this machine's platform, and was removed, maybe on another machine: MLflow refuses "
    "everything that the platform asks from here"
)

ASK_SECONDS = 10.0

Answer = tuple[Literal["ok", "warn", "fail"], str, str]  # verdict, what was found, what to do


def of(project: Project) -> Answer:
    """Look at the users of MLflow.

    Raises:
        ModelyardError: `modelyard.toml` is wrong, or MLflow fails.
    """
    if not people.are_enabled(project):
        return "ok", "off: who can read the project's secret may do everything", ""
    server, account = connections.of(project).mlflow, people.account(project)
    if server.url is None or not connections.answers(project, server):
        return "warn", "on; MLflow does not answer: nobody's rights are known", "modelyard up"
    if (gone := gone_account(project)) is not None:
        return "fail", f"on; {_GONE.format(gone)}", "modelyard up makes it again"
    try:
        with Api(server.url, account, patience_seconds=0) as api:
            found = users.every(api)
    except RegistryError as error:
        if not (error.got or "").startswith(("HTTP 401", "HTTP 403", "HTTP 404")):
            raise
        what_to_do = "start it with its authentication, and name an administrator in connections.mlflow_credentials"
        return "fail", f"on, and {server.url} does not tell its users ({error.got})", what_to_do
    is_shared = not server.is_own or server_database.is_named(project, "mlflow")
    verdict, text, what_to_do = _judged(project, found, account.user if account is not None else "", is_shared)
    if not server.is_own:
        text += f"; {server.url} does not note who sets an alias, Modelyard's commands and console do"
    return verdict, text, what_to_do


def gone_account(project: Project) -> str | None:
    """The name of the platform's own account where the project's own MLflow does not know it any more.

    MLflow makes it at its start. Another machine that shares the database may have removed it since.

    Returns:
        None where MLflow knows it, does not answer, or has no users.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    server = connections.of(project).mlflow
    account = people.account(project) if people.are_enabled(project) and server.is_own else None
    if account is None or server.url is None or not connections.answers(project, server):
        return None
    with Api(server.url, account, patience_seconds=0, timeout_seconds=ASK_SECONDS) as api:
        try:
            users.current(api)
        except RegistryError as error:  # missing: MLflow remembers for a while that its password was right
            is_gone = isinstance(error, MissingError) or (error.got or "").startswith("HTTP 401")
            return account.user if is_gone else None
    return None


def require_account(project: Project) -> None:
    """Check that MLflow knows the platform's own account.

    Raises:
        StackError: it does not.
    """
    if (gone := gone_account(project)) is not None:
        raise StackError(
            "MLflow does not know the platform's own account",
            where=connections.of(project).mlflow.url,
            got=_GONE.format(gone),
            next_step="`modelyard up` makes it again",
        )


def _judged(project: Project, found: list[Person], own: str, is_shared: bool) -> Answer:
    """What is to be said of the users.

    Args:
        is_shared: whether the users are those of several machines, each of whose platforms has an account.
    """
    persons = [one for one in found if one.name != own and not service_account.is_name(one.name)]
    others = [one.name for one in found if one.name != own and service_account.is_name(one.name)]
    managers = [one.name for one in persons if one.is_admin or "MANAGE" in one.grants.values()]
    text = f"on: {len(persons)} users; {', '.join(managers) or 'nobody'} may promote"
    if settings.read(project.root).people.unknown == "accept":
        return "warn", f"{text}; whoever is not known may too", 'people.unknown = "refuse" in modelyard.toml'
    if others and not is_shared:  # MLflow removes those of former secrets at its start
        return "warn", f"{text}; {', '.join(others)} of another secret may do everything", "modelyard down, then up"
    if others:
        accounts, they = ("an account", "it") if len(others) == 1 else ("accounts", "each")
        text += (
            f"; {', '.join(others)}: {accounts} of another machine or clone, which may do everything; "
            f"remove {they} only if that clone is gone"
        )
    if not managers:
        return "warn", text, "modelyard people add NAME --may promote"
    return "ok", text, ""
