"""The simulated service of a model: its spec, its replicas on hosts, and what they report."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from components.contracts.serving_spec import ServiceStatus, SlotStatus, WorkerStatus
from components.release.production import Pin, Production

if TYPE_CHECKING:
    from benchmarks.fleet.world import World

Timeouts = Generator[Any, Any, None]
REPLACE_SECONDS = 60.0  # a replica on a host that is not reached for so long gets a successor elsewhere
START_SECONDS = (3.0, 8.0)
FOLLOW_SECONDS = (0.05, 0.5)  # until a worker sees a new spec
LOAD_SECONDS = (1.0, 6.0)
SLOW_SHARE, SLOW_FACTOR = 0.03, 15.0
CRASH_SHARE = 0.01  # of the loads, the process dies


class OvertakenError(Exception):
    """The spec carries out a later decision than the one to be written."""


@dataclass
class Host:
    """A machine. One that is cut off runs on, and neither sees specs nor reports."""

    name: str
    is_up: bool = True
    is_cut: bool = False
    replicas: list[Replica] = field(default_factory=list)

    @property
    def is_reached(self) -> bool:
        """Whether the control plane reaches it."""
        return self.is_up and not self.is_cut


@dataclass(frozen=True)
class Spec:
    """What the replicas are to hold."""

    generation: int
    decision: int
    production: Production
    staged: Pin | None
    at: float


class Replica:
    """One serving process. `life` counts its starts: what an earlier life was waiting for does not happen."""

    def __init__(self, service: Service, host: Host) -> None:
        self.service, self.host, self.world = service, host, service.world
        self.life = 0
        self.is_running = self.is_retired = self.reconnects = self.is_lease_over = self._follows = False
        self.seen = 0
        self.loaded: set[str] = set()
        self.failed: set[str] = set()
        self.champion: Pin | None = None
        self.champion_failed: Pin | None = None
        self.challenger: Pin | None = None
        self.previous: Pin | None = None
        self.staged: Pin | None = None
        self.policy: Any = None
        self.broken: str | None = None
        host.replicas.append(self)

    @property
    def answers(self) -> Pin | None:
        """The version that answers requests here."""
        return self.champion if self.host.is_up and self.is_running and not self.is_lease_over else None

    def start(self, after: float | None = None) -> None:
        """Start the process, empty."""
        self.end()
        self.world.env.process(self._start(self.world.between(*START_SECONDS) if after is None else after))

    def end(self) -> None:
        """The process is gone."""
        self.life += 1
        self.is_running = self.reconnects = self.is_lease_over = self._follows = False
        self.seen = 0
        self.loaded, self.failed = set(), set()
        self.champion = self.champion_failed = self.challenger = self.previous = self.staged = None
        self.policy = self.broken = None
        self.world.look(self.service.model)

    def leave(self) -> None:
        """The process is gone, for good."""
        self.end()
        if self in self.host.replicas:
            self.host.replicas.remove(self)

    def follow(self) -> None:
        """Reconcile with the spec, soon."""
        if self.is_running and not self._follows:
            self._follows = True
            self.world.env.process(self._follow())

    def status(self) -> WorkerStatus:
        """As a worker of the platform reports it."""
        challenger = _slot(self.challenger)
        if challenger is not None and self.broken is not None:
            challenger = challenger.model_copy(update={"state": "removed", "reason": self.broken})
        return WorkerStatus(
            worker=1,
            generation=self.seen,
            code="",
            champion=_slot(self.champion),
            champion_failed=_slot(self.champion_failed, "failed"),
            challenger=challenger,
            policy=self.policy,
            previous=_slot(self.previous),
            staged=_slot(self.staged),
        )

    def _start(self, after: float) -> Timeouts:
        life = self.life
        yield self.world.env.timeout(after)
        if life == self.life and self.host.is_up and not self.is_retired:
            self.is_running = True
            self.follow()

    def _follow(self) -> Timeouts:
        life, world = self.life, self.world
        yield world.env.timeout(world.between(*FOLLOW_SECONDS))
        while life == self.life and self.host.is_reached:
            if self.is_retired:
                self.leave()
                return
            spec = self.service.spec
            if spec is None or self.seen == spec.generation:
                break
            yield from self._take(spec, life)
        if life == self.life:
            self._follows = False
            if self.host.is_reached:
                self.reconnects = self.is_lease_over = False
            self.world.look(self.service.model)

    def _take(self, spec: Spec, life: int) -> Timeouts:
        wanted = spec.production
        if wanted.challenger is None or self.challenger != wanted.challenger:
            self.challenger = self.broken = None
        self.failed.clear()
        for slot, pin in (
            ("champion", wanted.champion),
            ("previous", wanted.previous),
            ("challenger", wanted.challenger),
            ("staged", spec.staged),
        ):
            if pin is not None and pin.package_digest not in self.loaded:
                yield from self._load(pin)
                if life != self.life:
                    return
                current = self.service.spec
                if current is None or (current.generation != spec.generation and self.host.is_reached):
                    return
            self._put(slot, pin)
            self.world.look(self.service.model)
        self.policy = wanted.policy
        self.loaded &= {pin.package_digest for pin in (*wanted.pins, spec.staged) if pin is not None}
        self.seen = spec.generation
        self.world.look(self.service.model)

    def _load(self, pin: Pin) -> Timeouts:
        world = self.world
        slow = SLOW_FACTOR if world.chance(SLOW_SHARE) else 1.0
        life = self.life
        yield world.env.timeout(world.between(*LOAD_SECONDS) * slow)
        if life != self.life:
            return
        if world.settings.failures and world.chance(CRASH_SHARE):
            self.start()
        elif world.versions[pin.package_digest].is_loadable:
            self.loaded.add(pin.package_digest)
        else:
            self.failed.add(pin.package_digest)

    def _put(self, slot: str, pin: Pin | None) -> None:
        is_loaded = pin is None or pin.package_digest in self.loaded
        if slot == "champion":
            self.champion_failed = None if is_loaded else pin
            if is_loaded:
                self.champion = pin
        elif slot == "previous":
            self.previous = pin if is_loaded else None
            if self.champion is None and self.champion_failed is not None:
                self.champion = self.previous  # at a start: the version before it answers instead
        else:
            setattr(self, slot, pin if is_loaded else None)


class Service:
    """A model's service, as `ServingTarget` shows it."""

    def __init__(self, world: World, model: str, replicas: int) -> None:
        self.world, self.model, self.size = world, model, replicas
        self.spec: Spec | None = None
        self.is_started = False
        self.replicas: list[Replica] = []

    def apply(self, production: Production, decision: int, staged: Pin | None = None) -> None:
        """Write the spec.

        Raises:
            OvertakenError: the present one carries out a later decision.
        """
        present = self.spec
        if present is not None and present.decision > decision and "no-order" not in self.world.settings.broken:
            raise OvertakenError
        generation = 1 if present is None else present.generation + 1
        self.spec = Spec(generation, decision, production, staged, self.world.env.now)
        self._tell()

    def is_applied(self, production: Production) -> bool:
        """Whether the spec names this production."""
        if self.spec is None:
            return production == Production()
        return self.spec.production == production

    def start(self, *, warm: bool = False) -> None:
        """Run the replicas, each on another host."""
        if self.is_started:
            return
        hosts = self.world.free_hosts(self.size)
        self.is_started = True
        self.replicas = [Replica(self, host) for host in hosts]
        for replica in self.replicas:
            replica.start(0.0 if warm else None)
        self.world.look(self.model)

    def stop(self) -> None:
        """End the replicas, and the spec with them. One that is not reached runs on until it is."""
        self.is_started, self.spec = False, None
        for replica in self.replicas:
            self._retire(replica)
        self.replicas = []
        self.world.look(self.model)

    def replace(self, replica: Replica) -> None:
        """A replica that is not reached gets a successor on another host.

        Raises:
            FailedError: no host is free.
        """
        if replica not in self.replicas:
            return
        (host,) = self.world.free_hosts(1, beside=[other.host for other in self.replicas])
        self.replicas.remove(replica)
        self._retire(replica)
        successor = Replica(self, host)
        self.replicas.append(successor)
        successor.start()

    def reported(self) -> list[Replica]:
        """The replicas that answer the control plane."""
        return [one for one in self.replicas if one.is_running and one.host.is_reached and one.seen]

    def is_complete(self) -> bool:
        """Whether every replica reports."""
        return self.is_started and len(self.reported()) >= self.size

    def status(self) -> ServiceStatus | None:
        """As the platform's service answers; None where no replica does."""
        found = self.reported()
        if not found:
            return None
        workers = [replica.status() for replica in found]
        return ServiceStatus(model=self.model, expected=self.size, workers=workers)

    def state(self) -> Literal["running", "starting", "stopped"]:
        """Whether its processes run."""
        if not self.is_started:
            return "stopped"
        return "running" if self.reported() else "starting"

    def _tell(self) -> None:
        for replica in self.replicas:
            replica.follow()
        self.world.touch(self.model)

    def _retire(self, replica: Replica) -> None:
        replica.is_retired = True
        if replica.host.is_up and not replica.host.is_reached:
            return  # cut off: it answers on until it is reached
        replica.leave()


def _slot(pin: Pin | None, state: Literal["ready", "failed", "removed"] = "ready") -> SlotStatus | None:
    if pin is None:
        return None
    reason = None if state == "ready" else "its file is broken"
    return SlotStatus(version=pin.version, package_digest=pin.package_digest, state=state, reason=reason, since=0.0)
