"""Answers of the console: a document as HTML by a template, or as JSON where the address or the client asks for it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from components.core import html_page
from components.core.errors import ModelyardError, NotFoundError, UsageError

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
# Nothing is loaded from elsewhere, nothing of a page runs that is not a file of ours, forms go to this server alone.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Reports are pages of their own, which stand alone with their styles; whatever is in one, no script of it runs.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data: 'self'; sandbox"


def wants_json(request: Request) -> bool:
    """Whether the address ends in `.json`, or the client takes JSON and no HTML."""
    accept = request.headers.get("accept", "")
    return request.url.path.endswith(".json") or ("application/json" in accept and "text/html" not in accept)


def page(request: Request, template: str, document: dict[str, Any], /, status: int = 200, **more: Any) -> Response:
    """A document as HTML, or as JSON.

    Args:
        more: values for the template that are not in the JSON, such as charts and the token of forms.
    """
    if wants_json(request):
        return _answer(json.dumps(document, default=str, ensure_ascii=False), "application/json", status)
    values = {
        "path": request.url.path,
        "json_url": _json_url(request),
        "version": version(),
        "now": datetime.now(UTC).isoformat(timespec="seconds"),
        "project": request.app.state.sources.project.root.name,
    }
    text = html_page.render(TEMPLATES / template, **values, **more, **document)
    return _answer(text, "text/html; charset=utf-8", status)


def error(request: Request, failure: ModelyardError) -> Response:
    """An error as a page, or as JSON as commands print it."""
    status = 404 if isinstance(failure, NotFoundError) else 400 if isinstance(failure, UsageError) else 503
    document = failure.to_dict()
    return page(request, "error.html.j2", {"failure": document}, status)


def version() -> str:
    """A short digest of style and script: their addresses change with them, so that browsers may keep them."""
    global _version
    if not _version:
        content = b"".join((HERE / "static" / name).read_bytes() for name in ("console.css", "console.js"))
        _version = hashlib.sha256(content).hexdigest()[:12]
    return _version


_version = ""


def _json_url(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{request.url.path.removesuffix('/')}.json{query}"


def _answer(text: str, media: str, status: int) -> Response:
    headers = {
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "referrer-policy": "same-origin",
    }
    return Response(text, status, headers, media)
