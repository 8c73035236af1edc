"""A simulated controller: leads by a lease, looks at the models in which something changed, hands steps to workers.

It does with a decision what `flows/releases/controller.py` does. A look at a model in which nothing has changed gives
the decision of before, so it is left out; every ten minutes all models are looked at, and what a look that was left out
would have found is a defect of the simulation.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import simpy

from benchmarks.fleet import release as releases
from benchmarks.fleet.release import KILL, LOST, PREEMPT, Actor, FailedError
from benchmarks.fleet.store import AwayError, FencedError
from components.core.errors import ModelyardError
from components.release import history
from components.release.decision import Decision, DesiredState, ObservedState, Situation, decide, is_superseded
from flows.releases.controller import COMING_UP_SECONDS, DEFAULT_GRACE_SECONDS, LONGEST_PAUSE_SECONDS, PERIOD_SECONDS
from flows.releases.observation import SETTLE_SECONDS

if TYPE_CHECKING:
    from benchmarks.fleet.world import World

LEASE_SECONDS, RENEW_SECONDS = 10.0, 2.0
LOOK_AT_ALL_SECONDS = 600.0
ORPHANED_SHARE = 0.5  # of a killed controller's workers go on


@dataclass
class Memory:
    """As the controller's `Memory`."""

    gone_since: float | None = None
    silent_since: float | None = None
    desired: DesiredState | None = None
    failures: int = 0
    not_before: float = 0.0
    refused: Decision | None = None
    decision: Decision | None = None
    release: str | None = None
    actor: Actor | None = None
    process: simpy.Process | None = None


class Controller:
    """One of the two."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.is_alive = True
        self.starts = 1
        self.epoch: int | None = None
        self.until = self.renewed = self.stalled_until = 0.0
        self.looked_at_all = 0.0
        self.memories: dict[str, Memory] = {}
        self.dirty: set[str] = set()
        self.due: list[tuple[float, str]] = []
        self._run = world.env.process(self._live())

    def kill(self) -> None:
        """As SIGKILL: some of its workers go on without it."""
        self.is_alive, self.epoch = False, None
        for memory in self.memories.values():
            if memory.process is not None and memory.process.is_alive and not self.world.chance(ORPHANED_SHARE):
                memory.process.interrupt(KILL)
        self.memories = {}

    def restart(self) -> None:
        """A new process, which knows nothing."""
        self.is_alive, self.stalled_until, self.starts = True, 0.0, self.starts + 1
        self._run = self.world.env.process(self._live())

    def _live(self) -> Generator[Any, Any, None]:
        env = self.world.env
        starts = self.starts
        while True:
            yield env.timeout(PERIOD_SECONDS)
            while env.now < self.stalled_until:
                yield env.timeout(self.stalled_until - env.now)
            if not self.is_alive or self.starts != starts:
                return
            self._lead()
            if self.epoch is not None:
                self.world.watch.renewed()
                self._look_at_changed()

    def _lead(self) -> None:
        world, now = self.world, self.world.env.now
        if self.epoch is not None and now - self.renewed < RENEW_SECONDS:
            return
        try:
            epoch = world.database.take_lease(self._holder(), LEASE_SECONDS)
        except AwayError:
            epoch = self.epoch if now < self.until else None
        else:
            self.renewed, self.until = now, now + LEASE_SECONDS
        if epoch == self.epoch:
            return
        if self.epoch is not None and "no-fence" in world.settings.broken:
            return  # it goes on after it has lost its lease
        for memory in self.memories.values():
            if memory.process is not None and memory.process.is_alive:
                memory.process.interrupt(LOST)
        self.epoch = epoch
        if epoch is not None:
            self.memories, self.due = {}, []
            self.dirty = set(world.services)
            self.looked_at_all = now
            world.watch.led(self.name)

    def _holder(self) -> str:
        """Another one for each start: what an earlier process has left going on must not share its epoch."""
        return self.name if "same-name" in self.world.settings.broken else f"{self.name}-{self.starts}"

    def _look_at_changed(self) -> None:
        now = self.world.env.now
        while self.due and self.due[0][0] <= now:
            self.dirty.add(heapq.heappop(self.due)[1])
        looked, self.dirty = sorted(self.dirty), set()
        for place, model in enumerate(looked):
            try:
                self._reconcile(model)
            except AwayError:
                self.dirty.update(looked[place:])
                return
        if now - self.looked_at_all >= LOOK_AT_ALL_SECONDS and self.world.database.is_up:
            self.looked_at_all = now
            self._look_at_all(now)

    def _look_at_all(self, now: float) -> None:
        waiting = {model for _, model in self.due}
        for model in self.world.services:
            memory = self.memories.get(model)
            if memory is None or memory.process is not None or model in self.dirty or model in waiting:
                continue
            aliases = self._aliases(model)
            decision = decide(self.situation(model, memory, aliases, now))
            if decision is not None and decision.step != "wait":
                self.world.watch.missed(model, decision)

    def situation(self, model: str, memory: Memory, aliases: dict[str, str] | None, now: float) -> Situation:
        """As `Observer.situation`."""
        world = self.world
        recorded, service = world.database.recorded(model), world.services[model]
        desired = DesiredState.of(aliases) if aliases is not None else None
        status, spec = service.status(), service.spec
        untold = recorded.untold
        return Situation(
            production=recorded.production,
            open=recorded.open,
            untold=untold,
            desired=desired,
            alias_is_stale=untold is not None
            and desired is not None
            and releases.alias_precedes(world, model, untold, desired.champion, recorded.entries),
            observed=ObservedState.of(status) if status is not None else None,
            service=service.state() if status is None else "running",
            spec_is_pinned=service.is_applied(recorded.production),
            staged=spec is not None and spec.staged is not None,
            policy=world.policies[model],
            going_back=self._goes_back(model, desired),
            champion_gone=self._is_champion_gone(memory, desired, now),
            unregistered=recorded.unregistered,
            settling=service.state() == "starting" or (spec is not None and now - spec.at < SETTLE_SECONDS),
        )

    def _aliases(self, model: str) -> dict[str, str] | None:
        try:
            return self.world.registry.aliases(model)
        except AwayError:
            return None

    def _goes_back(self, model: str, desired: DesiredState | None) -> bool:
        recorded = self.world.database.recorded(model)
        champion = recorded.production.champion
        if desired is None or desired.champion is None or champion is None or desired.champion == champion.version:
            return False
        try:
            pin = history.rollback_target(recorded.entries, model, desired.champion)
        except ModelyardError:
            return False
        return pin.package_digest != champion.package_digest

    def _is_champion_gone(self, memory: Memory, desired: DesiredState | None, now: float) -> bool:
        if desired is None:
            return False
        if desired.champion is not None:
            memory.gone_since = None
            return False
        memory.gone_since = memory.gone_since or now
        return now - memory.gone_since >= DEFAULT_GRACE_SECONDS

    def _reconcile(self, model: str) -> None:
        """As `Controller._reconcile`."""
        now = self.world.env.now
        memory = self.memories.setdefault(model, Memory())
        aliases = self._aliases(model)
        desired = DesiredState.of(aliases) if aliases is not None else None
        if memory.process is not None:
            self._preempt(model, memory, desired)
            return
        if desired is not None and memory.desired != desired:
            memory.desired, memory.failures, memory.not_before, memory.refused = desired, 0, 0.0, None
        if now < memory.not_before:
            self._again(model, memory.not_before)
            return
        situation = self.situation(model, memory, aliases, now)
        decision = decide(situation)
        if situation.settling:
            self._again(model, now + 1.0)
        if decision is None:
            memory.refused, memory.failures = None, 0
        elif decision.step == "wait":
            self._again(model, now + 2.0)
        elif self._is_coming_up(situation, decision, memory, now):
            self._again(model, now + 1.0)
        elif decision == memory.refused:
            memory.refused = None
            self._failed(model, memory)
        else:
            memory.decision, memory.release = decision, None
            memory.actor = Actor(self.world, self.name, self.epoch, lambda: self.stalled_until)
            memory.process = self.world.env.process(self._do(model, memory, decision, situation))

    def _preempt(self, model: str, memory: Memory, desired: DesiredState | None) -> None:
        """As `_is_superseded`, and the signal."""
        decision, actor, process = memory.decision, memory.actor, memory.process
        if decision is None or actor is None or process is None or decision.step not in ("release", "withdraw"):
            return
        entries = self.world.database.recorded(model).entries
        own = next((one for one in history.releases(entries) if one.id == memory.release), None)
        if own is not None and own.end is not None:
            overtaken = own.end.event == "superseded"
        else:
            left = history.unfinished(entries, decision.role)
            if left is None or left.is_direct:
                return
            if own is None:
                memory.release = left.id
            overtaken = left.id == memory.release and is_superseded(left, decision.role, desired)
        if overtaken and actor.is_preemptible and process.is_alive and process.target is not None:
            actor.is_preemptible = False
            self.world.watch.preempted += 1
            process.interrupt(PREEMPT)

    def _is_coming_up(self, situation: Situation, decision: Decision, memory: Memory, now: float) -> bool:
        if situation.observed is not None or situation.service == "stopped" or decision.step in ("apply", "roll back"):
            memory.silent_since = None
            return False
        if decision.step in ("tell", "withdraw", "close"):
            return False
        memory.silent_since = memory.silent_since or now
        return now - memory.silent_since < COMING_UP_SECONDS

    def _do(self, model: str, memory: Memory, decision: Decision, situation: Situation) -> Generator[Any, Any, None]:
        world, actor = self.world, memory.actor
        assert actor is not None
        world.watch.steps[decision.step] += 1
        try:
            refused = yield from self._step(model, actor, decision, situation)
        except simpy.Interrupt:
            return
        except FencedError:
            memory.process = None
            self.dirty.add(model)
            return
        except (AwayError, FailedError, ModelyardError) as error:
            world.watch.failures[type(error).__name__] += 1
            memory.process = None
            self._failed(model, memory)
        else:
            memory.process = None
            memory.refused = decision if refused else None
            if decision.retries:
                self._failed(model, memory)
            else:
                memory.failures = 0
        self.dirty.add(model)

    def _step(self, model: str, actor: Actor, decision: Decision, situation: Situation) -> Generator[Any, Any, bool]:
        service, step = self.world.services[model], decision.step
        left = situation.open.get(decision.role)
        yield from actor.call()
        if step in ("release", "withdraw", "tell"):
            refused = yield from releases.carry_out(actor, model, decision.role, step, decision.broken)
            return bool(refused)
        if step == "apply":
            yield from releases.apply(actor, model)
        elif step == "start":
            yield from releases.apply(actor, model)
            service.start()
        elif step == "stop":
            service.stop()
        elif step == "close" and left is not None:
            yield from releases.close(actor, model, left)
        elif step == "set policy" and situation.policy is not None:
            yield from releases.set_policy(actor, model, situation.policy)
        elif step == "roll back":
            if left is not None and left.is_direct:
                yield from releases.finish(actor, model, left)
            elif situation.desired is not None and situation.desired.champion is not None:
                yield from releases.roll_back(actor, model, situation.desired.champion, "registry")
        return False

    def _failed(self, model: str, memory: Memory) -> None:
        memory.failures += 1
        memory.not_before = self.world.env.now + min(LONGEST_PAUSE_SECONDS, 2.0 ** (memory.failures - 1))
        self._again(model, memory.not_before)

    def _again(self, model: str, at: float) -> None:
        heapq.heappush(self.due, (at, model))
