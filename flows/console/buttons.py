"""The handler of the buttons: checks the token, begins the action, and redirects to its page."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from components.access.door import ACTOR, Actor
from components.core.errors import UsageError
from components.release.ledger import Role
from flows.console import actions, answers, form_token
from flows.console.pages import model as model_page
from flows.console.sources import Sources
from flows.platform.user_name import user_name

MAX_BYTES = 20_000
_FLOW_RUN = re.compile(r"[0-9a-f-]{36}")


async def press(request: Request) -> Response:
    """Begin what a form asks for.

    The answer is 303 to the page of the action; with `Accept: application/json`, 202 and the action.
    """
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        return await run_in_threadpool(_refused, request, 411, "the request has no form, or does not say its length")
    if int(length) > MAX_BYTES:
        return await run_in_threadpool(_refused, request, 413, f"the form has more than {MAX_BYTES:,} bytes")
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        return await run_in_threadpool(_refused, request, 415, "a form is expected (application/x-www-form-urlencoded)")
    async with request.form(max_files=0, max_fields=20) as form:
        fields = {name: str(value) for name, value in form.items()}
    return await run_in_threadpool(_press, request, fields)


def _press(request: Request, fields: dict[str, str]) -> Response:
    sources: Sources = request.app.state.sources
    if not sources.has_buttons:
        return _refused(request, 403, "this console has no buttons: [console] buttons = false in modelyard.toml")
    if not form_token.is_valid(request, request.app.state.secret, fields.get(form_token.FIELD, "")):
        return _refused(request, 403, "the form is not of this page as it is now: reload the page, and press again")
    name = request.path_params["name"]
    model_page.require(sources, name)
    who = request.scope.get(ACTOR)
    actor: Actor = who() if who is not None else Actor(user_name(), None, "console")
    title, work = _work(sources, actor, name, request.path_params["button"], fields)
    action = sources.actions.start(name, title, actor, work)
    sources.versions.forget(name)
    sources.deployments.forget()
    sources.aliases.forget()
    if answers.wants_json(request):
        return answers.page(request, "action.html.j2", {"action": vars(action)}, 202)
    return RedirectResponse(f"/actions/{action.id}", 303)


def _work(sources: Sources, actor: Actor, name: str, button: str, fields: dict[str, str]) -> tuple[str, Any]:
    """What a button does, in words and as a function of a log.

    Raises:
        UsageError: there is no such button, or a field is missing or wrong.
    """
    project, version = sources.project, fields.get("version", "").strip()
    if version and not version.isdecimal():
        raise UsageError("this is no number of a version", got=version[:40])
    if button == "promote" and version:
        role: Role = "challenger" if fields.get("role") == "challenger" else "champion"
        return f"promote version {version} to {role}", partial(actions.promote, project, actor, name, version, role)
    if button == "rollback":
        title = f"roll back to version {version}" if version else "roll back"
        return title, partial(actions.roll_back, project, actor, name, version or None)
    if button == "remove-challenger":
        return "remove the challenger", partial(actions.remove_challenger, project, actor, name)
    if button == "approve" and _FLOW_RUN.fullmatch(fields.get("flow_run", "")):
        approved = fields.get("answer") == "yes"
        work = partial(actions.approve, project, actor, name, fields["flow_run"], approved, fields.get("comment", ""))
        return "approve the release" if approved else "refuse the release", work
    if button == "pause" and fields.get("paused") in ("yes", "no"):
        paused = fields["paused"] == "yes"
        return f"{'pause' if paused else 'resume'} the schedule", partial(actions.pause, project, actor, name, paused)
    raise UsageError("there is no such button, or a field of its form is missing", got=button[:40])


def _refused(request: Request, status: int, text: str) -> Response:
    document = UsageError(text).to_dict()
    return answers.page(request, "error.html.j2", {"failure": document}, status)
