"""MLflow's own users and permissions in the project's MLflow server (`mlflow.server.auth`, the app `basic-auth`).

Users and permissions are kept beside the registry: in an SQLite file, or in the PostgreSQL database that `[servers]`
names. The first administrator is the service account of the project, whose password nobody knows beforehand.
"""

from __future__ import annotations

import os
import secrets
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from components.access import project_door, server_database, service_account
from components.access.door import Application
from components.contracts import settings
from components.core import atomic, atomic_database
from components.core.errors import StackError
from components.core.project import Project

DATABASE = "people.db"
PROMPT_TAG = "mlflow.prompt.is_prompt"  # MLflow keeps prompts for language models as registered models
USER_HEADER = ("X-Modelyard-User", secrets.token_hex(16))  # from the door to MLflow, within this process
CACHE_SECONDS = 30  # a right password is compared again after this; a change of it by MLflow's API counts at once
# Without secrets: the database's URL, which may hold a password, is set in the process.
CONFIGURATION = f"""[mlflow]
default_permission = READ
database_uri = sqlite://
grant_default_workspace_access = false
auth_cache_ttl_seconds = {CACHE_SECONDS}
"""


def create(project: Project) -> Application:
    """MLflow's application with authentication and permissions; the service account is made, or its password renewed.

    Raises:
        StackError: the project has no secret.
    """
    secret = project_door.secret_of(project)
    if secret is None:
        raise StackError("the project has no secret", next_step="`modelyard up` makes one")
    account = service_account.credentials(secret)
    auth = _module(project, account.user, account.secret)
    if server_database.is_named(project, "mlflow"):
        _make_tables(project, auth)
    os.environ["MLFLOW_FLASK_SERVER_SECRET_KEY"] = service_account.form_key(secret)
    try:
        application: Application = auth.create_app()
    finally:
        del os.environ["MLFLOW_FLASK_SERVER_SECRET_KEY"]
    if not auth.store.authenticate_user(account.user, account.secret):
        auth.store.update_user(account.user, password=account.secret)
    auth.store.update_user(account.user, is_admin=True)
    if not server_database.is_named(project, "mlflow"):  # accounts of secrets that were renewed; nobody else's
        for user in auth.store.list_users():
            if service_account.is_name(user.username) and user.username != account.user:
                auth.store.delete_user(user.username)
    return application


def login(user: str, password: str) -> bool:
    """Whether name and password are those of a user of this process's MLflow."""
    from mlflow.server import auth

    return auth._authenticate_cached(user, password) is not None


def knows(user: str) -> bool:
    """Whether this process's MLflow has a user of that name."""
    from mlflow.server import auth

    return bool(auth.store.has_user(user))


def authenticate() -> Any:
    """MLflow's `authorization_function` where a proxy says who asks: the door before MLflow has authenticated them."""
    from flask import make_response, request
    from werkzeug.datastructures import Authorization

    word, _, user = request.headers.get(USER_HEADER[0], "").partition(":")
    if not secrets.compare_digest(word, USER_HEADER[1]) or not user:
        return make_response("You are not authenticated.", 401)
    return Authorization("basic", {"username": unquote(user), "password": ""})


def may_change_alias(user: str, model: str, *, removes: bool) -> bool:
    """Whether MLflow lets a user set an alias of a model (it asks for EDIT), or take one away (MANAGE)."""
    from mlflow.server import auth

    if auth.store.get_user(user).is_admin:
        return True
    found = auth._resolve_user_permission_for_resource(user, "registered_model", model)
    return bool(found.can_delete if removes else found.can_update)


def _module(project: Project, user: str, password: str) -> Any:
    """`mlflow.server.auth`, which reads its configuration as it is imported."""
    file = project.state / "mlflow" / "people.ini"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write_text(file, CONFIGURATION)
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(file)
    from mlflow.server import auth

    _creators_train(auth)
    auth.auth_config = auth.auth_config._replace(
        database_uri=_database(project), admin_username=user, admin_password=password
    )
    if settings.read(project.root).people.header is not None:
        auth.auth_config = auth.auth_config._replace(authorization_function=f"{__name__}:authenticate")
    return auth


def _creators_train(auth: Any) -> None:
    """Who creates a model gets EDIT on it: with MLflow's MANAGE, the first training of a model would let promote it."""
    original = auth.set_can_manage_registered_model_permission

    def grant_to_creator(response: Any) -> None:
        model = (response.get_json(silent=True) or {}).get("registered_model", {})
        if any(tag.get("key") == PROMPT_TAG for tag in model.get("tags", ())):
            original(response)
        else:
            user = auth.authenticate_request().username
            auth.store.grant_user_permission(user, "registered_model", model["name"], "EDIT")

    replaced = [place for place, handler in auth.AFTER_REQUEST_HANDLERS.items() if handler is original]
    if not replaced:
        raise StackError(
            "this MLflow gives creators of models their permission in a way that is not known",
            got=f"mlflow {metadata.version('mlflow')}",
            next_step="install the version of mlflow in requirements.lock",
        )
    for place in replaced:
        auth.AFTER_REQUEST_HANDLERS[place] = grant_to_creator


def _database(project: Project) -> str:
    if server_database.is_named(project, "mlflow"):
        return server_database.url(project, "mlflow", "postgresql+psycopg")
    # Relative to the project's folder, in which this process runs: its path may have characters special to URLs.
    path = project.state.relative_to(project.root) / "mlflow" / DATABASE
    atomic_database.create(path, _make_file)
    return f"sqlite:///{path}"


def _make_file(path: Path) -> None:
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore().init_db(f"sqlite:///{path}")


def _make_tables(project: Project, auth: Any) -> None:
    """Of several machines, one makes the tables at a time."""
    where = str(settings.read(project.root).servers.mlflow)
    with server_database.first_start(server_database.url(project, "mlflow", "postgresql"), where):
        auth.store.init_db(auth.auth_config.database_uri)
