"""The Swagger page at /docs: BentoML's package carries Swagger UI, so that nothing is loaded from elsewhere."""

from __future__ import annotations

import functools
import importlib.util
import mimetypes
from pathlib import Path

from serving.exchange import Answer, HttpRequest, Reply
from serving.problem import RefusedRequest
from serving.router import Routes

FILES = ("swagger-ui.css", "swagger-ui-bundle.js")
_POLICY = b"default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
_HEADERS = [(b"content-security-policy", _POLICY), (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer")]
_PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="api"><p>The document itself: <a href="openapi.json">openapi.json</a></p></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
_START = b"""SwaggerUIBundle({url: "openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null});
"""


def routes() -> Routes:
    """The page and its files."""
    found = {"/docs": {"GET": _page}, "/docs/start.js": {"GET": _start}}
    return {**found, **{f"/docs/{name}": {"GET": _file} for name in FILES}}


async def _page(_: HttpRequest) -> Answer:
    return Reply(_PAGE, 200, b"text/html; charset=utf-8", _HEADERS)


async def _start(_: HttpRequest) -> Answer:
    return Reply(_START, 200, b"text/javascript", _HEADERS)


async def _file(request: HttpRequest) -> Answer:
    name = request.scope["path"].rpartition("/")[2]  # one of FILES, as the route has it
    content = _content(name)
    if content is None:
        raise RefusedRequest(404, "path", "this installation of BentoML carries no Swagger UI", got=name)
    kind = (mimetypes.guess_type(name)[0] or "application/octet-stream").encode()
    return Reply(content, 200, kind, [*_HEADERS, (b"cache-control", b"max-age=86400")])


@functools.cache
def _content(name: str) -> bytes | None:
    spec = importlib.util.find_spec("bentoml")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "_internal" / "server" / "static_content" / name
    return path.read_bytes() if path.is_file() else None
