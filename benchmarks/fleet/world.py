"""The world of the simulation: models, hosts, two controllers, people, and what fails. All of it is drawn by a seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import simpy

from benchmarks.fleet import release as releases
from benchmarks.fleet.controller import Controller
from benchmarks.fleet.release import POLICIES, Actor, FailedError
from benchmarks.fleet.service import REPLACE_SECONDS, Host, Replica, Service
from benchmarks.fleet.store import BEGIN, AwayError, Database, Registry
from benchmarks.fleet.watch import Watch
from components.contracts.serving_spec import RolloutPolicy
from components.core.errors import ModelyardError
from components.release import production as productions
from components.release.entry import Entry, Event, Role, VersionRef
from components.release.production import PRODUCTION, Pin, Production
from flows.serving_targets.host_leases import surely_over_after

HOUR, DAY = 3600.0, 86400.0
REPLICAS = 3
HASTY = ("asked", "staged", "switching", "switched", "refusing")  # entries at which some people roll back
STEPS: tuple[Event, ...] = (
    "asked", "verified", "bundled", "gated", "staged", "proven", "switching", "switched", "served",
)  # fmt: skip
BREAKS = {
    "no-fence": "a leader goes on after it has lost its lease, and nobody refuses what it writes",
    "no-prove": "a release is `served` before every replica says so",
    "no-order": "a spec of an earlier decision replaces one of a later decision",
    "same-name": "a controller that starts again goes on under the lease of the process before it",
    "no-look": "a refusal sets the alias back without looking at what it names, in no way",
    "no-condition": "a refusal looks at the alias, and sets it back in a second call, as with MLflow alone",
}


@dataclass(frozen=True)
class Settings:
    """How large, how long, what fails.

    Args:
        call_seconds: the longest that a call of the database or the registry takes; races are the likelier.
        haste: so many times as often controllers fail, writes hang, and people ask for something else at once.
        host_days: between two failures of a host, on average.
        lease_seconds: a host that is cut off for so long answers nobody; None: it answers on.
    """

    models: int = 1000
    hosts: int = 200
    hours: float = 24.0
    seed: int = 0
    failures: bool = True
    call_seconds: float = 0.05
    haste: float = 1.0
    broken: frozenset[str] = frozenset()
    lease_seconds: float | None = None
    host_days: float = 4.0

    @property
    def outlasted_seconds(self) -> float:
        """After so long a host that is not reached surely answers nobody, where there are leases."""
        return 0.0 if self.lease_seconds is None else surely_over_after(self.lease_seconds)


@dataclass(frozen=True)
class Version:
    """A registered version, and what will become of it."""

    pin: Pin
    passes_gates: bool = True
    is_loadable: bool = True
    serves_well: bool = True


class World:
    """Everything there is. `run` simulates it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.env = simpy.Environment()
        self.dice = random.Random(settings.seed)
        self.watch = Watch(self)
        self.database = Database(self.env, "no-fence" not in settings.broken, self.watch.appended)
        self.registry = Registry(self.database, self._alias_set)
        self.registry.is_conditional = not {"no-look", "no-condition"} & set(settings.broken)
        self.hosts = [Host(f"host-{number:03}") for number in range(settings.hosts)]
        self.versions: dict[str, Version] = {}
        self.latest: dict[str, int] = {}
        self.services: dict[str, Service] = {}
        self.policies: dict[str, RolloutPolicy] = {}
        self.controllers: list[Controller] = []
        self._all_replicas: dict[str, list[Replica]] = {}
        self._productions: dict[tuple[str, int], Production] = {}
        for number in range(settings.models):
            self._add_model(f"model-{number:04}")
        self.controllers = [Controller(self, name) for name in ("a", "b")]

    def run(self) -> Watch:
        """Simulate."""
        for model in self.services:
            for process in (self._promotes, self._rolls_back, self._challenges, self._withdraws):
                self.env.process(process(model))
        if self.settings.failures:
            for host in self.hosts:
                self.env.process(self._host_fails(host))
            for part in (self.database, self.registry):
                self.env.process(self._goes_away(part))
            for controller in self.controllers:
                self.env.process(self._controller_fails(controller))
            self.env.process(self._files_break())
        self.env.run(until=self.settings.hours * HOUR)
        self.watch.finish()
        return self.watch

    # What the parts ask for.

    def chance(self, share: float) -> bool:
        """Whether something happens."""
        return self.dice.random() < share

    def between(self, low: float, high: float) -> float:
        """A time between two."""
        return self.dice.uniform(low, high)

    def new_id(self) -> str:
        """Of a release."""
        return f"{self.dice.getrandbits(48):012x}"

    def look(self, model: str) -> None:
        """Something about the model's replicas has changed."""
        if model in self.services:
            self.watch.look(model)
            self.touch(model)

    def touch(self, model: str) -> None:
        """The controllers are to look at a model."""
        for controller in self.controllers:
            controller.dirty.add(model)

    def reference(self, model: str, version: str) -> VersionRef:
        """A version with its package's digest."""
        return VersionRef(version=version, package_digest=_digest(model, version))

    def replicas_of(self, model: str) -> list[Replica]:
        """The replicas of a model, with those that were replaced and do not know it."""
        known = self._all_replicas.setdefault(model, [])
        current = self.services[model].replicas
        known[:] = [one for one in known if one in one.host.replicas] + [one for one in current if one not in known]
        return known

    def free_hosts(self, count: int, beside: Sequence[Host] = ()) -> list[Host]:
        """Hosts that are reached, for new replicas."""
        found = [host for host in self.hosts if host.is_reached and host not in beside]
        if len(found) < count:
            raise FailedError(f"{len(found)} hosts are free, {count} are needed")
        return self.dice.sample(found, count)

    def production_before(self, model: str, entries: Sequence[Entry], sequence: int) -> Production:
        """What was pinned before an entry."""
        key = (model, sequence)
        if key not in self._productions:
            before = [entry for entry in entries if entry.sequence < sequence and PRODUCTION in entry.facts]
            self._productions[key] = productions.decided(before[-1:]).production
        return self._productions[key]

    @staticmethod
    def seconds_of(time: str) -> float:
        """A time of the ledger in simulated seconds."""
        return (datetime.fromisoformat(time) - BEGIN).total_seconds()

    # Models and people.

    def _add_model(self, model: str) -> None:
        """A model whose first version serves."""
        service = Service(self, model, REPLICAS)
        self.policies[model] = POLICIES[0]
        pin = self._train(model, good=True).pin
        self.services[model] = service
        self.registry.set(model, "champion", pin.version, "begin")
        production = Production(champion=pin)
        release = self.new_id()
        for place, event in enumerate(STEPS):
            facts = {PRODUCTION: production.model_dump(mode="json")} if event == "switching" else {}
            self.database.append(
                model, event, release=release, role="champion", before=None, after=pin.side, asked_by="ann",
                facts=facts, if_last=place, epoch=None,
            )  # fmt: skip
        service.apply(production, 7)
        service.start(warm=True)

    def _train(self, model: str, *, good: bool = False) -> Version:
        """The next version, registered."""
        number = self.latest[model] = self.latest.get(model, 0) + 1
        digest = _digest(model, str(number))
        pin = Pin(version=str(number), package_digest=digest, bundle=f"{model}:{digest[:12]}", bundle_digest=digest)
        fate = 1.0 if good else self.dice.random()
        version = Version(pin, fate >= 0.08, not 0.08 <= fate < 0.09, not 0.09 <= fate < 0.11)
        self.versions[digest] = version
        return version

    def _alias_set(self, model: str, role: Role, version: str | None, by: str) -> None:
        self.watch.alias_set(model, role, version, by)
        self.touch(model)

    def read(self, model: str, event: Event) -> None:
        """A person reads a new entry of the ledger, and at times wants something else at once."""
        if event == "refusing" and self.chance(0.5):
            self.env.process(self._promotes_instead(model))
        elif event in HASTY and self.chance(0.01 * self.settings.haste):
            self.env.process(self._rolls_back_soon(model))

    def _promotes_instead(self, model: str) -> Generator[Any, Any, None]:
        yield self.env.timeout(self.between(0.1, 10.0 / self.settings.haste))
        yield from self._set(model, "champion", self._train(model).pin.version)

    def _rolls_back_soon(self, model: str) -> Generator[Any, Any, None]:
        yield self.env.timeout(self.between(0.0, 5.0))
        yield from self._rollback_command(model)

    def _set(self, model: str, role: Role, version: str | None) -> Generator[Any, Any, None]:
        """A person sets an alias, again and again until the registry answers."""
        while True:
            try:
                self.registry.set(model, role, version, "ann")
            except AwayError:
                yield self.env.timeout(self.between(1.0, 30.0))
            else:
                return

    def _promotes(self, model: str) -> Generator[Any, Any, None]:
        while True:
            yield self.env.timeout(self.dice.expovariate(1 / (6 * HOUR)))
            while True:
                version = str(self.dice.randint(1, self.latest[model]))
                if not self.chance(0.1):  # else one of before
                    version = self._train(model).pin.version
                yield from self._set(model, "champion", version)
                if not self.chance(0.25):
                    break
                yield self.env.timeout(self.dice.expovariate(1 / 200.0))  # again, while it is on its way

    def _rolls_back(self, model: str) -> Generator[Any, Any, None]:
        while True:
            yield self.env.timeout(self.dice.expovariate(1 / (2 * DAY)))
            command = self.env.process(self._rollback_command(model))
            if self.settings.failures and self.chance(0.2):
                yield self.env.timeout(self.between(0.0, 5.0))
                if command.is_alive and command.target is not None:
                    command.interrupt(releases.KILL)

    def _rollback_command(self, model: str) -> Generator[Any, Any, None]:
        actor = Actor(self, "ann", None)
        try:
            self.watch.rolled_back(model)
            yield from releases.roll_back(actor, model, None, "ann")
        except (AwayError, FailedError, ModelyardError, simpy.Interrupt) as error:
            self.watch.failures[f"rollback command: {type(error).__name__}"] += 1

    def _challenges(self, model: str) -> Generator[Any, Any, None]:
        while True:
            yield self.env.timeout(self.dice.expovariate(1 / DAY))
            version = self._train(model).pin.version
            yield from self._set(model, "challenger", version)
            yield self.env.timeout(self.dice.expovariate(1 / (2 * HOUR)))
            self.policies[model] = self.dice.choice(POLICIES)
            self.touch(model)
            if self.chance(0.3):
                self._breaks_limits(model, version)
            elif self.chance(0.5):
                yield from self._set(model, "champion", version)
            else:
                yield from self._set(model, "challenger", None)

    def _breaks_limits(self, model: str, version: str) -> None:
        for replica in self.services[model].replicas:
            if replica.challenger is not None and replica.challenger.version == version:
                replica.broken = "12 % of its answers failed"
        self.look(model)

    def _withdraws(self, model: str) -> Generator[Any, Any, None]:
        while True:
            yield self.env.timeout(self.dice.expovariate(1 / (20 * DAY)))
            yield from self._set(model, "champion", None)
            yield self.env.timeout(self.between(5.0, 600.0))
            yield from self._set(model, "champion", self._train(model).pin.version)

    # What fails.

    def _host_fails(self, host: Host) -> Generator[Any, Any, None]:
        while True:
            yield self.env.timeout(self.dice.expovariate(1 / (self.settings.host_days * DAY)))
            if self.chance(0.5):
                yield from self._dies(host)
            else:
                yield from self._is_cut_off(host)

    def _dies(self, host: Host) -> Generator[Any, Any, None]:
        host.is_up = False
        for replica in list(host.replicas):
            replica.end()
        self.env.process(self._replaced(host, list(host.replicas)))
        yield self.env.timeout(self.between(20.0, HOUR))
        host.is_up = True
        for replica in list(host.replicas):
            if replica.is_retired:
                host.replicas.remove(replica)
            else:
                replica.start()
            self.look(replica.service.model)

    def _is_cut_off(self, host: Host) -> Generator[Any, Any, None]:
        host.is_cut = True
        for replica in host.replicas:
            self.look(replica.service.model)
        self.env.process(self._replaced(host, list(host.replicas)))
        back = self.env.now + self.between(5.0, HOUR / 2)
        if self.settings.lease_seconds is not None:
            yield self.env.timeout(min(self.settings.lease_seconds, back - self.env.now))
            for replica in host.replicas if self.env.now < back else ():
                replica.is_lease_over = True
                self.look(replica.service.model)
        yield self.env.timeout(back - self.env.now)
        for replica in host.replicas:
            replica.reconnects = replica.is_running
        host.is_cut = False
        for replica in list(host.replicas):
            replica.follow()
            self.look(replica.service.model)

    def _replaced(self, host: Host, replicas: list[Replica]) -> Generator[Any, Any, None]:
        lives = [replica.life for replica in replicas]
        yield self.env.timeout(max(REPLACE_SECONDS, self.settings.outlasted_seconds))
        if host.is_reached:
            return
        for replica, life in zip(replicas, lives, strict=True):
            if replica.life == life:
                with suppress(FailedError):  # no host is free: it waits for its own
                    replica.service.replace(replica)
                self.look(replica.service.model)

    def _goes_away(self, part: Database | Registry) -> Generator[Any, Any, None]:
        while True:
            yield self.env.timeout(self.dice.expovariate(1 / (4 * HOUR)))
            part.is_up = False
            yield self.env.timeout(self.between(10.0, 300.0))
            part.is_up = True
            for model in self.services:
                self.touch(model)

    def _controller_fails(self, controller: Controller) -> Generator[Any, Any, None]:
        while True:
            yield self.env.timeout(self.dice.expovariate(self.settings.haste / HOUR))
            if self.chance(0.5):
                self.watch.leader_lost(controller.name)
                controller.kill()
                yield self.env.timeout(self.between(1.0, 60.0))
                controller.restart()
            else:
                controller.stalled_until = self.env.now + self.between(2.0, 90.0)

    def _files_break(self) -> Generator[Any, Any, None]:
        """A bundle of a champion breaks on the disk: the next process that starts cannot load it."""
        while True:
            yield self.env.timeout(self.dice.expovariate(1 / (6 * HOUR)))
            pinned = self.database.truth(self.dice.choice(list(self.services))).production.champion
            if pinned is not None:
                before = self.versions[pinned.package_digest]
                self.versions[pinned.package_digest] = Version(pinned, before.passes_gates, False, before.serves_well)


def _digest(model: str, version: str) -> str:
    return hashlib.sha256(f"{model} {version}".encode()).hexdigest()
