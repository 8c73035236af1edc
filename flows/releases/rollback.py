"""Decisions that need neither gates nor servers: going back to a pinned bundle, and a changed policy.

What production is made of is recorded in the ledger, then the service's spec is written; the workers follow within a
fraction of a second. The registry is told afterwards, or when it is back. Whoever finds a rollback that a killed
process left carries it out to its end.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.contracts.serving_spec import OvertakenError, RolloutPolicy, ServiceStatus, WorkerStatus
from components.core.errors import NotFoundError, ServingError, UsageError
from components.core.log import Log
from components.core.project import Project
from components.release import history
from components.release import ledger as ledgers
from components.release import production as productions
from components.release.history import Release
from components.release.ledger import Entry, Event, Ledger, MovedOnError
from components.release.production import PRODUCTION, Pin, PinnedState, Production
from flows.pipelines import signing
from flows.serving_targets.cluster_api import ClusterAbsentError
from flows.serving_targets.hosts_left_behind import left_behind
from flows.serving_targets.serving_target import ServingTarget, facts_of_hosts

POLL_SECONDS = 0.02
ABSENT_POLL_SECONDS = 0.2
CONVERGE_SECONDS = 60.0
AWAY_POLL_SECONDS = 0.5
AWAY_SECONDS = 60.0  # for a cluster that does not answer; what was decided is in the ledger


@dataclass(frozen=True)
class Requester:
    """Who asked, and how.

    Args:
        facts: more for the entry: how the name is known, the id of the alias's note.
    """

    by: str
    how: str
    facts: Mapping[str, Any]


def roll_back(
    service: ServingTarget,
    project: Project,
    name: str,
    to: str | None,
    requester: Requester,
    log: Log,
    *,
    waits: bool = True,
) -> Entry:
    """Make the champion a version that served well before: its pinned bundle, at once.

    The gates are not asked, nothing is built, and a release that is going on ends. Nothing waits for the registry.

    Args:
        to: the version; None: what served well last before what serves now.
        waits: for hosts that were not told, until their leases have run out; else `finish` closes the rollback then.

    Returns:
        The entry that closes the rollback, or with `waits=False` its last one so far.

    Raises:
        UsageError: nothing served before, or that version never served well.
        NotFoundError: the pinned bundle was removed.
        SignatureError: the pinned bundle is not signed as the project requires.
        ServingError: a worker cannot load it; what served before serves on.
    """
    ledger = ledgers.of(project, name)
    release = secrets.token_hex(6)
    while True:
        entries = ledger.entries()
        open_release = history.unfinished(entries, "champion")
        if open_release is not None and open_release.is_direct and to is None:
            log(f"another rollback of {name} is going on")  # the same is asked for twice: it is done once
            return _carry_out_patiently(service, ledger, open_release, log, waits=waits)
        pinned = productions.decided(entries).production
        try:
            pin = history.rollback_target(entries, name, to)
        except UsageError as error:
            if to is None and open_release is not None and pinned.champion is not None:
                back = f"`modelyard promote {name} {pinned.champion.version}`"
                error.next_step = f"{back} ends the release that is going on; {pinned.champion.version} serves on"
            elif to is None and open_release is not None and open_release.after is not None:
                error.next_step = (
                    f"the release of version {open_release.after.version}, before which nothing served, is going on; "
                    f"it ends where its alias champion is taken away in the registry; `modelyard history {name}`"
                )
            raise
        if not service.bundle(pin).exists():
            raise NotFoundError(
                f"the bundle of version {pin.version} was removed",
                where=str(service.bundle(pin).folder),
                next_step=f"`modelyard promote {name} {pin.version}` builds it anew, through the gates",
            )
        signing.require(project, service.bundle(pin))
        facts = {
            "how": requester.how,
            "going_back": True,
            **requester.facts,
            PRODUCTION: pinned.with_champion(pin).model_dump(mode="json"),
        }
        current = pinned.champion.side if pinned.champion else None
        try:
            entry = ledger.append(
                "asked",
                release=release,
                role="champion",
                before=current,
                after=pin.side,
                asked_by=requester.by,
                facts=facts,
                if_last=entries[-1].sequence if entries else 0,
            )
        except MovedOnError:
            continue
        if open_release is not None:
            close(ledger, open_release, f"rolled back to version {pin.version}")
        log(f"champion {pin.version}: asked")
        return _carry_out_patiently(service, ledger, history.Release((entry,)), log, waits=waits)


def _carry_out_patiently(service: ServingTarget, ledger: Ledger, release: Release, log: Log, *, waits: bool) -> Entry:
    """As `carry_out`; with `waits`, a cluster that does not answer is asked again for `AWAY_SECONDS`.

    Raises:
        ClusterAbsentError: it stays away; the controller carries out what the ledger has.
    """
    deadline, is_said = time.monotonic() + AWAY_SECONDS, False
    while True:
        try:
            return carry_out(service, ledger, release, log, waits=waits)
        except ClusterAbsentError as error:
            if not waits or time.monotonic() > deadline:
                raise
            if not is_said:
                log(f"waiting for the cluster: {error.what}")
            is_said = True
        time.sleep(AWAY_POLL_SECONDS)
        release = history.Release(tuple(entry for entry in ledger.entries() if entry.release == release.id))


def carry_out(service: ServingTarget, ledger: Ledger, release: Release, log: Log, *, waits: bool = True) -> Entry:
    """Do what a rollback decided, from where a killed process left it.

    Returns:
        The entry that closes the release, or with `waits=False` its last one so far.

    Raises:
        ServingError: the workers do not follow.
    """
    begun = time.monotonic()
    record = Recorder(ledger, release, log)
    left = next((other for other in _open(ledger) if other.id != release.id and other.role == "champion"), None)
    if left is not None:  # of a process that was killed before it could close it
        close(ledger, left, f"rolled back to version {release.after.version if release.after else 'none'}")
    pinned = productions.decided(ledger.entries())
    if "switched" not in release.events or not service.is_applied(pinned.production):
        pinned = _apply(service, ledger)
    pin = pinned.production.champion
    if pin is None or release.after is None or pin.package_digest != release.after.package_digest:
        return record("superseded", reason="a later decision has come")
    if "switched" not in release.events:
        left_behind(service, release.entries[0].sequence)  # its time counts from here
        if service.status() is None:
            service.start(service.bundle(pin))
        status = _followed(service, pin)
        refused = [worker.champion_failed for worker in status.workers if worker.champion_failed is not None]
        failed = next((slot for slot in refused if slot.package_digest == pin.package_digest), None)
        if failed is not None:
            return _give_up(service, record, release, pin, failed.reason or "it does not load")
        record("switched", **facts_of_hosts(status), seconds=round(time.monotonic() - begun, 3))
    return _outlast(service, ledger, record, pin, release.entries[0].sequence, log, waits=waits)


def _outlast(
    service: ServingTarget, ledger: Ledger, record: Recorder, pin: Pin, decision: int, log: Log, *, waits: bool
) -> Entry:
    """Record that it is served once hosts that were not told have surely stopped answering.

    A host that comes back meanwhile is told.
    """
    said: set[str] = set()
    while True:
        if (end := record.end()) is not None:  # another process has carried it out as well
            return end
        left = left_behind(service, decision)
        champion = productions.decided(ledger.entries()).production.champion
        if champion is None or champion.package_digest != pin.package_digest:
            return record("superseded", reason="a later decision has come")
        if not left.waiting:
            status = service.status()
            facts = facts_of_hosts(status) if status is not None else {}
            absent_now = {"absent": facts["absent"]} if "absent" in facts else {}
            return record("served", **{**absent_now, **left.facts})
        if not waits:
            return record.last()
        if left.present and not service.is_applied(productions.decided(ledger.entries()).production):
            _apply(service, ledger)
        if set(left.waiting) - said - {*left.present}:
            log(f"waiting: {left}")
            said |= {*left.waiting}
        time.sleep(ABSENT_POLL_SECONDS)


def set_policy(service: ServingTarget, project: Project, name: str, policy: RolloutPolicy, log: Log) -> Entry | None:
    """Have the challenger run under another policy; its pinned bundle stays as it is.

    Returns:
        The closing entry; None: there is no challenger any more.
    """
    ledger = ledgers.of(project, name)
    release = secrets.token_hex(6)
    while True:
        entries = ledger.entries()
        pinned = productions.decided(entries).production
        beside = pinned.challenger
        if beside is None or pinned.policy == policy:
            return None
        facts = {
            "how": "its policy (canary_percent, limits) has changed",
            PRODUCTION: pinned.with_policy(policy).model_dump(mode="json"),
        }
        try:
            entry = ledger.append(
                "asked",
                release=release,
                role="challenger",
                before=beside.side,
                after=beside.side,
                asked_by="pipeline",
                facts=facts,
                if_last=entries[-1].sequence if entries else 0,
            )
        except MovedOnError:
            continue
        return _follow_policy(service, ledger, history.Release((entry,)), policy, log)


def finish(
    service: ServingTarget, project: Project, name: str, release: Release, log: Log, *, waits: bool = True
) -> Entry:
    """Go on with a rollback, or a change of policy, that another process began; `waits` as of `roll_back`."""
    ledger = ledgers.of(project, name)
    if release.role == "champion":
        return carry_out(service, ledger, release, log, waits=waits)
    policy = productions.decided(ledger.entries()).production.policy
    if policy is None:
        return Recorder(ledger, release, log)("superseded", reason="there is no challenger any more")
    return _follow_policy(service, ledger, release, policy, log)


def _follow_policy(service: ServingTarget, ledger: Ledger, release: Release, policy: RolloutPolicy, log: Log) -> Entry:
    record = Recorder(ledger, release, log)
    _apply(service, ledger)
    begun = time.monotonic()

    def holds(worker: WorkerStatus) -> bool:
        return worker.challenger is None or worker.challenger.state != "ready" or worker.policy == policy

    if service.status() is not None:
        service.wait(holds, "apply the challenger's policy")
    seconds = round(time.monotonic() - begun, 3)
    record("switched", canary_percent=policy.canary_percent, seconds=seconds)
    return record("served")


def apply_pinned(service: ServingTarget, project: Project, name: str) -> None:
    """Have the service hold what is pinned, and nothing staged."""
    _apply(service, ledgers.of(project, name))


def start_pinned(service: ServingTarget, project: Project, name: str, say: Log) -> None:
    """Start the service's processes from the pinned champion's bundle, which is built again where nobody has it."""
    champion = _apply(service, ledgers.of(project, name)).production.champion
    if champion is None:
        return
    try:
        service.start(service.bundle(champion))
    except NotFoundError:
        from flows.releases import lost_bundle  # with what builds bundles, which the controller needs for nothing else

        lost_bundle.build_again(project, name, champion, say)
        service.start(service.bundle(champion))


def _apply(service: ServingTarget, ledger: Ledger) -> PinnedState:
    """Write the spec of what is pinned."""
    while True:
        pinned = productions.decided(ledger.entries())
        try:
            service.apply(pinned.production, pinned.sequence)
        except OvertakenError:
            continue  # decided meanwhile: the ledger has it
        return pinned


def _followed(service: ServingTarget, pin: Pin) -> ServiceStatus:
    """Wait until every worker serves a version, or reports that it cannot load it."""
    deadline = time.monotonic() + CONVERGE_SECONDS
    while True:
        status = service.status()
        if status is not None and len(status.workers) >= status.expected:
            if all(
                worker.champion is not None
                and worker.champion.package_digest == pin.package_digest
                and worker.champion.state == "ready"
                for worker in status.workers
            ):
                return status
            if any(
                worker.champion_failed is not None and worker.champion_failed.package_digest == pin.package_digest
                for worker in status.workers
            ):
                return status
        if time.monotonic() > deadline:
            raise ServingError(
                f"the workers did not serve version {pin.version} within {CONVERGE_SECONDS:.0f} s",
                where=service.url or service.name,
                got=status.model_dump_json() if status else "no answer",
                next_step="`modelyard status`; the controller goes on with it",
            )
        time.sleep(POLL_SECONDS)


def _give_up(service: ServingTarget, record: Recorder, release: Release, pin: Pin, reason: str) -> Entry:
    """A pinned bundle that cannot be loaded: what served before the rollback is pinned again."""
    before = _production_before(record.ledger, release)
    record("refusing", reason=reason, **{PRODUCTION: before.model_dump(mode="json")})
    _apply(service, record.ledger)
    record("refused", reason=f"load: no worker can load version {pin.version}: {reason}", gates=["load"])
    serving = before.champion.version if before.champion else "nothing"
    raise ServingError(
        f"version {pin.version} cannot be loaded any more",
        where=service.name,
        got=reason,
        expected="a bundle as it was sealed",
        next_step=f"{serving} serves as before; `modelyard promote {service.name} {pin.version}` builds it anew",
    )


def _production_before(ledger: Ledger, release: Release) -> Production:
    first = release.entries[0].sequence
    return productions.decided([entry for entry in ledger.entries() if entry.sequence < first]).production


def _open(ledger: Ledger) -> list[Release]:
    return [release for release in history.releases(ledger.entries()) if release.end is None]


def close(ledger: Ledger, release: Release, reason: str) -> None:
    """Record that a release was overtaken, unless it came to its end meanwhile."""
    while True:
        entries = ledger.entries()
        own = history.Release(tuple(entry for entry in entries if entry.release == release.id))
        if own.end is not None:
            return
        try:
            _append(ledger, own, "superseded", {"reason": reason}, entries[-1].sequence)
        except MovedOnError:
            continue
        return


class Recorder:
    """Records the steps of one release, each once.

    Args:
        release: its entries so far.
    """

    def __init__(self, ledger: Ledger, release: Release, log: Log) -> None:
        self.ledger, self._release, self._log = ledger, release, log

    def end(self) -> Entry | None:
        """The closing entry of the release; None while it is open."""
        return history.Release(tuple(self._own())).end

    def last(self) -> Entry:
        """The last entry of the release."""
        return self._own()[-1]

    def _own(self) -> list[Entry]:
        return [entry for entry in self.ledger.entries() if entry.release == self._release.id]

    def __call__(self, event: Event, **facts: Any) -> Entry:
        """Record a step; the entry that stands, if another process was first, or the release has its end."""
        while True:
            entries = self.ledger.entries()
            own = history.Release(tuple(entry for entry in entries if entry.release == self._release.id))
            standing = own.entry(event) or (own.end if event != "told" else None)
            if standing is not None:
                return standing
            try:
                entry = _append(self.ledger, own, event, facts, entries[-1].sequence)
            except MovedOnError:
                continue
            self._log(f"{entry.role} {entry.after.version if entry.after else 'none'}: {event}")
            return entry


def _append(ledger: Ledger, release: Release, event: Event, facts: dict[str, Any], last: int) -> Entry:
    first = release.entries[0]
    return ledger.append(
        event,
        release=release.id,
        role=release.role,
        before=first.before,
        after=first.after,
        asked_by=first.asked_by,
        facts=facts,
        if_last=last,
    )
