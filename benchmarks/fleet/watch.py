"""The invariants, looked at with every event, and what is counted. It sees the simulation's truth, not what is told."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.release.decision import Decision
from components.release.entry import CLOSING, Entry, Role
from components.release.production import PRODUCTION

if TYPE_CHECKING:
    from benchmarks.fleet.service import Replica
    from benchmarks.fleet.world import World

REQUESTS_PER_SECOND = 10.0  # of a replica
PROOFS = ("switched", "served", "returned", "withdrawn")  # every replica that is reached serves what is pinned
LOST_SECONDS = 4 * 3600.0  # a promotion that nothing became of for so long is lost
NOT_IN_FORCE, STALE, INSTEAD = "not in force", "stale", "instead"


@dataclass
class Promotion:
    """What a person asked for, and what became of it: served, refused, overtaken."""

    version: str
    at: float
    outcome: str | None = None
    begun: float | None = None
    converged: float | None = None


@dataclass(frozen=True)
class Violation:
    """An invariant that did not hold."""

    at: float
    model: str
    what: str

    def __str__(self) -> str:
        return f"at {self.at:,.3f} s, {self.model}: {self.what}"


class Watch:
    """Looks at what the simulation does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.violations: list[Violation] = []
        self.kinds: Counter[str] = Counter()
        self.promotions: dict[str, list[Promotion]] = {}
        self.requests: defaultdict[str, float] = defaultdict(float)
        self.steps: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.preempted = self.entries = self.late_refused = 0
        self.leaderless_since: float | None = 0.0
        self.take_overs: list[float] = []
        self.stale_seconds: list[float] = []
        self.leader: str | None = None
        self.silent_seconds = self._renewed_at = 0.0
        self._since: dict[str, float] = {}
        self._states: dict[str, Counter[str]] = {}
        self._wrong: dict[str, str] = {}
        self._stale: dict[Replica, float] = {}
        self._last_epoch: dict[str, int] = {}
        self._in_force: dict[str, tuple[int, set[str]]] = {}

    def violated(self, model: str, kind: str, what: str) -> None:
        """An invariant does not hold."""
        self.kinds[kind] += 1
        if self.kinds[kind] <= 3:
            self.violations.append(Violation(float(self.world.env.now), model, f"{kind}: {what}"))

    def missed(self, model: str, decision: Decision) -> None:
        """The simulation left a look out at which a step was due."""
        self.violated(model, "simulation", f"a look was left out at which a step was due: {decision}")

    def look(self, model: str) -> None:
        """After every change of a replica or of the ledger: what answers requests, and may it?"""
        service, now = self.world.services[model], float(self.world.env.now)
        before = self._states.get(model)
        if before is not None:
            seconds = now - self._since[model]
            for kind, replicas in before.items():
                self.requests[kind] += replicas * seconds * REQUESTS_PER_SECOND
            if seconds > 0 and before[NOT_IN_FORCE]:  # a state that lasts no time answers nothing
                since = f"since {self._since[model]:,.3f} s {self._wrong[model]}"
                self.violated(model, NOT_IN_FORCE, since)
        allowed = self.in_force(model)
        state: Counter[str] = Counter()
        for replica in self.world.replicas_of(model):
            answers = replica.answers
            if answers is None:
                self._ended(replica, now)
                continue
            kind = self._kind(replica, answers.package_digest, allowed, service.replicas)
            state[kind] += 1
            if kind == STALE:
                self._stale.setdefault(replica, now)
            else:
                self._ended(replica, now)
            if kind == NOT_IN_FORCE:
                versions = ", ".join(sorted(self.world.versions[digest].pin.version for digest in allowed))
                in_force = versions or "none"
                self._wrong[model] = f"{replica.host.name} answers with version {answers.version}; in force: {in_force}"
        self._states[model], self._since[model] = state, now
        self._converged(model, now)

    def _kind(self, replica: Replica, digest: str, allowed: set[str], current: list[Replica]) -> str:
        if digest in allowed:
            return "in force"
        spec = self.world.services[replica.service.model].spec
        if not replica.host.is_reached or replica not in current or replica.reconnects:
            return STALE
        if replica.champion_failed is not None and spec is not None and replica.seen == spec.generation:
            return INSTEAD
        if replica.champion_failed is not None and replica.champion == replica.previous:
            return INSTEAD
        return NOT_IN_FORCE

    def _ended(self, replica: Replica, now: float) -> None:
        since = self._stale.pop(replica, None)
        if since is not None:
            self.stale_seconds.append(now - since)

    def in_force(self, model: str) -> set[str]:
        """Packages that may answer: the pinned champion, and those before it until every replica serves it."""
        recorded = self.world.database.truth(model)
        count = len(recorded.entries)
        if (known := self._in_force.get(model)) is not None and known[0] == count:
            return known[1]
        pinned = recorded.production.champion
        allowed = set() if pinned is None else {pinned.package_digest}
        for entry in reversed(recorded.entries):
            if PRODUCTION in entry.facts:
                pinned = self.world.production_before(model, recorded.entries, entry.sequence).champion
                allowed |= set() if pinned is None else {pinned.package_digest}
            elif entry.role == "champion" and entry.event in PROOFS:
                after = entry.after.package_digest if entry.after is not None else None
                is_back = entry.event == "returned" and not entry.facts.get("stuck")
                if is_back or pinned is None or after == pinned.package_digest:
                    break
        self._in_force[model] = (count, allowed)
        return allowed

    def appended(self, model: str, entry: Entry, epoch: int | None) -> None:
        """After every new entry: the order of releases is whole, and none is carried out twice."""
        self.entries += 1
        entries = self.world.database.chains[model].entries
        own = [one for one in entries[:-1] if one.release == entry.release]
        if any(one.event == entry.event for one in own):
            self.violated(model, "carried out twice", f"`{entry.event}` is recorded twice of release {entry.release}")
        if any(one.event in CLOSING for one in own) and entry.event != "told":
            self.violated(model, "order", f"`{entry.event}` comes after the end of release {entry.release}")
        if len(entries) > 1 and (entries[-2].digest != entry.previous or entries[-2].time > entry.time):
            self.violated(model, "order", f"entry {entry.sequence} does not follow from the one before it")
        if entry.event == "asked":
            self._asked(model, entry)
        if epoch is not None:
            if epoch < self._last_epoch.get(model, 0):
                self.violated(model, "order", f"an old leader (epoch {epoch}) records `{entry.event}` after a new one")
            self._last_epoch[model] = max(epoch, self._last_epoch.get(model, 0))
        if entry.role == "champion" and epoch is not None:
            self.world.read(model, entry.event)
        if entry.event in CLOSING:
            self.ends[f"{entry.role} {entry.event}"] += 1
            self._close(model, entry)
        self.look(model)
        self.world.touch(model)

    def _asked(self, model: str, entry: Entry) -> None:
        entries = self.world.database.chains[model].entries[:-1]
        ended = {one.release for one in entries if one.event in CLOSING}
        left = {one.release for one in entries if one.role == entry.role} - ended
        if left and PRODUCTION not in entry.facts:
            self.violated(model, "carried out twice", f"release {entry.release} begins beside {sorted(left)[0]}")
        note = entry.facts.get("alias_note")
        if note is not None and any(one.event == "asked" and one.facts.get("alias_note") == note for one in entries):
            self.violated(model, "carried out twice", f"a second release for the same change of the alias ({note})")
        promotion = self._open_promotion(model)
        if promotion and entry.role == "champion" and entry.after and entry.after.version == promotion.version:
            promotion.begun = promotion.begun or float(self.world.env.now)

    def alias_set(self, model: str, role: Role, version: str | None, by: str) -> None:
        """Before an alias is set: the platform must not overwrite what a person asked for and nothing became of."""
        if role != "champion" or by == "begin":
            return
        promotion = self._open_promotion(model)
        if by == "platform":
            if promotion is not None and promotion.version != version and not self._is_refused(model, promotion):
                what = f"the platform sets the alias to {version}, {promotion.version} was asked for"
                self.violated(model, "a promotion is lost", f"{what} {self.world.env.now - promotion.at:.3f} s before")
                promotion.outcome = "lost"
            return
        if promotion is not None:
            promotion.outcome = "overtaken"
        if version is not None:
            champion = self.world.database.truth(model).production.champion
            is_there = champion is not None and champion.version == version
            found = Promotion(version, float(self.world.env.now), "there" if is_there else None)
            self.promotions.setdefault(model, []).append(found)

    def rolled_back(self, model: str) -> None:
        """A person's rollback overtakes what was asked for before."""
        if (promotion := self._open_promotion(model)) is not None:
            promotion.outcome = "overtaken"

    def _is_refused(self, model: str, promotion: Promotion) -> bool:
        """Whether the release of it has decided on its refusal, or what is pinned was decided against it since."""
        entries = self.world.database.truth(model).entries
        own = [entry for entry in entries if entry.after is not None and entry.after.version == promotion.version]
        refusing = [entry for entry in own if entry.event == "refusing" and entry.role == "champion"]
        begun = promotion.begun is not None and promotion.begun >= promotion.at
        return bool(refusing) and (begun or promotion.at <= self._seconds(refusing[-1]))

    def _seconds(self, entry: Entry) -> float:
        return self.world.seconds_of(entry.time)

    def _close(self, model: str, entry: Entry) -> None:
        promotion = self._open_promotion(model)
        if promotion is None or entry.role != "champion" or entry.after is None:
            return
        if entry.after.version == promotion.version and entry.event in ("served", "refused", "returned"):
            promotion.outcome = "served" if entry.event == "served" else "refused"

    def _open_promotion(self, model: str) -> Promotion | None:
        found = self.promotions.get(model)
        return found[-1] if found and found[-1].outcome is None else None

    def _converged(self, model: str, now: float) -> None:
        found = self.promotions.get(model)
        if not found or found[-1].converged is not None or found[-1].outcome not in (None, "served"):
            return
        service, promotion = self.world.services[model], found[-1]
        answering = [replica.answers for replica in service.replicas]
        if service.is_started and all(pin is not None and pin.version == promotion.version for pin in answering):
            promotion.converged = now

    def renewed(self) -> None:
        """A controller that leads looks at the hosts, and renews their leases if it can read the ledger."""
        if not self.world.database.is_up:
            return
        now, lease = float(self.world.env.now), self.world.settings.lease_seconds
        if lease is not None:
            self.silent_seconds += max(0.0, now - self._renewed_at - lease)
        self._renewed_at = now

    def led(self, name: str) -> None:
        """A controller has taken the lease."""
        if self.leaderless_since is not None and self.leader is not None:
            self.take_overs.append(float(self.world.env.now) - self.leaderless_since)
        self.leaderless_since, self.leader = None, name

    def leader_lost(self, name: str) -> None:
        """The leader was killed."""
        if self.leader == name:
            self.leaderless_since = float(self.world.env.now)

    def finish(self) -> None:
        """At the end: chains are whole, and something became of every promotion."""
        for model in self.world.services:
            self.look(model)
            self.world.database.check(model)
            promotion = self._open_promotion(model)
            if promotion is not None and self.world.env.now - promotion.at > LOST_SECONDS:
                what = f"nothing became of version {promotion.version}, asked for at {promotion.at:,.0f} s"
                self.violated(model, "a promotion is lost", what)
