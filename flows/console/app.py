"""`uvicorn --factory flows.console.app:create_app`: the console's server, behind the door with the project's secret.

Pages are GET and only read. Buttons are POST with a token (`form_token`), and answer with a redirect to the page of
what they have begun.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from components.access import people_door, project_door, trusted_proxy
from components.access.door import Application
from components.core.errors import ModelyardError, NotFoundError, StackError
from components.core.project import Project
from flows.console import answers, buttons, form_token
from flows.console.logins import Logins
from flows.console.pages import data, lineage, model, models, operations
from flows.console.pages.models import SHOWN, ModelsQuery, Shown
from flows.console.sources import Sources
from flows.platform import environment, people

KEPT_SECONDS = 365 * 24 * 3600
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,200}")

Handler = Callable[[Request], Response]


def create_app() -> Application:
    """The application behind its door; reads MODELYARD_PROJECT.

    Raises:
        StackError: the project has no secret.
    """
    environment.quiet(os.environ)
    project = Project.find()
    known = project_door.secret_of(project)
    if known is None:
        raise StackError("the project has no secret", next_step="`modelyard up` makes one")
    application = application_of(project, known)
    if people.are_enabled(project):
        logins = Logins(project)
        proxy = trusted_proxy.of(project, logins.are_known)
        return people_door.before(application, project, logins.are_right, opened_by="modelyard open", proxy=proxy)
    return project_door.before(application, project, opened_by="modelyard open")


def application_of(project: Project, known_secret: str) -> Starlette:
    """The application without its door.

    Args:
        known_secret: the project's, for the tokens of forms.
    """
    sources = Sources(project)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sources.start()
        yield
        sources.close()

    routes = [
        Route("/", _to_models),
        Route("/favicon.ico", _no_icon),
        *_page("/models", _models),
        *_page("/models/{name}", _model),
        *_page("/data", lambda request: answers.page(request, "datasets.html.j2", data.every(_of(request)))),
        *_page("/data/{name}", _dataset),
        *_page("/data/{name}/diff", _difference),
        *_page("/lineage", _lineage),
        *_page("/runs", lambda request: answers.page(request, "runs.html.j2", operations.runs(_of(request)))),
        *_page("/schedules", _schedules),
        *_page("/disk", lambda request: answers.page(request, "disk.html.j2", operations.disk(_of(request)))),
        *_page("/actions/{id}", _action),
        _get("/models/{name}/gates/{key}/{file}", _gate_report),
        _get("/models/{name}/monitoring/{window}/report.html", _drift_report),
        _get("/data/{name}/reports/{file}", _data_report),
        _get("/static/{version}/{file}", _static),
        Route("/models/{name}/{button}", buttons.press, methods=["POST"]),
    ]
    handlers: dict[Any, Any] = {ModelyardError: _failed, HTTPException: _http_error}
    made = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    made.state.sources, made.state.secret = sources, known_secret
    return made


def _of(request: Request) -> Sources:
    sources: Sources = request.app.state.sources
    return sources


def _page(path: str, handler: Handler) -> list[Route]:
    """A page and its JSON."""
    return [_get(f"{path}.json", handler), _get(path, handler)]


def _get(path: str, handler: Handler) -> Route:
    async def answer(request: Request) -> Response:
        return await run_in_threadpool(handler, request)

    return Route(path, answer, methods=["GET"])


async def _to_models(_: Request) -> Response:
    return RedirectResponse("/models")


async def _no_icon(_: Request) -> Response:
    """Pages have an icon of their own; browsers ask for this one on the page that sets the cookie."""
    return Response(status_code=204)


def _models(request: Request) -> Response:
    words = request.query_params
    shown: Shown = next((one for one in SHOWN if one == words.get("show")), "all")
    query = ModelsQuery(words.get("q", "").strip()[:200], shown, _number(words.get("page")))
    return answers.page(request, "models.html.j2", models.document(_of(request), query))


def _model(request: Request) -> Response:
    found = model.document(_of(request), request.path_params["name"], _number(request.query_params.get("page")))
    return answers.page(request, "model.html.j2", found, pictures=model.pictures(found), **_form(request))


def _dataset(request: Request) -> Response:
    return answers.page(request, "dataset.html.j2", data.document(_of(request), request.path_params["name"]))


def _difference(request: Request) -> Response:
    words = request.query_params
    before, after = words.get("before", "HEAD")[:200], words.get("after", "")[:200]
    found = data.difference(_of(request), request.path_params["name"], before, after)
    return answers.page(request, "difference.html.j2", found, shown_ids=data.SHOWN_IDS)


def _lineage(request: Request) -> Response:
    words = request.query_params
    found = lineage.document(
        _of(request),
        words.get("id", "").strip()[:100],
        words.get("model", "").strip()[:200],
        words.get("version", "").strip()[:20],
        verify=words.get("verify") == "1",
    )
    return answers.page(request, "lineage.html.j2", found, curves=lineage.curves(found))


def _schedules(request: Request) -> Response:
    return answers.page(request, "schedules.html.j2", operations.schedules(_of(request)), **_form(request))


def _action(request: Request) -> Response:
    found = _of(request).actions.of(request.path_params["id"])
    if found is None:
        raise NotFoundError("there is no such action", next_step="the ledger of the model has what became of it")
    return answers.page(request, "action.html.j2", {"action": vars(found)})


def _form(request: Request) -> dict[str, Any]:
    sources = _of(request)
    return {"token": form_token.of(request, request.app.state.secret), "buttons": sources.has_buttons}


def _gate_report(request: Request) -> Response:
    name, key, file = (request.path_params[one] for one in ("name", "key", "file"))
    model.require(_of(request), name)
    return _report(request, "gates", name, key, file)


def _drift_report(request: Request) -> Response:
    name, window = request.path_params["name"], request.path_params["window"]
    model.require(_of(request), name)
    return _report(request, "monitoring", name, window, "report.html")


def _data_report(request: Request) -> Response:
    name, file = request.path_params["name"], request.path_params["file"]
    data.require(_of(request), name)
    return _report(request, "reports", name, file)


def _report(request: Request, *parts: str) -> Response:
    """A page or picture that lies in the project's state folder; nothing else of it is shown."""
    if not all(_FOLDER.fullmatch(part) and ".." not in part for part in parts):
        raise NotFoundError("there is no such report")
    path = _of(request).project.state.joinpath(*parts)
    media = {".html": "text/html; charset=utf-8", ".png": "image/png"}.get(path.suffix)
    if media is None or not path.is_file():
        raise NotFoundError("there is no such report", got="/".join(parts))
    headers = {"content-security-policy": answers.REPORT_POLICY, "x-content-type-options": "nosniff",
               "cache-control": "no-store"}  # fmt: skip
    return Response(path.read_bytes(), 200, headers, media)


def _static(request: Request) -> Response:
    media = {"console.css": "text/css", "console.js": "text/javascript"}
    file = request.path_params["file"]
    if file not in media:
        raise NotFoundError("there is no such file")
    headers = {"cache-control": f"private, max-age={KEPT_SECONDS}, immutable", "x-content-type-options": "nosniff"}
    return Response((answers.HERE / "static" / file).read_bytes(), 200, headers, media[file])


async def _failed(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, ModelyardError)  # noqa: S101
    return await run_in_threadpool(answers.error, request, failure)


async def _http_error(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException)  # noqa: S101
    document = NotFoundError(failure.detail).to_dict()
    return await run_in_threadpool(answers.page, request, "error.html.j2", {"failure": document}, failure.status_code)


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 8 else 1
