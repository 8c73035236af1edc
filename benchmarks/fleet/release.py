"""A release in simulated time: the steps of `flows/releases/flow.py`, in its order, with its records in the ledger.

Each function names the one that it follows. What a step computes takes a drawn time; what it decides and records does
what the platform's step does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import simpy

from benchmarks.fleet.service import OvertakenError, Replica
from components.contracts.serving_spec import ChallengerLimits, RolloutPolicy
from components.release import history
from components.release.decision import DesiredState
from components.release.entry import Entry, Event, Role, VersionRef
from components.release.history import Release
from components.release.ledger import MovedOnError
from components.release.production import PRODUCTION, Pin, Production
from flows.releases import telling
from flows.releases.observation import Recorded

if TYPE_CHECKING:
    from benchmarks.fleet.world import World

Steps = Generator[Any, Any, Any]
WATCH_SECONDS = 30.0
WAIT_SECONDS = 60.0
GATES_SECONDS = (60.0, 400.0)
LATE_SHARE, CLIENT_SECONDS = 0.005, 10.0  # of the writes of a spec hang, and how long a client waits
REPORT_SECONDS = (0.5, 4.0)  # the gates' report goes to the registry
LIMITS = ChallengerLimits(max_error_rate=0.01, max_latency_ratio=2.0, min_requests=100)
POLICIES = tuple(RolloutPolicy(canary_percent=percent, limits=LIMITS) for percent in (0.0, 10.0, 50.0))
PREEMPT, KILL, LOST = "preempt", "kill", "lost"


class RefusedError(Exception):
    """A gate says no, or the version fails in production."""


class SupersededError(Exception):
    """A newer order has come."""


class FailedError(Exception):
    """A step did not come to its end."""


@dataclass
class Actor:
    """Who carries something out: a controller's worker, or a person's command (without an epoch).

    Args:
        stalled_until: until when its machine does nothing, and does not know it.
        is_preemptible: whether a newer order ends what it does.
    """

    world: World
    name: str
    epoch: int | None
    stalled_until: Callable[[], float] = lambda: 0.0
    is_preemptible: bool = False

    def wait(self, *seconds: float) -> Steps:
        """So long, or a time drawn between two; longer where the machine stalls."""
        env = self.world.env
        yield env.timeout(seconds[0] if len(seconds) == 1 else self.world.between(*seconds))
        while env.now < self.stalled_until():
            yield env.timeout(self.stalled_until() - env.now)

    def call(self) -> Steps:
        """As long as a call of the registry, the database or the store of specs takes."""
        longest = self.world.settings.call_seconds
        yield from self.wait(longest / 10, longest)


@dataclass
class Rollout:
    """As `flows.releases.rollout.Rollout`."""

    actor: Actor
    model: str
    role: Role
    id: str
    current: VersionRef | None
    target: VersionRef | None
    asked_by: str
    done: set[Event] = field(default_factory=set)

    @property
    def world(self) -> World:
        """The simulation."""
        return self.actor.world

    @property
    def entries(self) -> list[Entry]:
        """The model's ledger."""
        return self.world.database.recorded(self.model).entries

    def record(self, event: Event, facts: Callable[[Sequence[Entry]], dict[str, Any]] = lambda _: {}) -> Steps:
        """As `Rollout.record_with`."""
        while event not in self.done:
            entries = self.entries
            own = tuple(entry for entry in entries if entry.release == self.id)
            if own and Release(own).end is not None:
                raise SupersededError
            yield from self.actor.call()
            try:
                self.world.database.append(
                    self.model,
                    event,
                    release=self.id,
                    role=self.role,
                    before=self.current,
                    after=self.target,
                    asked_by=self.asked_by,
                    facts=facts(entries),
                    if_last=len(entries),
                    epoch=self.actor.epoch,
                )
            except MovedOnError:
                continue
            self.done.add(event)

    def pin(self, event: Event, change: Callable[[Production], Production], **facts: Any) -> Steps:
        """As `Rollout.pin`."""

        def with_production(_: Sequence[Entry]) -> dict[str, Any]:
            pinned = change(self.world.database.recorded(self.model).production)
            return {**facts, PRODUCTION: pinned.model_dump(mode="json")}

        yield from self.record(event, with_production)

    def apply(self, staged: Pin | None = None) -> Steps:
        """As `Rollout.apply`; returns what is pinned."""
        return (yield from apply(self.actor, self.model, staged))

    def entry(self, event: Event) -> Entry | None:
        """As `Rollout.entry`."""
        own = tuple(entry for entry in self.entries if entry.release == self.id)
        return Release(own).entry(event) if own else None

    def is_still_desired(self) -> bool:
        """As `Rollout.is_still_desired`."""
        desired = DesiredState.of(self.world.registry.aliases(self.model)).of_role(self.role)
        return desired == (self.target.version if self.target else None)

    def converge(self, holds: Callable[[Replica], bool], what: str) -> Steps:
        """As `ServingTarget.wait`."""
        service, world = self.world.services[self.model], self.world
        deadline = world.env.now + WAIT_SECONDS
        while not (service.is_complete() and all(map(holds, service.reported()))):
            if world.env.now > deadline:
                raise FailedError(f"the workers did not {what} within {WAIT_SECONDS:.0f} s")
            yield from self.actor.wait(0.25)


def apply(actor: Actor, model: str, staged: Pin | None = None) -> Steps:
    """The spec names what the ledger pins; returns that. Between reading and writing others may decide and write."""
    world = actor.world
    while True:
        recorded = world.database.recorded(model)
        yield from actor.call()
        if world.settings.failures and world.chance(LATE_SHARE * world.settings.haste):
            world.env.process(_arrive_late(world, model, recorded, staged))
            yield from actor.wait(CLIENT_SECONDS)
            raise FailedError("the specs' store does not answer")
        try:
            world.services[model].apply(recorded.production, pinned_by(recorded.entries), staged)
        except OvertakenError:
            continue
        return recorded.production


def _arrive_late(world: World, model: str, recorded: Recorded, staged: Pin | None) -> Steps:
    """A write that its client has given up arrives all the same."""
    yield world.env.timeout(world.between(1.0, 120.0))
    try:
        world.services[model].apply(recorded.production, pinned_by(recorded.entries), staged)
    except OvertakenError:
        world.watch.late_refused += 1


def pinned_by(entries: Sequence[Entry]) -> int:
    """The number of the entry that decided last what production is made of."""
    return next((entry.sequence for entry in reversed(entries) if PRODUCTION in entry.facts), 0)


def carry_out(actor: Actor, model: str, role: Role, step: str, broken: str | None) -> Steps:
    """The flow `release`; returns whether the version was refused."""
    if step == "tell":
        yield from tell(actor, model)
        return False
    rollout = yield from _begin(actor, model, role, step == "withdraw", broken)
    if rollout is None:
        return False
    try:
        actor.is_preemptible = True
        try:
            yield from _steps(rollout, step == "withdraw")
        finally:
            actor.is_preemptible = False
    except RefusedError:
        try:
            yield from _refuse(rollout)
        except SupersededError:
            yield from _superseded(rollout)
            return False
        yield from _leave(rollout)
        return True
    except SupersededError:
        yield from _superseded(rollout)
    except simpy.Interrupt as interrupt:
        if interrupt.cause != PREEMPT:
            raise
        yield from _superseded(rollout)
    return False


def _begin(actor: Actor, model: str, role: Role, withdraws: bool, broken: str | None) -> Steps:
    """As `rollout.begin` and `_resumed`."""
    world = actor.world
    yield from actor.call()
    recorded = world.database.recorded(model)
    aliases = world.registry.aliases(model)
    desired = DesiredState.of(aliases).of_role(role)
    pin = recorded.production.champion if role == "champion" else recorded.production.challenger
    current = pin.side if pin is not None else None
    left = history.unfinished(recorded.entries, role)
    if left is not None:
        rollout = Rollout(actor, model, role, left.id, left.before, left.after, "registry", set(left.events))
        first = left.entries[0]
        is_decided = bool(rollout.done & (history.DECIDED | {"switching"})) or bool(first.facts.get("broken"))
        if is_decided or (rollout.target.version if rollout.target else None) == desired:
            return rollout
        yield from rollout.record("superseded")
        return None
    if role == "champion" and desired is None and not withdraws and broken is None:
        return None
    target = None
    if broken is not None:
        target = current if role == "champion" else None
    elif desired is not None:
        target = world.reference(model, desired)
    note = None if broken else world.registry.notes.get((model, role))
    is_fresh = note is not None and note.version == desired and not _is_consumed(note.id, recorded.entries)
    facts = {"broken": broken, **({"alias_note": note.id} if note is not None and is_fresh else {})}
    rollout = Rollout(actor, model, role, world.new_id(), current, target, "registry")
    yield from rollout.record("asked", lambda _: facts)
    return rollout


def _is_consumed(note: int, entries: Sequence[Entry]) -> bool:
    return any(entry.event == "asked" and entry.facts.get("alias_note") == note for entry in entries)


def _steps(rollout: Rollout, withdraws: bool) -> Steps:
    """As `flow._carry_out`."""
    actor, world = rollout.actor, rollout.world
    if "refusing" in rollout.done:
        raise RefusedError
    if rollout.role == "challenger" and (rollout.target is None or "removing" in rollout.done):
        yield from _remove_challenger(rollout)
        return
    if rollout.target is None:
        if not withdraws and "withdrawing" not in rollout.done:
            raise SupersededError
        yield from rollout.pin("withdrawing", lambda _: Production())
        is_reached = all(replica.host.is_reached for replica in world.services[rollout.model].replicas)
        world.services[rollout.model].stop()
        if not is_reached:
            yield from actor.wait(world.settings.outlasted_seconds)
        yield from rollout.record("withdrawn")
        return
    asked = rollout.entry("asked")
    if asked is not None and asked.facts.get("broken"):
        raise RefusedError
    digest = rollout.target.package_digest
    assert digest is not None
    version = world.versions[digest]
    yield from actor.wait(1.0, 5.0)
    yield from rollout.record("verified")
    yield from actor.wait(*((2.0, 30.0) if "bundled" not in rollout.done else (0.1, 0.5)))
    yield from rollout.record("bundled")
    if "switching" not in rollout.done:
        if "gated" not in rollout.done:
            yield from actor.wait(*GATES_SECONDS)
        if not version.passes_gates:
            raise RefusedError
        yield from rollout.record("gated")
        yield from _stage(rollout, version.pin)
        yield from actor.wait(1.0, 3.0)
        yield from rollout.record("proven")
    if "switched" not in rollout.done:
        yield from _switch(rollout, version.pin)
    yield from _watch(rollout, version.serves_well)
    yield from actor.call()
    aliases = world.registry.aliases(rollout.model)  # the registry must answer: `refusal.accept` tags the version
    if rollout.role == "champion" and aliases.get("challenger") == rollout.target.version:
        world.registry.set(rollout.model, "challenger", None, "platform")
    yield from rollout.record("served")


def _remove_challenger(rollout: Rollout) -> Steps:
    """As `challenger.remove`."""
    world, model = rollout.world, rollout.model
    asked = rollout.entry("asked")
    broken = asked.facts.get("broken") if asked is not None else None
    yield from rollout.pin("removing", lambda now: now.without_challenger())
    yield from rollout.apply()
    if broken is not None and rollout.current is not None:
        yield from rollout.actor.call()
        if DesiredState.of(world.registry.aliases(model)).challenger == rollout.current.version:
            world.registry.set(model, "challenger", None, "platform")
    if world.services[model].status() is not None:
        yield from rollout.converge(lambda one: one.challenger is None, "let the challenger go")
    yield from rollout.record("removed")


def _stage(rollout: Rollout, pin: Pin) -> Steps:
    """As `steps.stage`."""
    service = rollout.world.services[rollout.model]
    yield from rollout.apply(pin)
    service.start()

    def settled(one: Replica) -> bool:
        spec = service.spec
        return spec is not None and one.seen == spec.generation

    yield from rollout.converge(settled, f"load version {pin.version}")
    if any(pin.package_digest in one.failed for one in service.reported()):
        raise RefusedError
    yield from rollout.record("staged")


def _switch(rollout: Rollout, pin: Pin) -> Steps:
    """As `steps.switch`."""
    yield from rollout.actor.call()
    if "switching" not in rollout.done and not rollout.is_still_desired():
        raise SupersededError
    proves = "no-prove" not in rollout.world.settings.broken
    if rollout.role == "champion":
        yield from rollout.pin("switching", lambda now: now.with_champion(pin))
        yield from rollout.apply()
        if proves:
            yield from rollout.converge(lambda one: one.champion == pin, f"serve version {pin.version}")
    else:
        policy = rollout.world.policies[rollout.model]
        yield from rollout.pin("switching", lambda now: now.with_challenger(pin, policy))
        yield from rollout.apply()
        if proves:
            yield from rollout.converge(lambda one: one.challenger == pin, f"take version {pin.version}")
    yield from rollout.record("switched")


def _watch(rollout: Rollout, serves_well: bool) -> Steps:
    """As `steps.watch`."""
    world = rollout.world
    if "no-prove" in world.settings.broken:
        return
    service = world.services[rollout.model]
    end = world.env.now + (WATCH_SECONDS if rollout.role == "champion" else 0.0)
    last_seen = world.env.now
    while True:
        now = world.env.now
        if service.is_complete():
            last_seen = now
        if now - last_seen > WAIT_SECONDS / 2:
            raise RefusedError
        if now >= end and now - last_seen < 1.5:
            break
        if not rollout.is_still_desired():
            raise SupersededError
        yield from rollout.actor.wait(1.0)
    if not serves_well and rollout.role == "champion":
        raise RefusedError


def _refuse(rollout: Rollout) -> Steps:
    """As `refusal.refuse`."""
    world, model = rollout.world, rollout.model
    if "refusing" not in rollout.done:
        champion = world.database.recorded(model).production.champion
        target = rollout.target.package_digest if rollout.target else None
        if rollout.role == "champion" and champion is not None and champion.package_digest == target:
            yield from rollout.pin("refusing", _without, returned=True)
        else:
            yield from rollout.record("refusing", lambda _: {"returned": False})
    decided = rollout.entry("refusing")
    assert decided is not None
    back = (yield from rollout.apply()).champion
    stuck = False
    if decided.facts["returned"] and back is not None and world.services[model].status() is not None:
        try:
            yield from rollout.converge(lambda one: one.champion == back, f"go back to version {back.version}")
        except FailedError:  # a newer promotion must not wait for a bundle that was damaged
            stuck = True
    yield from rollout.actor.wait(*REPORT_SECONDS)
    if rollout.target is not None and ("no-look" in world.settings.broken or rollout.is_still_desired()):
        pinned = world.database.recorded(model).production
        pin = pinned.champion if rollout.role == "champion" else pinned.challenger
        yield from rollout.actor.call()
        world.registry.set_back(model, rollout.role, pin.version if pin else None, rollout.target.version)
    yield from rollout.record(
        "returned" if decided.facts["returned"] else "refused", lambda _: {"stuck": True} if stuck else {}
    )


def _without(now: Production) -> Production:
    challenger = now.challenger if now.previous is not None else None
    return Production(champion=now.previous, challenger=challenger, policy=now.policy if challenger else None)


def _leave(rollout: Rollout) -> Steps:
    pinned = yield from rollout.apply()
    if pinned.champion is None and rollout.world.services[rollout.model].is_started:
        rollout.world.services[rollout.model].stop()


def _superseded(rollout: Rollout) -> Steps:
    with suppress(SupersededError):
        yield from rollout.record("superseded")
    own = Release(tuple(entry for entry in rollout.entries if entry.release == rollout.id))
    if own.end is not None and own.end.event == "superseded":
        yield from rollout.apply()


def tell(actor: Actor, model: str) -> Steps:
    """As `telling.tell`."""
    world = actor.world
    recorded = world.database.recorded(model)
    release = recorded.untold
    if release is None:
        return
    yield from actor.call()
    champion = recorded.production.champion
    aliases = world.registry.aliases(model)
    if champion is not None and alias_precedes(world, model, release, aliases.get("champion"), recorded.entries):
        yield from actor.call()
        world.registry.set_back(model, "champion", champion.version, aliases.get("champion"))
    yield from Recorder(actor, model, release)("told")


def alias_precedes(world: World, model: str, release: Release, alias: str | None, entries: list[Entry]) -> bool:
    """As `telling.alias_precedes`; the notes are the simulation's."""
    if alias == (release.after.version if release.after else None):
        return False
    note = world.registry.notes.get((model, "champion"))
    if note is not None and note.version == alias:
        return note.at < release.entries[0].time
    return alias is None or alias in telling.handled_by(release, entries)


class Recorder:
    """As `rollback.Recorder`."""

    def __init__(self, actor: Actor, model: str, release: Release) -> None:
        self.actor, self.model, self.id = actor, model, release.id
        self.first = release.entries[0]

    def __call__(self, event: Event, **facts: Any) -> Steps:
        """Record a step, unless it is recorded or the release has its end."""
        database = self.actor.world.database
        while True:
            entries = database.recorded(self.model).entries
            own = Release(tuple(entry for entry in entries if entry.release == self.id))
            if own.entry(event) is not None or (own.end is not None and event != "told"):
                return
            yield from self.actor.call()
            try:
                first = self.first
                database.append(
                    self.model,
                    event,
                    release=self.id,
                    role=first.role,
                    before=first.before,
                    after=first.after,
                    asked_by=first.asked_by,
                    facts=facts,
                    if_last=len(entries),
                    epoch=self.actor.epoch,
                )
            except MovedOnError:
                continue
            return


def roll_back(actor: Actor, model: str, to: str | None, asked_by: str) -> Steps:
    """As `rollback.roll_back`.

    Raises:
        ModelyardError: nothing served before.
    """
    world = actor.world
    while True:
        recorded = world.database.recorded(model)
        entries = recorded.entries
        open_release = history.unfinished(entries, "champion")
        if open_release is not None and open_release.is_direct and to is None:
            yield from finish(actor, model, open_release)
            return
        pin = history.rollback_target(entries, model, to)
        yield from actor.call()
        current = recorded.production.champion
        note = world.registry.notes.get((model, "champion")) if to is not None else None
        try:
            entry = world.database.append(
                model,
                "asked",
                release=world.new_id(),
                role="champion",
                before=current.side if current else None,
                after=pin.side,
                asked_by=asked_by,
                facts={
                    "going_back": True,
                    **({"alias_note": note.id} if note is not None and not _is_consumed(note.id, entries) else {}),
                    PRODUCTION: recorded.production.with_champion(pin).model_dump(mode="json"),
                },
                if_last=len(entries),
                epoch=actor.epoch,
            )
        except MovedOnError:
            continue
        if open_release is not None:
            yield from close(actor, model, open_release)
        yield from finish(actor, model, Release((entry,)))
        return


def close(actor: Actor, model: str, release: Release) -> Steps:
    """As `rollback.close`."""
    yield from Recorder(actor, model, release)("superseded")


def finish(actor: Actor, model: str, release: Release) -> Steps:
    """As `rollback.finish`: a rollback or a changed policy, from where it was left."""
    world, record = actor.world, Recorder(actor, model, release)
    service = world.services[model]
    if release.role == "challenger":
        policy = world.database.recorded(model).production.policy
        if policy is None:
            yield from record("superseded")
            return
        yield from apply(actor, model)
        rollout = Rollout(actor, model, "challenger", release.id, release.before, release.after, "pipeline")
        if service.status() is not None:
            yield from rollout.converge(lambda one: one.challenger is None or one.policy == policy, "apply the policy")
        yield from record("switched")
        yield from record("served")
        return
    for other in history.releases(world.database.recorded(model).entries):
        if other.end is None and other.id != release.id and other.role == "champion":
            yield from close(actor, model, other)
            break
    pin = (yield from apply(actor, model)).champion
    if pin is None or release.after is None or pin.package_digest != release.after.package_digest:
        yield from record("superseded")
        return
    if "switched" not in release.events:
        service.start()
        deadline = world.env.now + WAIT_SECONDS
        while not (service.is_complete() and all(one.champion == pin for one in service.reported())):
            if service.is_complete() and any(one.champion_failed == pin for one in service.reported()):
                yield from _give_up(actor, model, release)
                raise FailedError(f"version {pin.version} cannot be loaded any more")
            if world.env.now > deadline:
                raise FailedError(f"the workers did not serve version {pin.version}")
            yield from actor.wait(0.25)
        yield from record("switched")
    yield from record("served")


def _give_up(actor: Actor, model: str, release: Release) -> Steps:
    """As `rollback._give_up`."""
    entries = actor.world.database.recorded(model).entries
    first = release.entries[0].sequence
    before = actor.world.production_before(model, entries, first)
    record = Recorder(actor, model, release)
    yield from record("refusing", **{PRODUCTION: before.model_dump(mode="json")})
    yield from apply(actor, model)
    yield from record("refused")


def set_policy(actor: Actor, model: str, policy: RolloutPolicy) -> Steps:
    """As `rollback.set_policy`."""
    world = actor.world
    while True:
        recorded = world.database.recorded(model)
        beside = recorded.production.challenger
        if beside is None or recorded.production.policy == policy:
            return
        yield from actor.call()
        try:
            entry = world.database.append(
                model,
                "asked",
                release=world.new_id(),
                role="challenger",
                before=beside.side,
                after=beside.side,
                asked_by="pipeline",
                facts={PRODUCTION: recorded.production.with_policy(policy).model_dump(mode="json")},
                if_last=len(recorded.entries),
                epoch=actor.epoch,
            )
        except MovedOnError:
            continue
        yield from finish(actor, model, Release((entry,)))
        return
