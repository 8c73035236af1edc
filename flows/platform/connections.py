"""How our processes and a user's tools reach the project's servers: credentials, and clients that send them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.access import project_door
from components.access.secret import Credentials
from components.core.project import Project
from components.core.urls import is_secure
from flows.platform.user_name import user_name

if TYPE_CHECKING:
    import httpx


def credentials(project: Project) -> Credentials | None:
    """This user's name and the project's secret; None before the stack was started for the first time."""
    secret = project_door.secret_of(project)
    return Credentials(user_name().replace(":", "_"), secret) if secret is not None else None


def headers(project: Project) -> dict[str, str]:
    """What a request to a server of the project carries."""
    known = credentials(project)
    return known.headers if known is not None else {}


def variables(root: Path) -> dict[str, str]:
    """The credentials as Prefect's and MLflow's own clients read them from the environment."""
    known = credentials(Project(root))
    if known is None:
        return {}
    return {
        "PREFECT_API_AUTH_STRING": f"{known.user}:{known.secret}",
        "MLFLOW_TRACKING_USERNAME": known.user,
        "MLFLOW_TRACKING_PASSWORD": known.secret,
    }


def enter(project: Project) -> None:
    """Let this process, and what it starts, work in a project: where its tools keep what they know, and credentials."""
    from flows.platform import environment

    environment.quiet(os.environ)
    os.environ.update(environment.of_project(project))
    os.environ.update(variables(project.root))


def client(known: Credentials | None, url: str, **settings: Any) -> httpx.Client:
    """An HTTP client for a server of a project; no proxy is asked about it."""
    import httpx

    sent = known.headers if known is not None else {}
    return httpx.Client(base_url=url, headers=sent, trust_env=False, verify=is_secure(url), **settings)
