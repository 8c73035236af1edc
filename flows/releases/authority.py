"""Whether a person may promote, roll back or approve: MLflow's permissions, asked for when it is decided.

Without `[people] enabled` in `modelyard.toml`, everything is allowed to whoever has the project's secret.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.access import project_door, secret
from components.access.people_door import KNOWN_BY
from components.contracts import settings
from components.contracts.gate_request import GateResult
from components.core.errors import GateRefused, RegistryError, UsageError
from components.core.project import Project
from components.registry import alias_notes, people
from components.registry.alias_notes import AliasNote
from components.registry.api import Api
from components.registry.people import LEVEL, Right
from flows.platform import connections
from flows.platform import people as logins
from flows.releases.rollback import Requester
from flows.releases.rollout import Refused, Rollout

TIMEOUT_SECONDS = 5.0
USER = "user"  # the fact of an entry that holds the name of the user who logged in
_DOES = {"look": "look", "train": "train and register", "promote": "promote", "approve": "approve"}


@dataclass(frozen=True)
class AccessReview:
    """Whether somebody may do something.

    Args:
        reason: in words, with the permission that was found.
    """

    allowed: bool
    reason: str
    next_step: str = ""


def review(project: Project, api: Api, model: str, user: str | None, right: Right) -> AccessReview:
    """Whether a user has a right on a model now.

    Args:
        api: of the platform's own account.
        user: the name that was proven; None: it is not known who asks.

    Raises:
        RegistryError: MLflow does not answer.
    """
    found = settings.read(project.root).people
    if not found.enabled:
        return AccessReview(True, "nobody's rights are asked for")
    if user is None:
        if found.unknown == "accept":
            return AccessReview(True, 'it is not known who asks, and [people] unknown = "accept"')
        next_step = f'`modelyard promote {model} VERSION` says who asks; or [people] unknown = "accept"'
        return AccessReview(False, f"it is not known who asks to {_DOES[right]}", next_step)
    try:
        level = people.level(api, user, model)
    except RegistryError as error:
        if not people.has_no_users(error):
            raise
        return AccessReview(False, "this MLflow has no users and permissions", "start it with its authentication")
    if people.includes(level, right):
        return AccessReview(True, f"{user} has {level} on {model}")
    has = f"{user} has {level} on {model}" if level is not None else f"MLflow has no user {user}"
    next_step = f"ask somebody who may; `modelyard people` lists them, `modelyard people grant {user} --may {right}`"
    return AccessReview(False, f"{has}; who is to {_DOES[right]} needs {LEVEL[right]}", next_step)


def require_to_release(rollout: Rollout) -> None:
    """Check that who asked for a release may ask for it.

    Raises:
        Refused: that person has not the right, or it is not known who asks.
        RegistryError: MLflow does not answer.
    """
    project = rollout.context.project
    if not logins.are_enabled(project):
        return
    asked = rollout.entry("asked")
    user = None if asked is None else asked.facts.get(USER)
    access = review(project, rollout.api, rollout.name, user, "promote")
    rollout.context.log(f"permission: {access.reason}")
    if not access.allowed:
        limit = f"who promotes has {LEVEL['promote']} on the model"
        result = GateResult(
            gate="permission", passed=False, figures={}, limit=limit, reason=access.reason, next_step=access.next_step
        )
        raise Refused([result])


def may_go_back(project: Project, model: str, version: str, note: AliasNote | None) -> bool:
    """Whether who set the alias to a version that served before may do that.

    Raises:
        RegistryError: MLflow does not answer.
    """
    if not logins.are_enabled(project):
        return True
    user = note.user if note is not None and note.version == version else None
    with _own_api(project) as api:
        return review(project, api, model, user, "promote").allowed


def require(project: Project, model: str, user: str | None, right: Right) -> None:
    """Check the right of a person who is at a command or at the console.

    Raises:
        GateRefused: that person has not the right.
        RegistryError: MLflow does not answer.
    """
    if not logins.are_enabled(project):
        return
    with _own_api(project) as api:
        access = review(project, api, model, user, right)
    if not access.allowed:
        raise GateRefused(
            f"{user or 'this user'} may not {_DOES[right]}",
            where=f"{model}, permissions of {connections.of(project).mlflow.url}",
            got=access.reason,
            expected=LEVEL[right],
            next_step=access.next_step,
        )


def user_of_command(project: Project) -> str | None:
    """The user of MLflow who runs this command, by name and password; None where people have no names of their own.

    Raises:
        UsageError: name or password is not given, or wrong.
        RegistryError: MLflow does not answer.
    """
    if not logins.are_enabled(project):
        return None
    person = logins.required(project)
    server = connections.of(project).mlflow
    try:
        with Api(str(server.url), person, patience_seconds=0, timeout_seconds=TIMEOUT_SECONDS) as api:
            return people.current(api)
    except RegistryError as error:
        if not (error.got or "").startswith("HTTP 401"):
            raise
        raise UsageError(
            "MLflow does not know this name and password",
            where=str(server.url),
            got=f"the user {person.user}",
            next_step=f"correct {logins.USER} and {logins.PASSWORD}; `modelyard people` lists the users",
        ) from error


def trainer(project: Project, model: str) -> str | None:
    """The user of MLflow who runs a command that trains; None where people have no names of their own.

    Raises:
        UsageError: name or password is not given, or wrong.
        GateRefused: that person may not train the model.
    """
    user = user_of_command(project)
    if user is not None:
        require(project, model, user, "train")
    return user


def requester_of_command(project: Project, model: str, how: str) -> Requester | None:
    """Who asks for a rollback by a command, with the right to do so; None where people have no names of their own.

    While MLflow does not answer its permissions cannot be asked for: the rollback goes on, and the ledger says so.

    Raises:
        UsageError: name or password is not given, or wrong.
        GateRefused: that person may not promote.
    """
    if not logins.are_enabled(project):
        return None
    claimed = logins.required(project).user
    try:
        user = user_of_command(project)
        require(project, model, user, "promote")
    except RegistryError as error:
        known_by = f"the command's claim; permissions were not asked for: {error.what}"
        return Requester(claimed, how, {"known_by": known_by, "claimed": claimed})
    return Requester(str(user), how, {"known_by": KNOWN_BY, USER: user})


def leave_note(project: Project, model: str, alias: str, version: str, how: str, *, user: str | None = None) -> None:
    """Note who promotes by a command, where MLflow is a server that somebody else runs and notes nothing.

    Args:
        user: the user who logged in; None: the user of this command.

    Raises:
        UsageError, RegistryError: as `user_of_command`.
    """
    if not logins.are_enabled(project) or connections.of(project).mlflow.is_own:
        return
    user = user or user_of_command(project)
    note = AliasNote.new(model, alias, version, by=str(user), claimed=None, known_by=KNOWN_BY, how=how)
    alias_notes.write(project, alias_notes.signed(project, note.model_copy(update={USER: user})))


def approval_proof(project: Project, flow_run: str, user: str, approved: bool) -> str:
    """What proves an answer to a release that waits: that the console, or a command, has seen the user's password."""
    key = project_door.secret_of(project) or ""
    return secret.sign(key, "approval", f"{flow_run}\n{user}\n{approved}") if key else ""


def review_approval(rollout: Rollout, flow_run: str, user: str, approved: bool, proof: str) -> AccessReview:
    """Whether an answer to a release that waits counts.

    Raises:
        RegistryError: MLflow does not answer.
    """
    project = rollout.context.project
    expected = approval_proof(project, flow_run, user, approved)
    if not expected or not secret.matches(proof, expected):
        reason = f"{user or 'somebody'} answered in Prefect, which has no users: any name can be written there"
        next_step = f"answer in the console, or `modelyard approve {rollout.name}`"
        return AccessReview(False, reason, next_step)
    return review(project, rollout.api, rollout.name, user, "approve")


def _own_api(project: Project) -> Api:
    """MLflow for the platform's own account."""
    url = str(connections.of(project).mlflow.url)
    return Api(url, logins.account(project), patience_seconds=0, timeout_seconds=TIMEOUT_SECONDS)
