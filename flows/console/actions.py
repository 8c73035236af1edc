"""What the buttons do: the same functions as the commands and the registry's UI, in a thread, with what they say kept.

A release goes on if the console ends meanwhile: the controller carries it out, and the ledger has it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from components.access import http_client
from components.access.door import Actor
from components.access.http_client import ClientFactory
from components.access.secret import Credentials
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import GateRefused, ModelyardError, NotFoundError, StackError
from components.core.log import Log
from components.core.project import Project
from components.registry import alias_notes
from components.registry.api import Api
from components.release.ledger import Role
from flows.console import prefect_view
from flows.platform import connections, lifecycle, people
from flows.releases import authority, promotion, rollback_command
from flows.releases.rollback import Requester

MOST_KEPT = 200
MOST_LINES = 500
ANSWER_SECONDS = 15.0  # for Prefect to take an answer

State = Literal["going on", "done", "refused", "failed"]


@dataclass
class Action:
    """One button that was pressed.

    Args:
        title: what was asked for, in words.
        lines: what was said meanwhile.
        result: how it ended, in words.
    """

    id: str
    model: str
    title: str
    by: str
    begun: float
    state: State = "going on"
    result: str = ""
    lines: list[str] = field(default_factory=list)
    ended: float | None = None


class Actions:
    """The actions of this process, the last `MOST_KEPT`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Action] = OrderedDict()

    def start(self, model: str, title: str, actor: Actor, work: Callable[[Log], str]) -> Action:
        """Do something in a thread.

        Args:
            work: returns how it ended, in words; what it raises is how it failed.
        """
        action = Action(secrets.token_hex(8), model, title, actor.name, time.time())
        with self._lock:
            self._kept[action.id] = action
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        threading.Thread(target=self._run, args=(action, work), daemon=True).start()
        return action

    def of(self, identity: str) -> Action | None:
        """An action by its id."""
        with self._lock:
            return self._kept.get(identity)

    def of_model(self, model: str) -> list[Action]:
        """A model's actions, newest first."""
        with self._lock:
            return [one for one in reversed(self._kept.values()) if one.model == model]

    def _run(self, action: Action, work: Callable[[Log], str]) -> None:
        def log(text: str) -> None:
            if len(action.lines) < MOST_LINES:
                action.lines.append(text)

        try:
            result, state = work(log), "done"
        except GateRefused as error:
            result, state = "\n".join(error.lines()), "refused"
        except ModelyardError as error:
            result, state = "\n".join(error.lines()), "failed"
        except Exception as error:  # noqa: BLE001  # shown to who pressed the button
            result, state = f"{type(error).__name__}: {error}", "failed"
        action.result, action.ended = result, time.time()
        action.state = state  # type: ignore[assignment]  # last: who reads it finds the rest


def promote(project: Project, actor: Actor, name: str, version: str, role: Role, log: Log) -> str:
    """Set the alias as `modelyard promote` does, and follow the release.

    Raises:
        ModelyardError: as `promotion.promote`.
    """
    located_yaml.read(project.pipeline_file(name), PipelineSpec)
    authority.require(project, name, actor.name, "promote")
    if not connections.of(project).mlflow.is_own:
        authority.leave_note(project, name, role, version, f"the console: promote {name} {version}", user=actor.name)
    with _registry(project, actor) as api:
        outcome = promotion.promote(project, api, name, version, role, f"the console: promote {name} {version}", log)
    caution = promotion.caution(project, name, outcome)
    already = " already" if outcome.entry is None else ""
    return f"version {outcome.version} is {role} of {name}{already}" + (f"; note: {caution}" if caution else "")


def remove_challenger(project: Project, actor: Actor, name: str, log: Log) -> str:
    """Take the alias `challenger` away; the controller removes it from the service."""
    authority.require(project, name, actor.name, "promote")
    with _registry(project, actor) as api:
        promotion.remove_alias(api, name, "challenger", f"the console: remove the challenger of {name}")
    log("the alias was taken away")
    return f"nothing is to be challenger of {name}; the service follows within seconds"


def roll_back(project: Project, actor: Actor, name: str, to: str | None, log: Log) -> str:
    """Go back to a version that served well before, as `modelyard rollback` does.

    Raises:
        ModelyardError: as `rollback_command.roll_back`.
    """
    how = f"the console: rollback {name}" + (f" to {to}" if to else "")
    authority.require(project, name, actor.name, "promote")
    user = {authority.USER: actor.name} if people.are_enabled(project) else {}
    requester = Requester(actor.name, how, {"known_by": actor.known_by, "claimed": actor.claimed, **user})
    outcome = rollback_command.roll_back(project, name, to, how, log, requester)
    return f"version {outcome.version} is champion of {name}"


def approve(project: Project, actor: Actor, name: str, flow_run: str, approved: bool, comment: str, log: Log) -> str:
    """Answer the question of a release that waits for a person, as Prefect's form does.

    Raises:
        GateRefused: people have names of their own, and this one may not approve.
        StackError: Prefect refused it, as when somebody was faster.
    """
    answer: dict[str, object] = {"approve": approved, "your_name": actor.name, "comment": comment[:1000]}
    if people.are_enabled(project):
        authority.require(project, name, actor.name, "approve")
        answer["proof"] = authority.approval_proof(project, flow_run, actor.name, approved)
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        found = prefect_view.request(project, "POST", f"/flow_runs/{flow_run}/resume", {"run_input": answer})
        if not isinstance(found, dict) or found.get("status") in (None, "ACCEPT"):
            break
        if time.monotonic() > deadline:
            reason = (found.get("details") or {}).get("reason")
            raise StackError("Prefect did not take the answer", got=reason or found.get("status"))
        time.sleep(0.5)  # the form is there a moment after the run is paused
    log(f"answered: {'yes' if approved else 'no'}")
    return "approved: the release goes on" if approved else "refused: the release ends"


def pause(project: Project, actor: Actor, name: str, paused: bool, log: Log) -> str:
    """Pause the schedule of a pipeline in Prefect, or let it go on.

    Raises:
        NotFoundError: it is not scheduled.
        GateRefused: people have names of their own, and this one may not train.
        StackError: Prefect does not answer.
    """
    authority.require(project, name, actor.name, "train")
    found = next((one for one in prefect_view.deployments(project) if one["name"] == name), None)
    if found is None:
        raise NotFoundError(f"{name} is not scheduled", next_step=f"`modelyard schedule {name}`")
    prefect_view.request(project, "PATCH", f"/deployments/{found['id']}", {"paused": paused})
    log("Prefect has noted it")
    return f"the schedule of {name} is paused" if paused else f"the schedule of {name} goes on"


def _registry(project: Project, actor: Actor) -> Api:
    """The registry, whose notes then name who pressed the button.

    Raises:
        StackError: the stack does not run.
    """
    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the stack is not running", next_step="`modelyard up`")
    credentials = endpoints.credentials
    if people.are_enabled(project):  # the platform's own account acts for a user who has logged in here
        return Api(endpoints.mlflow, people.account(project), connect=_acting_for(actor))
    if connections.of(project).mlflow.is_own and credentials is not None:
        credentials = Credentials(actor.name.replace(":", "_"), credentials.secret)
    return Api(endpoints.mlflow, credentials)


def _acting_for(actor: Actor) -> ClientFactory:
    """A client of the platform's own account whose changes of aliases are noted as another user's."""

    def connect(credentials: Credentials | None, url: str, **settings: Any) -> httpx.Client:
        made = http_client.client(credentials, url, **settings)
        made.headers[alias_notes.ON_BEHALF_HEADER] = actor.name
        return made

    return connect
