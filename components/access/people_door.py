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
from urllib.parse import quote

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
from components.access.trusted_proxy import TrustedProxy
from components.core import html_page
from components.core.errors import StackError
from components.core.project import Project

USER = "modelyard.user"  # the key of the scope with the name that was proven
KNOWN_BY = "name and password of MLflow"
BY_PROXY = "the header of the authenticating proxy"
LOGIN = Refusal(401, "login_needed", "name and password of an MLflow user are needed")

Login = Callable[[str, str], bool]  # whether name and password are right


class PeopleDoor(Door):
    """As `Door`, with people's own names and passwords in place of the project's secret.

    The challenge is answered with the secret, so that the platform knows its own server.

    Args:
        login: whether name and password are right; it may take its time.
        proxy: a proxy in front that may say who asks.
        user_header: a header in which the application is told the user, with a token that only this process knows.
        settings: of `Door`.
    """

    def __init__(
        self,
        application: Application,
        login: Login,
        proxy: TrustedProxy | None = None,
        user_header: tuple[str, str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(application, **settings)
        self._login, self._proxy, self._user_header = login, proxy, user_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, WebSocket or lifespan."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        scope = self._proxy.as_local(scope) if self._proxy is not None else scope
        headers: dict[bytes, bytes] = dict(scope["headers"])
        foreign = _foreign(scope, headers, self._names)
        if foreign is not None or scope["type"] != "http":
            await self._refuse(scope, headers, receive, send, foreign or LOGIN)
        elif scope["path"] == challenge.PATH:
            await self._identify(scope, send)
        elif scope["path"] == OPEN_PATH:
            await self._show_first_page(scope, send)
        else:
            await self._pass_on(scope, headers, receive, send)

    async def _pass_on(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """Comparing a password takes tens of milliseconds, by design."""
        user, known_by = self._proxy.user_named_in(scope) if self._proxy is not None else None, BY_PROXY
        if user is not None and self._proxy is not None:
            if not await asyncio.to_thread(self._proxy.knows, user):
                refusal = Refusal(403, "no_such_user", f"MLflow has no user {user}: `modelyard people add {user}`")
                await self._refuse(scope, headers, receive, send, refusal)
                return
        elif (sent := basic(headers.get(b"authorization", b""))) is not None:
            right = await asyncio.to_thread(self._login, *sent)
            user, known_by = sent[0] if right else None, KNOWN_BY
        if user is None:
            await _ask_for_login(send)
            return
        passed = self._proxy.without_its_headers(scope) if self._proxy is not None else dict(scope)
        passed[USER], passed[ACTOR] = user, partial(Actor, user, None, known_by)
        await self.application(self._with_user(passed, user), receive, _with_browser_headers(send))

    def _with_user(self, scope: Scope, user: str) -> Scope:
        """The request with the header that says the user to the application, which nobody else can send."""
        if self._user_header is None:
            return scope
        name = self._user_header[0].lower().encode()
        value = f"{self._user_header[1]}:{quote(user)}".encode()
        return {**scope, "headers": [*(pair for pair in scope["headers"] if pair[0] != name), (name, value)]}

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
    proxy: TrustedProxy | None = None,
    user_header: tuple[str, str] | None = None,
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
        proxy,
        user_header,
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
