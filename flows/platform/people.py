"""Who works with the platform: the person of a command, and the platform's own account.

With `[people] enabled`, commands that change something act with the name and password that MLflow's own clients use
(environment, or `~/.mlflow/credentials`). The programs of the stack use an account of their own.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from components.access import named_credentials, project_door, service_account
from components.access.secret import Credentials
from components.contracts import settings
from components.core.errors import UsageError
from components.core.project import Project
from flows.platform.process_mark import PROGRAM

USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"  # names of variables
URL_VARIABLE, CREDENTIAL_VARIABLE = "MODELYARD_MLFLOW_TRACKING_URI", "MODELYARD_MLFLOW_CREDENTIALS"
FILE = Path("~/.mlflow/credentials")


def are_enabled(project: Project) -> bool:
    """Whether MLflow's users and permissions decide who may do what.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    return settings.read(project.root).people.enabled


def account(project: Project) -> Credentials | None:
    """The platform's own account: on an MLflow that somebody else runs, the one that `modelyard.toml` names.

    Returns:
        None where there is none, as before the stack was started for the first time.
    """
    named = settings.read(project.root).connections
    if named.mlflow is not None or os.environ.get(URL_VARIABLE):
        return named_credentials.read(project.root, "mlflow", named.mlflow_credentials, CREDENTIAL_VARIABLE)
    secret = project_door.secret_of(project)
    return None if secret is None else service_account.credentials(secret)


def person(project: Project) -> Credentials | None:
    """Name and password of who runs this command; None: not given, or a program of the stack runs it."""
    if PROGRAM in os.environ:
        return None
    found = _of_environment() or _of_file()
    own = account(project)
    # `connections.enter` sets the variables for MLflow's client in this process.
    return None if found is None or (own is not None and found.user == own.user) else found


def of_process(project: Project) -> Credentials | None:
    """What this process uses MLflow with: the person's login, or the platform's own account."""
    return person(project) or account(project)


def required(project: Project) -> Credentials:
    """Name and password of who runs this command.

    Raises:
        UsageError: not given.
    """
    found = person(project)
    if found is None:
        raise UsageError(
            "who you are is not known",
            got=f"neither {USER} and {PASSWORD} nor {FILE}",
            expected="name and password of a user of MLflow, since modelyard.toml has [people] enabled = true",
            next_step=f"export {USER} and {PASSWORD}; `modelyard people` lists the users",
        )
    return found


def _of_environment() -> Credentials | None:
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    return Credentials(user, password) if user and password else None


def _of_file() -> Credentials | None:
    """From the file that MLflow's client reads."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(FILE.expanduser(), encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, RuntimeError):
        return None
    user = parser.get("mlflow", USER.lower(), fallback="")
    password = parser.get("mlflow", PASSWORD.lower(), fallback="")
    return Credentials(user, password) if user and password else None
