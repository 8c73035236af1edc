"""Leases of hosts: a host that is cut off stops answering by itself, and what was decided waits until it has.

Each second the acting controller looks at every host, *then* reads the ledger, and renews the leases of the services
whose workers all hold what the ledger pins. A lease runs from the host's own clock, as the host gave it with what was
seen. So every renewal that knows nothing of a decision began before the decision was recorded: a host that was not told
of it stops answering `lease_seconds` after it at the latest. Whoever records that the decision is in force everywhere
(`served`) waits for so long, by a clock of its own (hosts_left_behind.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from components.contracts import settings
from components.contracts.settings import HostedSettings
from components.core.errors import ModelyardError, SpecError
from components.core.log import Log
from components.core.project import Project
from components.release import ledger as ledgers
from components.release import ledger_place
from components.release import production as productions
from components.release.production import PinnedState, Production
from flows.serving_targets import host_connections
from flows.serving_targets.host_connection import LONGEST_PAUSE_SECONDS, HostConnection
from flows.serving_targets.host_protocol import Grant, HostObservation, ModelObservation
from flows.serving_targets.host_session import HostAbsentError
from flows.serving_targets.hosts_at_once import MOST_AT_ONCE
from flows.serving_targets.lease_record import LeaseRecord

PERIOD_SECONDS = 1.0
FREE_SECONDS = 60.0  # after which a host that has shown no lease is looked at again
RENEWED_AFTER = 0.1  # of a lease: a host need not write it each second
CLOCK_RATE = 0.01  # by which two machines' clocks differ in rate, at most; quartz: 0.0001, NTP's slewing: 0.0005
MARGIN_SECONDS = 0.5
BALANCER_SECONDS = 3.0  # for a balancer to see that a host is not ready (components/deployment/haproxy.py)
NOTHING = PinnedState(sequence=0, production=Production())


class LeaseKeeper:
    """Renews the leases of every host, again and again; each host in a thread of its own."""

    def __init__(self, project: Project, log: Log) -> None:
        self._project, self._log = project, log
        self._record = LeaseRecord(project)
        if ledger_place.url(project) is not None:
            self._record.clear()  # another machine's controller may have granted others
        self._granted: dict[tuple[str, str], tuple[float, float, bool]] = {}
        self._pinned: dict[str, tuple[tuple[int, str], PinnedState]] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, "lease")
        self._running: dict[str, Future[None]] = {}
        self._problems: dict[str, str] = {}
        self._settings: tuple[HostedSettings, tuple[HostConnection, ...]] = (HostedSettings(), ())
        self._free_since: dict[str, float] = {}  # hosts that have shown that no service of theirs has a lease
        self._removed_since: dict[str, float] = {}  # hosts that `modelyard.toml` does not name any more

    def renew(self) -> None:
        """Look at every host and renew what is in force there; a host that is still being asked is left out.

        Without `lease_seconds` a host is looked at until it has shown that it holds no lease: it may have been away, or
        not named, when leases were taken out. While `modelyard.toml` is wrong, what it said before goes on: else a slip
        of the pen would end all leases.
        """
        with suppress(SpecError):  # each look of the controller says it
            serving = settings.read(self._project.root).serving
            self._settings = (serving, host_connections.connections(self._project))
        serving, hosts = self._settings
        names = {host.name for host in hosts}
        if serving.lease_seconds is not None:
            self._free_since = {}
        free = self._free(names)
        self._forget_removed(names, serving)
        for host in hosts:
            if host.name in free:
                continue
            host.longest_pause_seconds = min(max((serving.lease_seconds or 60.0) / 4, 2.0), LONGEST_PAUSE_SECONDS)
            running = self._running.get(host.name)
            if running is None or running.done():
                self._running[host.name] = self._threads.submit(self._renew, host, serving)

    def _free(self, names: Collection[str]) -> set[str]:
        """The hosts that hold no lease, as far as they have shown."""
        now = time.monotonic()
        known = {
            name: since for name, since in self._free_since.items() if name in names and now - since < FREE_SECONDS
        }
        self._free_since = known
        return set(known)

    def _forget_removed(self, named: Collection[str], serving: HostedSettings) -> None:
        """Forget the leases of hosts that are not named any more once they are surely over: nobody renews them."""
        for name in self._record.hosts() - set(named):
            running = self._running.get(name)
            if running is not None and not running.done():
                continue
            since = self._removed_since.setdefault(name, time.monotonic())
            if time.monotonic() - since > surely_over_after(self._record.longest(name), serving.lease_over):
                self._record.drop(name)
        for name in [name for name in self._removed_since if name in named]:
            del self._removed_since[name]

    def forget(self) -> None:
        """Another machine's controller leads: what this one knows is not so any more."""
        if ledger_place.url(self._project) is None:
            return
        with self._lock:
            self._record.clear()
            self._granted.clear()
            self._free_since.clear()

    def _renew(self, host: HostConnection, serving: HostedSettings) -> None:
        problem = ""
        try:
            seen = host.observe()
            self._grant(host, seen, serving, self._in_force(seen.models))  # in this order: see above
        except HostAbsentError:
            return
        except (ModelyardError, OSError) as error:
            problem = str(error)
        if problem != self._problems.get(host.name, ""):
            self._problems[host.name] = problem
            if problem:
                self._log(f"the leases of {host.name} are not renewed: {problem}")

    def _in_force(self, models: Collection[str]) -> Mapping[str, PinnedState]:
        """What the ledger pins now."""
        heads = ledgers.heads(self._project)
        found = {}
        for model in models:
            head = heads.get(model)
            if head is None:
                found[model] = NOTHING
                continue
            known = self._pinned.get(model)
            if known is None or known[0] != head:
                entries = ledgers.of(self._project, model).entries()
                last = (entries[-1].sequence, entries[-1].digest) if entries else head
                known = self._pinned[model] = (last, productions.decided(entries))
            found[model] = known[1]
        return found

    def _grant(
        self, host: HostConnection, seen: HostObservation, serving: HostedSettings, pinned: Mapping[str, PinnedState]
    ) -> None:
        seconds, refuses = serving.lease_seconds, serving.lease_over == "refuse"
        with self._lock:
            self._record.put(
                host.name, {model: self._longest(host.name, model, one) for model, one in seen.models.items()}
            )
            grants: dict[str, float | None] = {}
            for model, one in seen.models.items():
                if seconds is None:
                    if one.lease_seconds is not None or _reported(one) - {None}:
                        grants[model] = None
                elif is_in_force(one, pinned[model]) and self._is_due(host, model, one, seen, (seconds, refuses)):
                    grants[model] = seconds
                    self._granted[host.name, model] = (seen.clock_seconds, seconds, refuses)
            before = {model: self._record.get(host.name, model) for model in grants}
            self._record.put(
                host.name,
                {
                    model: None if granted is None or before[model] is None else max(granted, before[model] or 0.0)
                    for model, granted in grants.items()
                },
            )
            if seconds is None and not grants:
                self._free_since[host.name] = time.monotonic()
        if grants:
            host.grant(Grant(boot=seen.boot, since=seen.clock_seconds, seconds=grants, refuses=refuses))

    def _is_due(
        self,
        host: HostConnection,
        model: str,
        one: ModelObservation,
        seen: HostObservation,
        due: tuple[float, bool],
    ) -> bool:
        workers = one.status.workers if one.status is not None else []
        since, *granted = self._granted.get((host.name, model), (0.0, 0.0, False))
        age = seen.clock_seconds - since
        return (
            tuple(granted) != due
            or not 0 <= age < RENEWED_AFTER * due[0]
            or any(worker.lease_is_over or worker.lease_seconds != due[0] for worker in workers)
        )

    def _longest(self, host: str, model: str, one: ModelObservation) -> float | None:
        """The longest lease that a host's service may hold; None: it has none, or does not run."""
        if one.port is None:
            return None
        reported = _reported(one)
        if not reported:  # it does not answer now: it may hold what it held
            return self._record.get(host, model)
        if None in reported:
            return None
        granted = self._granted.get((host, model))
        return max([*(seconds for seconds in reported if seconds is not None), *([granted[1]] if granted else [])])


def _reported(one: ModelObservation) -> set[float | None]:
    return {worker.lease_seconds for worker in one.status.workers} if one.status is not None else set()


def is_in_force(one: ModelObservation, pinned: PinnedState) -> bool:
    """Whether every worker of a host's service holds the champion that is pinned, by the decision that pinned it."""
    workers = one.status.workers if one.status is not None else []
    if not workers or one.spec is None or one.spec.decision < pinned.sequence:
        return False
    champion = pinned.production.champion
    return all(
        worker.decision >= pinned.sequence
        and worker.champion_failed is None
        and (None if worker.champion is None else worker.champion.package_digest)
        == (None if champion is None else champion.package_digest)
        for worker in workers
    )


def surely_over_after(seconds: float, lease_over: str = "refuse") -> float:
    """How long after a decision was recorded a lease that knows nothing of it has run out, by another's clock."""
    margin = MARGIN_SECONDS if lease_over == "refuse" else BALANCER_SECONDS
    return seconds * (1 + CLOCK_RATE) + margin
