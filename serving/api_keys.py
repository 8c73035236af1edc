"""API keys before everything that a service answers, except its health.

Keys are asked for as soon as there are any, and as soon as the service listens on anything but loopback; then without
keys nothing is answered. MODELYARD_API_KEYS names the file of keys (`components.access.api_keys`), or is `none` where
something else in front of the service decides who may ask.

A key comes as `Authorization: Bearer KEY`, as `X-API-Key: KEY`, or as the password of HTTP Basic authentication, which
browsers ask a person for. In the project's own services the project's secret opens everything too.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path

from components.access import secret as secrets
from components.access.api_keys import API_KEYS, NO_KEYS, ApiKey, KeyFile
from components.access.door import ACTOR, SAFE_METHODS, Application, Receive, Scope, Send
from components.access.secret import SECRET_FILE
from serving import listening, metrics
from serving.exchange import Headers, Reply
from serving.problem import RefusedRequest
from serving.protocols import error_format

KEY_NAME = "modelyard.api_key"  # in the scope: the name of the key
OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/ping", "/health", "/v2/health/live", "/v2/health/ready"})
ADMIN_ROOTS = frozenset({"metrics", "status", "release"})  # first parts of paths that need the scope admin
HOW = (
    f"name a file of keys in {API_KEYS}: `modelyard keys add FILE NAME`, or in a bundle "
    "`python -m components.access.api_keys FILE NAME`, makes one; "
    f"{API_KEYS}={NO_KEYS} opens the service to everybody who reaches it"
)

LOG = logging.getLogger("bentoml.modelyard")


def before(application: Application, model: str) -> Application:
    """The application behind its API keys, as the environment of this process says.

    Raises:
        ServingError: the file of keys cannot be read.
    """
    named = os.environ.get(API_KEYS)
    if named == NO_KEYS:
        return application
    secret_path = os.environ.get(SECRET_FILE)
    secret = secrets.read(Path(secret_path)) if secret_path else None
    return KeyedApplication(application, model, KeyFile(Path(named)) if named else None, secret)


class KeyedApplication:
    """Passes on what comes with a key, once keys are needed.

    Args:
        keys: the file of keys; None: none is named.
        secret: of the project, which opens everything.
        exposed: an address beside loopback on which the process listens; asked once, at the first request.
    """

    def __init__(
        self,
        application: Application,
        model: str,
        keys: KeyFile | None,
        secret: str | None = None,
        exposed: Callable[[], str | None] = listening.exposed,
    ) -> None:
        self._application, self._model, self._keys, self._secret = application, model, keys, secret
        self._exposed = functools.cache(exposed)
        self._told: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._application(scope, receive, send)
        elif scope["type"] == "http":
            metrics.REFUSALS.labels(self._model, "", "", refusal.code).inc()
            status, content, media = error_format.refused(scope["path"], refusal)
            await Reply(content, status, media, _challenge(scope, status)).send(send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.message})

    def _refusal(self, scope: Scope) -> RefusedRequest | None:
        path = scope["path"]
        if path in OPEN_PATHS or ACTOR in scope or not self._needs_key():
            return None
        headers: dict[bytes, bytes] = dict(scope["headers"])
        sent, is_basic = _sent(headers)
        if sent is None:
            return self._no_key()
        if is_basic and not _is_own_page(scope, headers):
            return RefusedRequest(403, "foreign_origin", "pages of other origins may not ask this service")
        if self._secret is not None and secrets.matches(sent, self._secret):
            return None
        entry = self._keys.find(sent) if self._keys is not None else None
        if entry is None:
            return RefusedRequest(401, "wrong_key", "this API key is unknown or revoked")
        scope[KEY_NAME] = entry.name
        return _scope_refusal(entry, path)

    def _needs_key(self) -> bool:
        if self._keys is not None:
            error = str(self._keys.error) if self._keys.error is not None else None
            if error is not None and error != self._told:
                LOG.error("the API keys stay as they were: %s", error)
            self._told = error
            if self._keys.has_keys:
                return True
        return self._exposed() is not None

    def _no_key(self) -> RefusedRequest:
        if self._keys is not None and self._keys.has_keys:
            expected = "Authorization: Bearer KEY, or X-API-Key: KEY"
            return RefusedRequest(401, "no_key", "an API key is needed", expected=expected)
        message = f"this service listens on {self._exposed()} and has no API keys; {HOW}"
        if self._told != message:
            LOG.error("%s", message)
            self._told = message
        return RefusedRequest(401, "keys_needed", message)


def _sent(headers: dict[bytes, bytes]) -> tuple[str | None, bool]:
    """The key of a request, and whether a browser may have sent it by itself."""
    key = headers.get(b"x-api-key")
    if key is not None:
        return key.decode("latin-1").strip(), False
    sent = headers.get(b"authorization")
    credentials = secrets.from_header(sent.decode("latin-1")) if sent is not None else None
    if sent is None or credentials is None:
        return None, False
    return credentials.secret, sent[:6].lower() == b"basic "


def _is_own_page(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """Whether a request is no other site's: browsers add the password that a person once typed to those too."""
    site = headers.get(b"sec-fetch-site", b"none")
    if site not in (b"none", b"same-origin"):
        navigates = headers.get(b"sec-fetch-mode") == b"navigate" and scope["method"] in SAFE_METHODS
        return navigates
    origin = headers.get(b"origin")
    return origin is None or origin.lower().rpartition(b"//")[2] == headers.get(b"host", b"").lower()


def _scope_refusal(entry: ApiKey, path: str) -> RefusedRequest | None:
    if entry.scope != "admin" and path.strip("/").partition("/")[0] in ADMIN_ROOTS:
        return RefusedRequest(403, "scope", "this path needs a key of the scope admin", got=f"scope {entry.scope}")
    return None


def _challenge(scope: Scope, status: int) -> Headers:
    if status != 401:
        return ()
    accept = dict(scope["headers"]).get(b"accept", b"")
    is_page = b"text/html" in accept and scope["method"] == "GET"
    schemes = [b'Basic realm="modelyard: any user, the API key as password"'] if is_page else []
    return [(b"www-authenticate", scheme) for scheme in (*schemes, b'Bearer realm="modelyard"')]
