"""The ASGI middleware before every server of a project: it refuses whoever is not the owner.

Checked in this order: the header Host (a name of this machine's loopback, against DNS rebinding), Origin and
Fetch Metadata (pages of other origins), then the secret, or the cookie. Refused requests never reach the application.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from components.access import challenge, cookie, peer
from components.access import secret as secrets
from components.access.secret import Credentials
from components.core import html_page

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# They travel into bundles with this module, and count in the identity of its code (components/identity).
DATA_FILES = ("opened.html.j2", "refused.html.j2")

_OPENED, _REFUSED = (Path(__file__).with_name(name) for name in DATA_FILES)

ACTOR = "modelyard.actor"  # the key of the scope under which the application finds a function that says who asks
OPEN_PATH = "/.modelyard/open"
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FORWARDED = frozenset({b"x-forwarded-for", b"forwarded"})
POLICY_VIOLATION = 1008
SINGLE_HEADERS = frozenset({b"host", b"origin", b"authorization", b"sec-fetch-site"})  # two of one are no request


@dataclass(frozen=True)
class Actor:
    """Who asks.

    Args:
        name: the user at the other end of the connection, or who the client says it is.
        claimed: who the client says it is, if it does.
        known_by: how that is known, in words: `secret`, `cookie`, with the user id of the connection where it is known.
    """

    name: str
    claimed: str | None
    known_by: str


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused."""

    status: int
    code: str
    message: str


AMBIGUOUS = Refusal(400, "ambiguous_headers", "Host, Origin and Authorization may be sent once")
FOREIGN_HOST = Refusal(403, "foreign_host", "this server answers under names of the loopback interface alone")
FOREIGN_ORIGIN = Refusal(403, "foreign_origin", "pages of other origins may not ask this server")
NO_CREDENTIALS = Refusal(401, "no_credentials", "the project's secret is needed")
WRONG_SECRET = Refusal(401, "wrong_secret", "this is not the project's secret")
USED_CODE = Refusal(401, "used_code", "this link was used before, or is older than ten minutes")


class Door:
    """Before `application`: passes on what the owner asks, and refuses everything else.

    Args:
        secret: the project's.
        project: tells this project's cookies from those of others.
        used_codes: the folder in which used codes are noted.
        opened_by: what a person types to get in, such as `modelyard open prefect`.
        open_paths: answered without a secret.
        guarded_headers: headers, in lower case, that need the secret even on an open path.
        handshake: the subprotocol of WebSockets whose first message may hold the credentials; None: there are none.
        settings: of the application's pages, which the browser keeps (localStorage) unless it has others.
        names: names under which the server may be asked, beside those of the loopback interface.
    """

    def __init__(
        self,
        application: Application,
        *,
        secret: str,
        project: str,
        used_codes: Path,
        opened_by: str,
        open_paths: frozenset[str] = frozenset(),
        guarded_headers: frozenset[bytes] = frozenset(),
        handshake: str | None = None,
        settings: Mapping[str, str] | None = None,
        names: frozenset[str] = frozenset(),
    ) -> None:
        self.application = application
        self._names = LOOPBACK_NAMES | names
        self._secret = secret
        self._cookie = cookie.name(project)
        self._used_codes = used_codes
        self._opened_by = opened_by
        self._open_paths = open_paths
        self._guarded_headers = guarded_headers
        self._handshake = handshake
        self._settings = dict(settings or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, WebSocket or lifespan."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.application(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        foreign = _foreign(scope, headers, self._names)
        if foreign is not None:
            await self._refuse(scope, headers, receive, send, foreign)
            return
        path = scope["path"]
        if path == challenge.PATH and kind == "http":
            await self._identify(scope, send)
            return
        if path == OPEN_PATH and kind == "http":
            await self._open(scope, headers, receive, send)
            return
        if path in self._open_paths and not (self._guarded_headers and self._guarded_headers & headers.keys()):
            await self.application(scope, receive, send)
            return
        who = self._actor(scope, headers)
        if not isinstance(who, Refusal):
            scope[ACTOR] = who
            browser = b"cookie" in headers and kind == "http"
            await self.application(scope, receive, _with_browser_headers(send) if browser else send)
        elif self._shakes_hands(scope, headers):
            await self._after_handshake(scope, receive, send)
        else:
            await self._refuse(scope, headers, receive, send, who)

    def _actor(self, scope: Scope, headers: dict[bytes, bytes]) -> Callable[[], Actor] | Refusal:
        """What says who asks, or why that one may not: who it is is looked up only where somebody wants to know."""
        sent = headers.get(b"authorization")
        if sent is not None:
            credentials = secrets.from_header(sent.decode("latin-1"))
            if credentials is None or not secrets.matches(credentials.secret, self._secret):
                return WRONG_SECRET
            return partial(_known_by_secret, scope, headers, credentials)
        holders = [cookie.holder(value, self._secret) for value in _cookies_of(headers, self._cookie)]
        holder = next((found for found in holders if found is not None), None)
        if holder is None:
            return NO_CREDENTIALS
        user = _user(scope, headers)
        if holder != ("any" if user is None else str(user)):
            return Refusal(401, "foreign_cookie", "this cookie was given to another user")
        # A page of another port of this machine counts as the same site, and the cookie goes along; its Origin differs.
        if (scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS) and b"origin" not in headers:
            return Refusal(403, "no_origin", "what changes something needs the secret, or a cookie and an Origin")
        return partial(_known_by_cookie, user)

    def _shakes_hands(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        """Whether the credentials are still to come, in a WebSocket's first message; browsers have the cookie."""
        if scope["type"] != "websocket" or self._handshake is None:
            return False
        sends_none = b"authorization" not in headers and b"origin" not in headers
        return sends_none and self._handshake in scope.get("subprotocols", ())

    async def _after_handshake(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Prefect's clients send the credentials in the first message; nothing else is passed on before it."""
        checked = False

        async def checking() -> MutableMapping[str, Any]:
            nonlocal checked
            message = await receive()
            if checked or message["type"] != "websocket.receive":
                return message
            checked = True
            try:
                said = json.loads(message.get("text") or message.get("bytes") or "")
                token = str(said["token"]) if said.get("type") == "auth" else ""
            except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
                token = ""
            if secrets.matches(secrets.from_text(token).secret, self._secret):
                return message
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "the secret is needed"})
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}

        async def holding_back(message: MutableMapping[str, Any]) -> None:
            if not checked and message["type"] == "websocket.send":
                raise RuntimeError("the application sent something before it read the credentials")
            await send(message)

        await self.application(scope, checking, holding_back)

    async def _identify(self, scope: Scope, send: Send) -> None:
        nonce = _query(scope, "nonce")[: challenge.LONGEST]
        port = scope["server"][1] if scope.get("server") else 0
        await _respond(send, 200, challenge.answer(self._secret, nonce, int(port or 0)), "text/plain")

    async def _open(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        code = _query(scope, cookie.PARAMETER)
        # A HEAD, as programs send it that only look what a link is, does not use the code.
        good = scope["method"] == "GET" and await asyncio.get_running_loop().run_in_executor(
            None, cookie.use_code, code, self._secret, self._used_codes
        )
        if not good:
            await self._refuse(scope, headers, receive, send, USED_CODE)
            return
        value = cookie.issue(self._secret, _user(scope, headers))
        kept = f"{self._cookie}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={cookie.COOKIE_SECONDS}"
        # Not a redirect: the browser would leave the cookie out of it when the link stood on another page.
        path = _local(_query(scope, "to"))
        page = html_page.render(_OPENED, settings=self._settings, path=path)
        await _respond(send, 200, page, "text/html; charset=utf-8", [(b"set-cookie", kept.encode("latin-1"))])

    async def _refuse(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send, refusal: Refusal
    ) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.message})
            return
        next_step = f"`{self._opened_by}` opens it in a browser; `modelyard env` prints what clients need"
        if b"text/html" in headers.get(b"accept", b"") and scope["method"] == "GET":
            page = html_page.render(_REFUSED, refusal=refusal, opened_by=self._opened_by)
            await _respond(send, refusal.status, page, "text/html; charset=utf-8")
            return
        sentence = f"{refusal.message}; {next_step}"
        document = {
            "error": {"code": refusal.code, "message": refusal.message, "next": next_step},
            "detail": sentence,  # where Prefect's client looks
            "error_code": "PERMISSION_DENIED",  # where MLflow's client looks
            "message": sentence,
        }
        await _respond(send, refusal.status, json.dumps(document), "application/json")


def _foreign(scope: Scope, headers: dict[bytes, bytes], known: frozenset[str]) -> Refusal | None:
    names = [name for name, _ in scope["headers"] if name in SINGLE_HEADERS]
    if len(names) > len(set(names)):
        return AMBIGUOUS
    host = headers.get(b"host", b"").decode("latin-1").lower()
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    if name not in known:
        return FOREIGN_HOST
    origin = headers.get(b"origin")
    if origin is not None:
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        if origin.decode("latin-1").lower() != f"{scheme}://{host}":
            return FOREIGN_ORIGIN
    site = headers.get(b"sec-fetch-site", b"none")
    if site in (b"cross-site", b"same-site"):
        navigates = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
        # Pictures of one server are shown in the pages of another server of the project.
        shows = site == b"same-site" and headers.get(b"sec-fetch-dest") == b"image"
        if scope.get("method", "GET") not in SAFE_METHODS or not (navigates or shows):
            return FOREIGN_ORIGIN
    return None


def _user(scope: Scope, headers: dict[bytes, bytes]) -> int | None:
    """The user at the other end; not known where a header names another client, which uvicorn takes for the truth."""
    return None if FORWARDED & headers.keys() else peer.user_of_scope(scope)


def _known_by_secret(scope: Scope, headers: dict[bytes, bytes], credentials: Credentials) -> Actor:
    claimed = credentials.user or None
    # The kernel is asked only where a state changes: nobody is interested in who reads.
    user = _user(scope, headers) if scope.get("method") not in SAFE_METHODS else None
    if user is None:
        return Actor(claimed or "unknown", claimed, "secret")
    return Actor(peer.name_of(user), claimed, f"secret, user id {user} of the connection")


def _known_by_cookie(user: int | None) -> Actor:
    if user is None:
        return Actor("unknown", None, "cookie")
    return Actor(peer.name_of(user), None, f"cookie, user id {user} of the connection")


def _cookies_of(headers: dict[bytes, bytes], name: str) -> list[str]:
    """The values of a cookie. Browsers also send those of other servers of this machine, in whatever form they have."""
    pairs = (part.strip().partition("=") for part in headers.get(b"cookie", b"").decode("latin-1").split(";"))
    return [value for key, _, value in pairs if key == name]


def _query(scope: Scope, name: str) -> str:
    query: bytes = scope.get("query_string", b"")
    return parse_qs(query.decode("latin-1")).get(name, [""])[0]


def _local(path: str) -> str:
    """A path on this very server; whatever else a link names is not followed."""
    # Browsers read a backslash as a slash, and leave control characters out.
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain else "/"


def _with_browser_headers(send: Send) -> Send:
    """Our pages are framed by no others, tell nobody where they are, and report to nobody what is done in them."""

    async def adding(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kept = [
                pair
                for pair in message.get("headers", [])
                if pair[0].lower() not in (b"x-frame-options", b"referrer-policy")
            ]
            more = [
                (b"x-frame-options", b"SAMEORIGIN"),
                (b"referrer-policy", b"same-origin"),
                (b"content-security-policy", b"connect-src 'self' data: blob:"),  # beside one of the application's own
            ]
            message = {**message, "headers": [*kept, *more]}
        await send(message)

    return adding


async def _respond(
    send: Send, status: int, body: str, media: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    content = body.encode()
    named = [
        (b"content-type", media.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": named})
    await send({"type": "http.response.body", "body": content})
