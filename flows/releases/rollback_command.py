"""`modelyard rollback`. It imports little before the workers follow: a bad version is served meanwhile."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from components.core.errors import StackError
from components.core.log import Log
from components.core.project import Project
from components.release import ledger as ledgers
from components.release import production as productions
from components.release.ledger import Entry
from flows.platform import followed_registry, lifecycle
from flows.platform.user_name import user_name
from flows.releases import rollback
from flows.releases.rollback import Requester
from flows.serving_targets.cluster_api import ClusterAbsentError
from flows.serving_targets.host_session import HostAbsentError
from flows.serving_targets.serving_target import ServingTarget, target_of

TELL_SECONDS = 2.0  # for the registry to answer right after a rollback


@dataclass(frozen=True)
class RollbackOutcome:
    """How it ended: the closing entry, or None where nothing had to be done."""

    entry: Entry | None
    version: str
    url: str | None


def roll_back(
    project: Project, name: str, to: str | None, how: str, log: Log, requester: Requester | None = None
) -> RollbackOutcome:
    """Go back to a pinned bundle at once, whatever else goes on or is down; then tell the registry, if it answers.

    Args:
        requester: who asks; None: the user of this process.

    Raises:
        UsageError: nothing served before, or that version never served well.
        StackError: the platform does not run; the decision is recorded, and `modelyard up` starts what was decided.
        ServingError: the workers do not follow.
    """
    service = target_of(project, name)
    requester = requester or Requester(user_name(), how, {"known_by": f"command line, user {os.getuid()}"})
    try:
        entry = rollback.roll_back(service, project, name, to, requester, log)
    except StackError as error:
        champion = productions.decided(ledgers.of(project, name).entries()).production.champion
        raise StackError(
            error.what,
            where=error.where,
            got=f"recorded: the champion of {name} is version {champion.version if champion else 'none'}",
            next_step=_who_goes_on(error, name),
        ) from error
    assert entry.after is not None  # noqa: S101
    from components.registry.api import Api
    from flows.releases import telling

    if (why := followed_registry.another(project)) is not None:
        log(f"{why}, and it is not told either: the alias stays as it is")
        return RollbackOutcome(entry, entry.after.version, _url(service))
    endpoints = lifecycle.configured(project)
    with Api(endpoints.mlflow, endpoints.credentials, patience_seconds=0, timeout_seconds=TELL_SECONDS) as api:
        telling.tell_soon(api, project, name, entry.release, log)
    return RollbackOutcome(entry, entry.after.version, _url(service))


def _who_goes_on(error: StackError, name: str) -> str:
    if isinstance(error, HostAbsentError):
        return "the controller tells the hosts once they answer: `modelyard hosts`"
    if isinstance(error, ClusterAbsentError):
        return f"the controller follows once the cluster answers, and `modelyard history {name}` tells how it ended"
    return "`modelyard up`: production starts with that version"


def _url(service: ServingTarget) -> str | None:
    """Where the service answers; None also where a cluster does not say it: the rollback itself is done."""
    with suppress(ClusterAbsentError):
        return service.url
    return None
