"""The MLflow server of a project: MLflow's application behind the authentication, which also notes who sets an alias.

`uvicorn --factory components.registry.server:create_app`, in the project's folder.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, Protocol

from components.access import people_door, project_door, server_database, service_account, trusted_proxy
from components.access.door import ACTOR, Actor, Application, Receive, Scope, Send
from components.access.people_door import USER
from components.contracts import settings
from components.core import atomic_database
from components.core.project import Project
from components.registry import alias_notes, people_server
from components.registry.alias_notes import AliasNote

ARTIFACTS = "mlflow-artifacts:/"
DATABASE = "mlflow.db"
ALIAS_PATH = "/mlflow/registered-models/alias"
RENAME_PATH = "/mlflow/registered-models/rename"
MAX_BODY_BYTES = 100_000
OPENED_BY = "modelyard open mlflow"


class MayChange(Protocol):
    """Whether a user may set an alias of a model, or remove one."""

    def __call__(self, user: str, model: str, *, removes: bool) -> bool:
        """Asks MLflow's permissions."""
        ...


# Settings that MLflow's pages store in the browser: show the machine learning view, keep the assistant closed.
PAGE_SETTINGS = {
    "mlflow.workflowType_v1": '"machine_learning"',
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
}


def create_app() -> Application:
    """Create the application, and first the database if there is none.

    Reads MODELYARD_PROJECT, and the variables that `flows.platform.programs` sets for MLflow.
    """
    project = Project.find()
    store = _postgres(project) if server_database.is_named(project, "mlflow") else _file(project)
    if settings.read(project.root).people.enabled:
        with_users = people_server.create(project)
        _create_stores(store)
        middleware = AliasNoteMiddleware(with_users, project, may_change=people_server.may_change_alias)
        return people_door.before(
            middleware,
            project,
            people_server.login,
            opened_by=OPENED_BY,
            proxy=trusted_proxy.of(project, people_server.knows),
            user_header=people_server.USER_HEADER,
            settings=PAGE_SETTINGS,
        )
    from mlflow.server.fastapi_app import app as application

    _create_stores(store)
    middleware = AliasNoteMiddleware(application, project)
    return project_door.before(middleware, project, opened_by=OPENED_BY, settings=PAGE_SETTINGS)


def store_of(project: Project) -> str:
    """The URL of the registry's database, with its password if it has one; relative to the project's folder.

    Raises:
        SpecError, StackError: `modelyard.toml` or the credentials cannot be read.
    """
    if server_database.is_named(project, "mlflow"):
        return server_database.url(project, "mlflow", "postgresql+psycopg")
    return f"sqlite:///{project.state.relative_to(project.root) / 'mlflow' / DATABASE}"


def _file(project: Project) -> str:
    """The URL of the database in the project, which is made where there is none."""
    # Relative to the project's folder, in which this process runs: its path may have characters special to URLs.
    folder = project.state.relative_to(project.root) / "mlflow"
    atomic_database.create(folder / DATABASE, _make_tables, atomic_database.template_of("mlflow"))
    return store_of(project)


def _postgres(project: Project) -> str:
    """The URL of the database that `[servers]` names; tables are made where there are none."""
    store = store_of(project)
    where = str(settings.read(project.root).servers.mlflow)
    with server_database.first_start(server_database.url(project, "mlflow", "postgresql"), where) as is_empty:
        if is_empty:
            _make_tables_in(store)
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = os.environ["_MLFLOW_SERVER_REGISTRY_STORE"] = store
    return store


def _make_tables(path: Path) -> None:
    _make_tables_in(f"sqlite:///{path}")


def _make_tables_in(store: str) -> None:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    Tracking(store, ARTIFACTS)
    Registry(store)


def _create_stores(store: str) -> None:
    """Create MLflow's stores before the first request: two concurrent first requests would corrupt them."""
    from mlflow.server import handlers

    handlers.initialize_backend_stores(store, store, ARTIFACTS)


class AliasNoteMiddleware:
    """ASGI middleware that notes who sets or deletes an alias of a registered model; MLflow does not record it.

    Aliases are changed one after the other. A client that says which version it expects an alias to name is refused
    with 409 where somebody else was faster, so that no promotion is overwritten unseen.

    Args:
        current: the version that an alias of a model names; None: none.
        may_change: whether a user may set an alias, or remove it, where people log in with names of their own. One who
            may not leaves no note, and MLflow refuses the request.
    """

    def __init__(
        self,
        application: Application,
        project: Project,
        current: Callable[[str, str], str | None] | None = None,
        may_change: MayChange | None = None,
    ) -> None:
        self.application = application
        self._project = project
        self._current = current or _current_version
        self._may_change = may_change
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        changes_alias = (
            scope["type"] == "http" and scope["method"] in ("POST", "DELETE") and scope["path"].endswith(ALIAS_PATH)
        )
        if scope["type"] == "http" and scope["path"].endswith(RENAME_PATH) and self._may_change is not None:
            await self._rename(scope, receive, send, self._may_change)
            return
        if not changes_alias:
            await self.application(scope, receive, send)
            return
        body, receive = await _read_body(receive)
        async with self._one_at_a_time:
            await self._change(scope, body, receive, send)

    async def _rename(self, scope: Scope, receive: Receive, send: Send, may_change: MayChange) -> None:
        """A renamed model has no aliases under its name any more: who renames it needs the right to take them away."""
        body, receive = await _read_body(receive)
        try:
            model = str(json.loads(body)["name"])
        except (ValueError, KeyError, TypeError):
            await _refuse_request(send, 400, "INVALID_PARAMETER_VALUE", "a JSON object with name and new_name")
            return
        if await asyncio.to_thread(may_change, str(scope[USER]), model, removes=True):
            await self.application(scope, receive, send)
        else:
            said = "a model is renamed by who has MANAGE on it: what serves would stop"
            await _refuse_request(send, 403, "PERMISSION_DENIED", said)

    def _account(self) -> str | None:
        """The name of the platform's own account."""
        secret = project_door.secret_of(self._project)
        return None if secret is None else service_account.name_of(secret)

    async def _change(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        note = _note(scope, body, self._account())
        if self._may_change is not None:
            if note is None:  # a note of before would be taken for that of this change
                await _refuse_request(send, 400, "INVALID_PARAMETER_VALUE", "a JSON object with name, alias, version")
                return
            removes = note.version is None
            if not await asyncio.to_thread(self._may_change, str(scope[USER]), note.model, removes=removes):
                note = None
        expected = dict(scope["headers"]).get(alias_notes.EXPECTED_HEADER.lower().encode())
        if note is not None and expected is not None:
            current = await asyncio.to_thread(self._current, note.model, note.alias)
            if current != (expected.decode("latin-1") or None):
                await _refuse(send, note, current)
                return
        status = 0

        async def send_and_record(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            if note is not None and status != 200:  # before the client hears of it
                alias_notes.consume(self._project, note)
            await send(message)

        if note is not None:  # before the alias is set, so that a reader of the alias finds the note
            alias_notes.write(self._project, alias_notes.signed(self._project, note))
        try:
            await self.application(scope, receive, send_and_record)
        finally:
            if note is not None and status != 200:
                alias_notes.consume(self._project, note)


def _current_version(model: str, alias: str) -> str | None:
    from mlflow.exceptions import MlflowException
    from mlflow.server import handlers

    try:
        found = handlers._get_model_registry_store().get_registered_model(model).aliases.get(alias)
    except MlflowException:  # there is no such model
        return None
    return None if found is None else str(found)


async def _refuse(send: Send, note: AliasNote, current: str | None) -> None:
    said = f"{note.alias} of {note.model} names {f'version {current}' if current else 'no version'} by now"
    await _refuse_request(send, 409, "RESOURCE_CONFLICT", said)


async def _refuse_request(send: Send, status: int, code: str, said: str) -> None:
    body = json.dumps({"error_code": code, "message": said}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read_body(receive: Receive) -> tuple[bytes, Receive]:
    """The body of a request, at most some `MAX_BODY_BYTES`, and a `receive` that replays it to the application."""
    messages: list[MutableMapping[str, Any]] = []
    size, more = 0, True
    while more and size <= MAX_BODY_BYTES:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        more = message["type"] == "http.request" and bool(message.get("more_body"))

    async def replay() -> MutableMapping[str, Any]:
        return messages.pop(0) if messages else await receive()

    return b"".join(message.get("body", b"") for message in messages), replay


def _note(scope: Scope, body: bytes, account: str | None) -> AliasNote | None:
    try:
        request = json.loads(body)
        model, alias = str(request["name"]), str(request["alias"])
        version = str(request["version"]) if scope["method"] == "POST" else None
    except (ValueError, KeyError, TypeError):
        return None
    actor: Actor = scope[ACTOR]()
    reason = dict(scope["headers"]).get(alias_notes.REASON_HEADER.lower().encode(), b"").decode("latin-1")
    from_browser = actor.known_by.startswith("cookie") or (USER in scope and "sec-fetch-site" in _names(scope))
    how = reason or ("the MLflow UI" if from_browser else "MLflow's API")
    note = AliasNote.new(model, alias, version, by=actor.name, claimed=actor.claimed, known_by=actor.known_by, how=how)
    return note if USER not in scope else _of_user(note, scope, account)


def _of_user(note: AliasNote, scope: Scope, account: str | None) -> AliasNote:
    """The note of one who logged in; the platform's own account may act for a user whom another server let in."""
    user = str(scope[USER])
    behalf = dict(scope["headers"]).get(alias_notes.ON_BEHALF_HEADER.lower().encode(), b"").decode("utf-8", "replace")
    if behalf and user == account:
        return note.model_copy(update={"user": behalf, "by": behalf})
    return note.model_copy(update={"user": user})


def _names(scope: Scope) -> set[str]:
    return {name.decode("latin-1") for name, _ in scope["headers"]}
