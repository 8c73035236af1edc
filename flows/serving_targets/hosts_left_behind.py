"""The hosts that do not hold a decision and may answer requests: what a release, or a rollback, has to wait for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.contracts import settings
from components.core.errors import ModelyardError
from components.release import ledger_place
from flows.serving_targets import host_connections, lease_record
from flows.serving_targets.host_leases import surely_over_after
from flows.serving_targets.host_protocol import ModelObservation
from flows.serving_targets.host_session import HostAbsentError
from flows.serving_targets.hosts_target import HostsServingTarget
from flows.serving_targets.serving_target import ServingTarget

RENEWAL_SECONDS = 10.0  # for a host that is back to get a lease again


@dataclass(frozen=True)
class LeftBehind:
    """Hosts that do not hold a decision, and may answer requests.

    Args:
        waiting: those whose leases may not have run out; `seconds`: until they surely have.
        over: those whose leases have run out: they answer nobody.
        without_lease: those that are not known to hold a lease: they may answer with the version before for good.
        present: those that answer whoever decides: they can be told.
        unrenewed: of `waiting`, those that hold the decision, and refuse requests until they have a lease again.
    """

    waiting: tuple[str, ...] = ()
    seconds: float = 0.0
    over: tuple[str, ...] = ()
    without_lease: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    unrenewed: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """For the ledger."""
        absent = sorted({*self.over, *self.without_lease} - {*self.present})
        found = {"absent": absent, "lease_over": list(self.over), "without_lease": list(self.without_lease)}
        return {key: names for key, names in found.items() if names}

    def __str__(self) -> str:
        """What is waited for."""
        behind = [name for name in self.waiting if name not in self.unrenewed]
        if not behind:
            return f"{', '.join(self.unrenewed)}: followed, and answers once there is a lease again"
        named, have = ", ".join(behind), "has" if len(behind) == 1 else "have"
        return f"{named} {have} not followed and may answer with the version before for {self.seconds:.0f} s at most"


_known_since: dict[tuple[str, str, int], float] = {}  # project, model, decision: when this process knew of it first


def left_behind(target: ServingTarget, decision: int) -> LeftBehind:
    """The hosts that do not hold a decision which is in the ledger, where hosts have leases.

    Args:
        decision: number of the ledger's entry; its time counts from the first call.
    """
    if not isinstance(target, HostsServingTarget):
        return LeftBehind()
    project = target.local.project
    serving = settings.read(project.root).serving
    if serving.lease_seconds is None:
        return LeftBehind()
    known_since = _known_since.setdefault((str(project.root), target.name, decision), time.monotonic())
    passed, leases = time.monotonic() - known_since, lease_record.read(project)
    is_shared = ledger_place.url(project) is not None
    waiting: dict[str, float] = {}
    over, without, present, unrenewed = [], [], [], []
    for name, one in _may_answer(target, leases).items():
        if isinstance(one, ModelObservation):
            if _holds(one, decision):
                if _refuses(one):
                    if passed < RENEWAL_SECONDS:
                        waiting[name] = RENEWAL_SECONDS - passed
                        unrenewed.append(name)
                    else:
                        over.append(name)
                continue
            present.append(name)
        seconds = leases.get(name, {}).get(target.name)
        if seconds is None:
            # The controller that led before, on another machine, may have granted it a lease; nothing proves it.
            may_end = surely_over_after(serving.lease_seconds, serving.lease_over) - passed
            if is_shared and not isinstance(one, ModelObservation) and may_end > 0:
                waiting[name] = may_end
            else:
                without.append(name)
        elif (left := surely_over_after(seconds, serving.lease_over) - passed) > 0:
            waiting[name] = left
        else:
            over.append(name)
    longest = max(waiting.values(), default=0.0)
    return LeftBehind(tuple(waiting), longest, *map(tuple, (over, without, present, unrenewed)))


def _holds(one: ModelObservation, decision: int) -> bool:
    """Whether a host's service holds a decision, or does not run."""
    if one.port is None:
        return True
    workers = one.status.workers if one.status is not None else []
    return one.spec is not None and all(
        found >= decision for found in (one.spec.decision, *(w.decision for w in workers))
    )


def _refuses(one: ModelObservation) -> bool:
    """Whether a worker's lease is over: the host answers again once it is renewed."""
    return one.status is not None and any(worker.lease_is_over for worker in one.status.workers)


def _may_answer(
    target: HostsServingTarget, leases: Mapping[str, Mapping[str, float]]
) -> dict[str, ModelObservation | ModelyardError]:
    """The model's hosts, and those from which it was moved, or which were removed, and which do not answer."""
    found = {host.name: one for host, one in target.observations().items()}
    hosts = host_connections.connections(target.local.project)
    removed = HostAbsentError(f"it is not in {settings.FILE_NAME} any more")
    named = {host.name for host in hosts}
    found |= {name: removed for name, models in leases.items() if name not in named and target.name in models}
    for host in hosts:
        if host.name not in found and target.name in leases.get(host.name, {}):
            try:
                host.observe()
            except ModelyardError as error:
                found[host.name] = error
    return found
