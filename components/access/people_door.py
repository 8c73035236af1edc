"""The door before a server that asks each person for a name and a password.

Host, Origin and Fetch Metadata are checked as by `Door`; then HTTP Basic authentication (RFC 7617), which browsers ask
their user for. There are no cookies: the project's secret opens nothing here by itself.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from components.access import challenge, project_door
from components.access.door import (  # its checks are the same
    _OPENED,
    ACTOR,
    OPEN_PATH,
    Actor,
    Application,
    Door,
    Receive,
    Refusal,
    Scope,
    Send,
    _foreign,
    _local,
    _query,
    _respond,
    _with_browser_headers,
)
from components.core import html_page
from components.core.errors import StackError
from components.core.project import Project

USER = "modelyard.user"  # the key of the scope with the name that was proven
KNOWN_BY = "name and password of MLflow"
LOGIN = Refusal(401, "login_needed", "name and password of an MLflow user are needed")

Login = Callable[[str, str], bool]  # whether name and password are right


class PeopleDoor(Door):
    """As `Door`, with people's own names and passwords in place of the project's secret.

    The challenge is answered with the secret, so that the platform knows its own server.

    Args:
        login: whether name and password are right; it may take its time.
        settings: of `Door`.
    """

    def __init__(self, application: Application, login: Login, **settings: Any) -> None:
        super().__init__(application, **settings)
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, WebSocket or lifespan."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        foreign = _foreign(scope, headers)
        if foreign is not None or scope["type"] != "http":
            await self._refuse(scope, headers, receive, send, foreign or LOGIN)
        elif scope["path"] == challenge.PATH:
            await self._identify(scope, send)
        elif scope["path"] == OPEN_PATH:
            await self._show_first_page(scope, send)
        else:
            await self._pass_on(scope, headers, receive, send)

    async def _pass_on(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        sent = basic(headers.get(b"authorization", b""))
        # Comparing a password takes tens of milliseconds, by design.
        if sent is None or not await asyncio.to_thread(self._login, *sent):
            await _ask_for_login(send)
            return
        scope[USER] = sent[0]
        scope[ACTOR] = partial(Actor, sent[0], None, KNOWN_BY)
        await self.application(scope, receive, _with_browser_headers(send))

    async def _show_first_page(self, scope: Scope, send: Send) -> None:
        """The page that a link of `modelyard open` leads to; the browser asks for the login there."""
        page = html_page.render(_OPENED, settings=self._settings, path=_local(_query(scope, "to")))
        await _respond(send, 200, page, "text/html; charset=utf-8")


def before(
    application: Application,
    project: Project,
    login: Login,
    *,
    opened_by: str,
    settings: Mapping[str, str] | None = None,
) -> PeopleDoor:
    """The door before a server of the project.

    Raises:
        StackError: the project has no secret.
    """
    path = project_door.secret_file(project)
    secret = project_door.secret_of(project)
    if secret is None:
        raise StackError("the project has no secret", where=str(path), next_step="`modelyard up` makes one")
    return PeopleDoor(
        application,
        login,
        secret=secret,
        project=project_door.project_id(secret),
        used_codes=project_door.used_codes(path),
        opened_by=opened_by,
        settings=settings,
    )


def basic(header: bytes) -> tuple[str, str] | None:
    """Name and password in a header `Authorization: Basic`; a name has no colon, a password may have."""
    scheme, _, rest = header.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except ValueError:  # binascii.Error and UnicodeDecodeError too
        return None
    return (user, password) if colon and user else None


async def _ask_for_login(send: Send) -> None:
    said = f"{LOGIN.message}: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    document = {"error": {"code": LOGIN.code, "message": said}, "error_code": "UNAUTHENTICATED", "message": said}
    await _respond(
        send, LOGIN.status, json.dumps(document), "application/json",
        [(b"www-authenticate", b'Basic realm="MLflow", charset="UTF-8"')],
    )  # fmt: skip
