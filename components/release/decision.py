"""The reconcile decision: a pure function of what is desired, what is pinned, and what is observed.

Desired is what the registry's aliases name. Pinned is what the ledger's last decision says that production is made of.
Observed is what the workers of the service report. The function returns the one step that comes next, or None. It is
the only place where the difference between the three is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from components.contracts.serving_spec import RolloutPolicy, ServiceStatus, SlotStatus
from components.release.history import DECIDED, Release
from components.release.ledger import Role
from components.release.production import Production

ROLES: tuple[Role, ...] = ("champion", "challenger")
MIXED = "mixed"  # the workers of a service do not all hold the same version

Step = Literal[
    "apply",  # make the service's spec what is pinned
    "start",  # start the service's processes from the pinned bundle
    "stop",  # stop a service that nothing is pinned for
    "roll back",  # the champion becomes a version that served well before: its pinned bundle, at once
    "close",  # a release that was left unfinished is not asked for any more
    "set policy",  # the challenger's canary share or limits have changed
    "release",  # go through the release flow, or go on with it
    "withdraw",  # no version is to be champion
    "tell",  # the registry names what a rollback has left
    "wait",  # something else must come first
]


@dataclass(frozen=True)
class DesiredState:
    """Version numbers that the aliases name."""

    champion: str | None
    challenger: str | None

    @staticmethod
    def of(aliases: Mapping[str, str]) -> DesiredState:
        """From a model's aliases. A challenger that is the champion is none; nor is one without a champion."""
        champion, challenger = aliases.get("champion"), aliases.get("challenger")
        return DesiredState(champion, None if champion is None or challenger == champion else challenger)

    def of_role(self, role: Role) -> str | None:
        """The version that a role is to have."""
        return self.champion if role == "champion" else self.challenger


@dataclass(frozen=True)
class ObservedState:
    """Version numbers that the service's workers report.

    Args:
        unloadable: why no worker can load the pinned champion, where another version answers in its place.
        broken: why the workers took the challenger out.
        policies: what the workers apply to their challengers.
        absent: hosts that do not answer.
        unleased: hosts that wait for their lease, and refuse requests or are not ready.
    """

    champion: str | None = None
    challenger: str | None = None
    unloadable: str | None = None
    broken: str | None = None
    policies: frozenset[RolloutPolicy | None] = frozenset()
    absent: tuple[str, ...] = ()
    unleased: tuple[str, ...] = ()

    @staticmethod
    def of(status: ServiceStatus | None) -> ObservedState:
        """From a service's status; nothing from a service that does not answer."""
        if status is None or not status.workers:
            return ObservedState()
        challengers = [worker.challenger for worker in status.workers]
        broken = next((slot.reason for slot in challengers if slot is not None and slot.state == "removed"), None)
        failed = [worker.champion_failed for worker in status.workers]
        complete = len(status.workers) >= status.expected
        return ObservedState(
            _common([worker.champion for worker in status.workers]),
            next((slot.version for slot in challengers if slot), None) if broken else _common(challengers),
            next((slot.reason for slot in failed if slot), None) if complete and all(failed) else None,
            broken,
            frozenset(worker.policy for worker in status.workers),
            tuple(status.absent),
            tuple(status.unleased),
        )


@dataclass(frozen=True)
class Situation:
    """Everything that the decision depends on.

    Args:
        production: what the ledger pins.
        open: the unfinished release of each role.
        untold: the last rollback, if the registry was not told of it.
        desired: None: the registry does not answer.
        alias_is_stale: whether the champion's alias was last set before the last rollback.
        observed: None: the service does not answer.
        service: whether its processes run.
        spec_is_pinned: whether the service's spec names what is pinned.
        staged: whether the spec names a staged version.
        policy: what the pipeline's file says of a challenger; None: the file cannot be read, the present one stays.
        going_back: whether the desired champion served well before, and its bundle is on disk.
        champion_gone: whether no version was champion for longer than the grace period.
        unregistered: whether production was rolled back to a version that the registry has no more.
        foreign: whether the pinned champion is of a registry that production does not follow any more.
        settling: whether the service's spec changed within the last seconds, or its processes are starting.
    """

    production: Production
    open: Mapping[Role, Release] = field(default_factory=dict)
    untold: Release | None = None
    desired: DesiredState | None = None
    alias_is_stale: bool = False
    observed: ObservedState | None = None
    service: Literal["running", "starting", "stopped"] = "stopped"
    spec_is_pinned: bool = True
    staged: bool = False
    policy: RolloutPolicy | None = None
    going_back: bool = False
    champion_gone: bool = False
    unregistered: bool = False
    foreign: bool = False
    settling: bool = False


@dataclass(frozen=True)
class Decision:
    """The next step.

    Args:
        role: the role that the step is about.
        reason: why, for people.
        broken: why the service took a version out, or cannot load it.
        retries: whether the step was done before, without effect.
    """

    step: Step
    role: Role
    reason: str
    broken: str | None = None
    retries: bool = False


def decide(now: Situation) -> Decision | None:
    """The next step; None: production is what is desired."""
    return _keep_pinned(now) or _finish(now) or _follow_workers(now) or _follow_registry(now) or _unanswered(now)


def is_superseded(left: Release | None, role: Role, desired: DesiredState | None) -> bool:
    """Whether a release that is being carried out is to end: another version is asked for, or it was closed.

    A release that decided on its end goes on to it.

    Args:
        left: the open release of the role; None: there is none any more.
    """
    if left is None:
        return True
    if desired is None or left.events & DECIDED or "switching" in left.events or left.entries[0].facts.get("broken"):
        return False
    return desired.of_role(role) != (left.after.version if left.after else None)


def _keep_pinned(now: Situation) -> Decision | None:
    """What is pinned is served, whatever else is going on; this needs neither the registry nor Prefect."""
    pinned = now.production.champion
    for role in ROLES:
        left = now.open.get(role)
        if left is not None and left.is_direct:
            return Decision("roll back", role, _unfinished(left))
    if pinned is None:
        return None
    if not now.spec_is_pinned or (now.staged and not now.open):
        return Decision("apply", "champion", f"the service is to hold what is pinned: champion {pinned.version}")
    if now.service == "stopped":
        return Decision("start", "champion", f"version {pinned.version} is champion, and its service does not run")
    return None


def _finish(now: Situation) -> Decision | None:
    """A release that decided on its end before its process was killed is finished first."""
    for role in ROLES:
        left = now.open.get(role)
        if left is not None and (left.events & DECIDED or "switching" in left.events):
            return _with_registry(now, Decision("release", role, _unfinished(left)))
    return None


def _follow_workers(now: Situation) -> Decision | None:
    """What the workers refuse is taken out of production."""
    found, pinned = now.observed, now.production
    if found is None or now.settling or now.open:
        return None
    if found.unloadable is not None and pinned.champion is not None and pinned.previous is not None:
        reason = f"no worker can load version {pinned.champion.version}: {found.unloadable}"
        return _with_registry(now, Decision("release", "champion", reason, broken=found.unloadable))
    if found.broken is not None and pinned.challenger is not None:
        reason = f"the service took the challenger out: {found.broken}"
        return _with_registry(now, Decision("release", "challenger", reason, broken=found.broken))
    return None


def _follow_registry(now: Situation) -> Decision | None:
    """Production follows the aliases."""
    desired, pinned = now.desired, now.production
    champion, challenger = pinned.champion, pinned.challenger
    if desired is None:
        if now.open or now.untold:
            return Decision("wait", "champion", "the registry does not answer")
        return _policy(now)
    serving = champion.version if champion else None
    if now.untold is not None and (now.alias_is_stale or desired.champion == serving):
        return Decision("tell", "champion", f"the registry is to name version {serving or 'none'} as champion")
    if (left := now.open.get("champion")) is not None:
        return _go_on(left, desired)
    if now.foreign and champion is not None and desired.champion in (None, serving):
        return _of_another_registry(champion.version, desired)
    if desired.champion is not None and desired.champion != serving:
        reason = f"champion is to be {desired.champion}, serving is {serving or 'nothing'}"
        return Decision("roll back" if now.going_back else "release", "champion", reason)
    if (left := now.open.get("challenger")) is not None:
        return _go_on(left, desired)
    beside = challenger.version if challenger else None
    if desired.challenger != beside:
        reason = f"challenger is to be {desired.challenger or 'nothing'}, is {beside or 'nothing'}"
        return Decision("release", "challenger", reason)
    if desired.champion is None and champion is not None:
        if now.unregistered:
            reason = f"version {champion.version} serves, which the registry has no more: make another version champion"
            return Decision("wait", "champion", reason)
        if now.champion_gone:
            return Decision("withdraw", "champion", "no version is champion any more")
        return Decision("wait", "champion", "no version is champion: the service stops after the grace period")
    if desired.champion is None and now.service != "stopped" and not now.open:
        return Decision("stop", "champion", "no version is champion, and the service runs")
    return _policy(now) or _settle(now)


def _of_another_registry(serving: str, desired: DesiredState) -> Decision:
    """What serves is no version of the registry, although one there may have its number."""
    reason = f"version {serving} of the registry of before serves, and no version of this one is champion: make one"
    if desired.champion is not None:
        reason = (
            f"version {serving} of this registry is another model than version {serving} of the registry of before, "
            "which serves: register it once more, so that it has another number, and make that one champion"
        )
    return Decision("wait", "champion", reason)


def _go_on(left: Release, desired: DesiredState) -> Decision:
    """With a release that nobody carries out. One that is not asked for any more needs no worker to be closed."""
    if is_superseded(left, left.role, desired):
        wanted = desired.of_role(left.role) or "nothing"
        return Decision("close", left.role, f"{_unfinished(left)}, and the registry asks for {wanted} by now")
    return Decision("release", left.role, _unfinished(left))


def _policy(now: Situation) -> Decision | None:
    pinned = now.production
    if pinned.challenger is None or now.policy is None or now.policy == pinned.policy or now.open:
        return None
    return Decision("set policy", "challenger", "its policy (canary_percent, limits) has changed")


def _settle(now: Situation) -> Decision | None:
    """Workers that could not load what is pinned try again."""
    pinned, found = now.production, now.observed
    if found is None or now.settling:
        return None
    for role, pin, held in (
        ("champion", pinned.champion, found.champion),
        ("challenger", pinned.challenger, found.challenger),
    ):
        if pin is not None and held != pin.version and not (role == "challenger" and found.broken):
            reason = f"{role} is {pin.version}, the workers hold {held or 'nothing'}"
            return Decision("apply", "champion" if role == "champion" else "challenger", reason, retries=True)
    return None


def _unanswered(now: Situation) -> Decision | None:
    """Production is not what is desired as long as nobody knows which version answers."""
    pinned, held = now.production.champion, now.observed.champion if now.observed is not None else None
    if pinned is None or now.desired is None or now.open or held not in (None, MIXED):
        return None
    answers = "its workers hold several versions" if held == MIXED else "no worker of it answers"
    state = ", it is starting" if now.service == "starting" else ""
    return Decision("wait", "champion", f"version {pinned.version} is champion, and {answers}{state}")


def _with_registry(now: Situation, decision: Decision) -> Decision:
    """A release tells the registry at its end: without it, the step waits."""
    if now.desired is not None:
        return decision
    return Decision("wait", decision.role, f"the registry does not answer; due is: {decision.reason}")


def _unfinished(left: Release) -> str:
    return f"the release {left.id} of the {left.role} is not finished: its last step was `{left.entries[-1].event}`"


def _common(slots: list[SlotStatus | None]) -> str | None:
    versions = {slot.version if slot is not None and slot.state == "ready" else None for slot in slots}
    return versions.pop() if len(versions) == 1 else MIXED
