"""What `modelyard doctor` says of people: whether MLflow's users decide who may do what, who they are, what is open."""

from __future__ import annotations

from typing import Literal

from components.access import service_account
from components.contracts import settings
from components.core.errors import RegistryError
from components.core.project import Project
from components.registry import people as users
from components.registry.api import Api
from components.registry.people import Person
from flows.platform import connections, people

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
    try:
        with Api(server.url, account, patience_seconds=0) as api:
            found = users.every(api)
    except RegistryError as error:
        if not (error.got or "").startswith(("HTTP 401", "HTTP 403", "HTTP 404")):
            raise
        what_to_do = "start it with its authentication, and name an administrator in connections.mlflow_credentials"
        return "fail", f"on, and {server.url} does not tell its users ({error.got})", what_to_do
    verdict, text, what_to_do = _judged(project, found, account.user if account is not None else "")
    if not server.is_own:
        text += f"; {server.url} does not note who sets an alias, Modelyard's commands and console do"
    return verdict, text, what_to_do


def _judged(project: Project, found: list[Person], own: str) -> Answer:
    persons = [one for one in found if one.name != own and not service_account.is_name(one.name)]
    others = [one.name for one in found if one.name != own and service_account.is_name(one.name)]
    managers = [one.name for one in persons if one.is_admin or "MANAGE" in one.grants.values()]
    text = f"on: {len(persons)} users; {', '.join(managers) or 'nobody'} may promote"
    if settings.read(project.root).people.unknown == "accept":
        return "warn", f"{text}; whoever is not known may too", 'people.unknown = "refuse" in modelyard.toml'
    if others:
        return (
            "warn",
            f"{text}; {others[0]} of another secret may do everything",
            f"modelyard people remove {others[0]}",
        )
    if not managers:
        return "warn", text, "modelyard people add NAME --may promote"
    return "ok", text, ""
