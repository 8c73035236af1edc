"""Live traffic of the services on this machine, from what their workers report: rates between two looks.

Services are looked at every few seconds while somebody reads a page, else every quarter of a minute.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

from components.contracts.serving_spec import RequestStats, ServiceStatus, SlotStatus
from components.core.errors import ModelyardError
from components.core.project import Project
from components.release.decision import ObservedState
from flows.platform import services
from flows.serving_targets.serving_target import target_of

WATCHED_SECONDS = 60.0  # after the last page that was read
PERIOD_SECONDS, CALM_PERIOD_SECONDS = 2.0, 15.0
TIMEOUT_SECONDS = 1.5
SAMPLES = 300
WINDOW_SECONDS = 60.0  # that a rate is of
_STATS = ("champion", "challenger")


@dataclass(frozen=True)
class _Sample:
    """One look. `counts` has requests and errors by (worker, role, version)."""

    time: float
    counts: dict[tuple[int, str, str], tuple[int, int]]


@dataclass(frozen=True)
class RoleTraffic:
    """Traffic of one role over the last minute.

    Args:
        requests: since the version came into its slot, over all workers.
        requests_per_second, error_rate: over the window; None: there is one look only, or there were no requests.
        p50_ms, p99_ms: of decoding and inference, over each worker's last 1,000 answers: the worst worker's.
        agreement: share of samples that champion and challenger answered alike (shadow); None: none was compared.
    """

    version: str
    requests: int
    errors: int
    requests_per_second: float | None
    error_rate: float | None
    p50_ms: float | None
    p99_ms: float | None
    agreement: float | None


@dataclass(frozen=True)
class Traffic:
    """A service as it was seen last.

    Args:
        answers: whether it answered.
        canary_percent: the policy's share of the challenger; None: there is no challenger.
        challenger_share: of the window's requests that the challenger answered; None: there were none, or it shadows.
        per_second: requests a second of both roles, look by look, for a small chart.
    """

    url: str | None
    answers: bool
    observed: ObservedState
    workers: int
    expected: int
    champion: RoleTraffic | None
    challenger: RoleTraffic | None
    canary_percent: float | None
    challenger_share: float | None
    per_second: list[float]


class TrafficSampler:
    """Looks at all services of a project again and again."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock = threading.Lock()
        self._samples: dict[str, deque[_Sample]] = {}
        self._last: dict[str, tuple[str | None, ServiceStatus | None]] = {}
        self._watched_at = float("-inf")
        self._wake = threading.Event()

    def start(self) -> None:
        """Look for good, in a thread."""
        threading.Thread(target=self._run, name="traffic", daemon=True).start()

    def watch(self) -> None:
        """Somebody reads a page: look more often for a minute."""
        is_new = time.monotonic() - self._watched_at > CALM_PERIOD_SECONDS
        self._watched_at = time.monotonic()
        if is_new:
            self._wake.set()

    def names(self) -> set[str]:
        """The models whose service the platform runs."""
        with self._lock:
            return set(self._last)

    def of(self, name: str) -> Traffic | None:
        """The traffic of a model; None if the platform runs no service of it."""
        with self._lock:
            if name not in self._last:
                return None
            url, status = self._last[name]
            samples = list(self._samples.get(name, ()))
        return _traffic(url, status, samples)

    def look(self) -> None:
        """One look at every service."""
        names = services.names(self._project)
        with ThreadPoolExecutor(max(1, min(8, len(names)))) as threads:
            seen = dict(zip(names, threads.map(self._status, names), strict=True))
        now = time.monotonic()
        with self._lock:
            self._last = seen
            self._samples = {name: one for name, one in self._samples.items() if name in seen}
            for name, (_, status) in seen.items():
                if status is not None:
                    self._samples.setdefault(name, deque(maxlen=SAMPLES)).append(_Sample(now, _counts(status)))

    def _status(self, name: str) -> tuple[str | None, ServiceStatus | None]:
        target = target_of(self._project, name)
        try:
            return target.url, target.status(TIMEOUT_SECONDS)
        except (ModelyardError, OSError):
            return None, None

    def _run(self) -> None:
        while True:
            begun = time.monotonic()
            try:
                self.look()
            except (ModelyardError, OSError) as error:
                print(f"the services could not be looked at: {error}", flush=True)
            watched = time.monotonic() - self._watched_at < WATCHED_SECONDS
            period = PERIOD_SECONDS if watched else CALM_PERIOD_SECONDS
            self._wake.wait(max(0.2, begun + period - time.monotonic()))
            self._wake.clear()


def _counts(status: ServiceStatus) -> dict[tuple[int, str, str], tuple[int, int]]:
    found = {}
    for worker in status.workers:
        for role in _STATS:
            slot: SlotStatus | None = getattr(worker, role)
            stats: RequestStats = getattr(worker, f"{role}_stats")
            if slot is not None:
                found[worker.worker, role, slot.version] = (stats.requests, stats.errors)
    return found


def _grown(before: _Sample, after: _Sample, role: str) -> tuple[int, int]:
    """Requests and errors of a role between two looks. Counts of a worker or version that is new begin at 0."""
    requests = errors = 0
    for key, (count, failed) in after.counts.items():
        if key[1] == role:
            earlier, earlier_failed = before.counts.get(key, (0, 0))
            restarted = count < earlier
            requests += count - (0 if restarted else earlier)
            errors += failed - (0 if restarted else earlier_failed)
    return requests, errors


def _traffic(url: str | None, status: ServiceStatus | None, samples: Sequence[_Sample]) -> Traffic:
    workers = status.workers if status is not None else []
    policy = next((worker.policy for worker in workers if worker.policy is not None), None)
    recent = [one for one in samples if samples[-1].time - one.time <= WINDOW_SECONDS]
    champion, challenger = (_role(role, status, recent) for role in _STATS)
    splits = challenger is not None and policy is not None and policy.canary_percent > 0
    totals = [_grown(recent[0], recent[-1], role)[0] if len(recent) > 1 else 0 for role in _STATS]
    return Traffic(
        url=url,
        answers=status is not None,
        observed=ObservedState.of(status),
        workers=len(workers),
        expected=status.expected if status is not None else 0,
        champion=champion,
        challenger=challenger,
        canary_percent=policy.canary_percent if policy is not None and challenger is not None else None,
        challenger_share=totals[1] / sum(totals) if sum(totals) and splits else None,
        per_second=[
            sum(_grown(one, other, role)[0] for role in _STATS) / max(1e-3, other.time - one.time)
            for one, other in pairwise(samples)
        ],
    )


def _role(role: str, status: ServiceStatus | None, recent: Sequence[_Sample]) -> RoleTraffic | None:
    slots = [(getattr(one, role), getattr(one, f"{role}_stats")) for one in (status.workers if status else ())]
    found = [(slot, stats) for slot, stats in slots if slot is not None and slot.state != "removed"]
    if not found:
        return None
    rate = error_rate = None
    if len(recent) > 1:
        requests, errors = _grown(recent[0], recent[-1], role)
        rate = requests / max(1e-3, recent[-1].time - recent[0].time)
        error_rate = errors / requests if requests else None
    compared = sum(stats.compared for _, stats in found)
    return RoleTraffic(
        version=found[0][0].version,
        requests=sum(stats.requests for _, stats in found),
        errors=sum(stats.errors for _, stats in found),
        requests_per_second=rate,
        error_rate=error_rate,
        p50_ms=max((stats.p50_ms for _, stats in found if stats.p50_ms is not None), default=None),
        p99_ms=max((stats.p99_ms for _, stats in found if stats.p99_ms is not None), default=None),
        agreement=sum(stats.agreed for _, stats in found) / compared if compared else None,
    )
