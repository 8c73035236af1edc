"""Months of a model in production, hour by hour: traffic, answers, truths, alarms, orders, versions.

Decided by the code of production: the monitor of drift, the test of the accuracy on labels, the comparison with a
challenger, and the policy. Simulated: requests and truths (`world`), retrained models (`model_version`), what a person
does, how long a retraining takes. What an order does takes effect with the next full hour.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts.rehearsal_request import PolicySpec
from components.drift.distances import Real
from components.monitoring import policy
from components.monitoring.policy import MonitorAlarm, MonitorOrder, PastOrder
from components.rehearsal import clock, model_version, window_alarms
from components.rehearsal.challenger import Challenger
from components.rehearsal.model_version import ModelVersion, ReferenceRows
from components.rehearsal.outcome import (
    Cost,
    Rehearsed,
    RehearsedAlarm,
    RehearsedDay,
    RehearsedEvent,
    RehearsedOrder,
)
from components.rehearsal.pool import take
from components.rehearsal.window_alarms import WindowRows
from components.rehearsal.world import HOURS_A_DAY, Hour, Integers, World

LEAST_LEVEL = 0.02  # difference of levels of the change that counts as one
DEFAULT_RETRAIN_HOURS = 1.0
MODEL = "rehearsed"  # in the identities of orders


class _Answered(NamedTuple):
    """The champion's answers of an hour, by rows of the pool."""

    version: ModelVersion
    places: Integers


class _Arrived(NamedTuple):
    """Labels that arrive: of whom, right or not as told; of a shadow also whether the challenger was right."""

    version: ModelVersion
    is_champion: bool
    right: NDArray[np.bool_]
    shadow: ModelVersion | None
    shadow_right: NDArray[np.bool_] | None


class _Later(NamedTuple):
    hour: float
    do: Callable[[float], None]


class Simulation:
    """One policy in one scenario.

    Args:
        training_seconds: of the model's last training; None: not known.
        reference: of the package; None: rows of the pool.
    """

    def __init__(
        self, policy_spec: PolicySpec, world: World, seed: int, training_seconds: float | None,
        reference: ReferenceRows | None = None,
    ) -> None:  # fmt: skip
        self.spec, self.world, self.pool, self.seed = policy_spec.monitor, world, world.pool, seed
        self.policy, self.training_seconds, self.clock = policy_spec, training_seconds, world.clock
        self.first = model_version.first(self.pool, world, self.spec, seed, reference)
        self.champion: ModelVersion = self.first
        self.challenger: Challenger | None = None
        self.is_stopped = False
        self.former: list[ModelVersion] = []
        self.versions, self.is_training, self.labels_told = 1, False, 0
        self.later: list[_Later] = []
        self.answered: dict[str, float] = {}  # when a person answered proposals of an action
        self.past: list[PastOrder] = []
        self.alarms: list[RehearsedAlarm] = []
        self.orders: list[RehearsedOrder] = []
        self.events: list[RehearsedEvent] = []
        self.open: dict[str, list[_Answered]] = {}
        self.arriving: dict[str, list[_Arrived]] = defaultdict(list)
        self.counts = np.zeros((world.hours, 5), np.int64)  # answers, wrong, wrong without, unanswered, refused
        self.told = np.zeros((world.hours, 2), np.int64)  # labels, right ones
        self.retrainings = self.messages = 0
        self.notes: list[str] = []

    def run(self, advance: Callable[[int], None]) -> Rehearsed:
        """The whole time; `advance` is told of hours that are over."""
        hour = 0
        for over, seconds in self.clock.looks(self.spec):
            while hour < over:
                self._serve(hour)
                hour += 1
                advance(1)
            self._look(over, seconds)
        return self._result()

    # traffic

    def _serve(self, hour: int) -> None:
        """The requests of an hour, and the labels that they will have."""
        due = [one for one in self.later if one.hour <= hour]
        self.later = [one for one in self.later if one.hour > hour]
        for one in due:
            one.do(float(hour))
        requests = self.world.draw(hour)
        is_known = self.pool.is_scored
        refused = ~self.pool.answered[requests.places]
        if self.policy.enforce == "reject":
            refused |= self.pool.missed[requests.places]
        kept = np.flatnonzero(~refused)
        wrong_without = int((self.first.right[requests.places[kept]] == 0).sum()) if is_known else 0
        if self.is_stopped:
            self.counts[hour] = (0, 0, wrong_without, len(kept), int(refused.sum()))
            return
        requests = requests.of(kept)
        own, other = self._shared(requests)
        right = self._right(self.champion, requests.places)
        if other is not None and self.challenger is not None:
            right[other] = self.challenger.version.right[requests.places[other]] == 1
        wrong = int((~right).sum()) if is_known else 0
        self.counts[hour] = (len(kept), wrong, wrong_without, 0, int(refused.sum()))
        window = self.clock.window(hour, self.spec.window)
        self.open.setdefault(window, []).append(_Answered(self.champion, requests.places[own]))
        if self.pool.has_labels:
            self._tell(hour, requests, own, other)

    def _shared(self, requests: Hour) -> tuple[Integers, Integers | None]:
        """Which requests the champion answers, and which a canary does."""
        everything = np.arange(len(requests.places))
        if self.challenger is None or self.challenger.is_shadow:
            return everything, None
        is_canary = requests.sides < self.policy.canary_percent / 100
        return everything[~is_canary], everything[is_canary]

    @staticmethod
    def _right(version: ModelVersion, places: Integers) -> NDArray[np.bool_]:
        return np.asarray(version.right[places] == 1)

    def _tell(self, hour: int, requests: Hour, own: Integers, other: Integers | None) -> None:
        """Keep the truths that will be told of the answers of this hour, by the window in which they arrive."""
        challenger = self.challenger
        self._arrive(hour, requests, own, self.champion, None if challenger is None else challenger.version)
        if other is not None and challenger is not None:
            self._arrive(hour, requests, other, challenger.version, None)

    def _arrive(
        self, hour: int, requests: Hour, chosen: Integers, version: ModelVersion, shadow: ModelVersion | None
    ) -> None:
        is_told = requests.told[chosen] >= 0
        chosen = chosen[is_told]
        arrives = hour + requests.told[chosen]
        is_shadowed = shadow is not None and self.challenger is not None and self.challenger.is_shadow
        for at in np.unique(arrives[arrives < self.world.hours]).tolist():
            part = chosen[arrives == at]
            right = self._as_told(version.right, requests, part)
            shadow_right = None
            if is_shadowed and shadow is not None:
                shadow_right = self._as_told(shadow.right, requests, part)
            window = self.clock.window(at, self.spec.window)
            self.arriving[window].append(
                _Arrived(version, version is self.champion, right, shadow if is_shadowed else None, shadow_right)
            )
            self.told[at] += (len(right), int(right.sum()))

    @staticmethod
    def _as_told(right: Real, requests: Hour, part: Integers) -> NDArray[np.bool_]:
        """A wrong truth makes a right answer wrong; a wrong answer stays wrong."""
        return np.asarray((right[requests.places[part]] == 1) & ~requests.flipped[part])

    # looks

    def _look(self, over: int, seconds: float) -> None:
        """Judge what is over, and carry out what follows."""
        done = {self.clock.window(over, self.spec.window)} if over < self.world.hours else set()
        is_over = [name for name in {**self.open, **self.arriving} if not done or name < min(done)]
        alarms: list[MonitorAlarm] = []
        for name in sorted(is_over):
            alarms += self._judge(name)
        hour = self.clock.hour(seconds)
        self._record(alarms, hour)
        if self.challenger is not None:
            found = self.challenger.decision(hour, self.world.spec.person_hours)
            if found is not None:
                self._settle(self.challenger, *found, hour)
        ordered = policy.decide(self.spec.actions, MODEL, alarms, self.past, seconds)
        for order in ordered:
            self._carry_out(order, hour, seconds)

    def _judge(self, name: str) -> list[MonitorAlarm]:
        alarms: list[MonitorAlarm] = []
        answered = self.open.pop(name, [])
        own = [one.places for one in answered if one.version is self.champion]
        if own and sum(map(len, own)):
            places = np.concatenate(own)
            vectors = self.pool.embedding if self.policy.keeps_inputs else None
            rows = WindowRows(
                name,
                take(self.pool, places, self.champion.labels),
                self.pool.missed[places],
                None if vectors is None else vectors[places],
            )
            alarms += window_alarms.of_window(self.spec, self.champion, rows, self.seed)
        return alarms + self._judge_labels(name)

    def _judge_labels(self, name: str) -> list[MonitorAlarm]:
        arrived = self.arriving.pop(name, [])
        answered = [one.right for one in arrived if one.version is self.champion and one.is_champion]
        own = np.concatenate([np.zeros(0, bool), *answered])
        self.labels_told += sum(len(one.right) for one in arrived)
        if self.challenger is not None:
            rival = self.challenger.version
            if self.challenger.is_shadow:
                pairs = [one for one in arrived if one.version is self.champion and one.shadow is rival]
                champion = [bool(value) for one in pairs for value in one.right]
                others = [bool(value) for one in pairs if one.shadow_right is not None for value in one.shadow_right]
            else:
                champion = own.tolist()
                others = [bool(value) for one in arrived if one.version is rival for value in one.right]
            self.challenger.learn(champion, others)
        right = int(own.sum())
        return window_alarms.of_labels(self.spec, self.champion, name, right, len(own) - right, self.seed)

    def _record(self, alarms: list[MonitorAlarm], hour: float) -> None:
        level = self.world.level(min(int(hour), self.world.hours - 1))
        for alarm in alarms:
            is_true: bool | None = abs(level - self.champion.level) > LEAST_LEVEL
            limit, accuracy = self.spec.limits.live_accuracy, self.world.accuracy(self.champion.right, level)
            if alarm.trigger == "live_quality" and limit is not None and accuracy is not None:
                is_true = accuracy < limit
            if self.world.spec.name == "recorded":
                is_true = None
            self.alarms.append(
                RehearsedAlarm(hour=hour, window=alarm.window, trigger=alarm.trigger, text=alarm.text, is_true=is_true)
            )

    # orders

    def _carry_out(self, order: MonitorOrder, hour: float, seconds: float) -> None:
        alarm = order.alarm
        outcome = ""
        if order.mode == "carry_out":
            outcome = self._do(order.action, hour)
        elif order.mode == "propose":
            wait = self.world.spec.person_hours
            outcome = f"a person carries it out after {wait:g} h"
            self.later.append(_Later(hour + wait, lambda now: self._approved(order, hour, now)))
        is_ordered = order.mode == "carry_out"
        state: policy.State = "done" if is_ordered else "proposed" if order.mode == "propose" else "held_back"
        self.past.append(
            PastOrder(order.id, order.action, alarm.trigger, seconds, state, seconds if is_ordered else None)
        )
        self.orders.append(
            RehearsedOrder(hour=hour, window=alarm.window, trigger=alarm.trigger, action=order.action, mode=order.mode,
                           why=order.why, outcome=outcome)
        )  # fmt: skip

    def _approved(self, order: MonitorOrder, proposed: float, hour: float) -> None:
        """A person carries a proposal out, and with it answers all of the same action that were made until then."""
        if proposed <= self.answered.get(order.action, -1.0):
            return
        self.answered[order.action] = hour
        place = len(self.events)
        outcome = self._do(order.action, hour)
        self.past = [
            one._replace(state="done", ordered=self.clock.seconds(hour)) if one.id == order.id else one
            for one in self.past
        ]
        self.events.insert(place, self._event("approved", self.champion, hour, f"{order.action}: {outcome}"))

    def _do(self, action: str, hour: float) -> str:
        return {"notify": self._notify, "retrain": self._retrain, "roll_back": self._roll_back, "stop": self._stop}[
            action
        ](hour)

    def _notify(self, _hour: float) -> str:
        self.messages += len(self.spec.actions.notify)
        return "sent"

    def _retrain(self, hour: float) -> str:
        retrain = self.spec.actions.retrain
        if self.is_training:
            return "not done: a retraining is under way"
        if retrain.data == "log" and self.labels_told < retrain.min_labels:
            return f"not done: {self.labels_told} labels were told, actions.retrain.min_labels is {retrain.min_labels}"
        measured = self.training_seconds
        taken = self.world.spec.retrain_hours or max(DEFAULT_RETRAIN_HOURS, (measured or 0.0) / clock.HOUR_SECONDS)
        level = self.world.level(min(int(hour), self.world.hours - 1))
        parent, self.is_training = self.champion, True
        self.retrainings += 1
        self.later.append(_Later(hour + taken, lambda now: self._trained(parent, level, now)))
        return f"a retraining of {taken:g} h begins"

    def _trained(self, parent: ModelVersion, level: float, hour: float) -> None:
        self.is_training = False
        self.versions += 1
        version = model_version.retrained(parent, self.pool, self.world, self.spec, level, self.versions, self.seed)
        if self.challenger is not None:
            self.events.append(
                self._event("taken_away", self.challenger.version, hour, f"version {version.number} takes its place")
            )
        self.challenger = Challenger(
            version, int(hour), self.spec.actions.retrain, self.policy.canary_percent, self.pool.is_scored
        )
        self.events.append(self._event("challenger", version, hour, "a retraining is done"))

    def _settle(self, challenger: Challenger, is_promoted: bool, why: str, hour: float) -> None:
        self.challenger = None
        if is_promoted:
            self.former.append(self.champion)
            self.champion = challenger.version
        kind = "promoted" if is_promoted else "taken_away"
        self.events.append(self._event(kind, challenger.version, hour, why))

    def _roll_back(self, hour: float) -> str:
        if not self.former:
            return "not done: no earlier version has served"
        left, self.champion = self.champion, self.former.pop()
        self.events.append(self._event("rolled_back", self.champion, hour, f"version {left.number} is taken away"))
        return f"version {self.champion.number} serves again"

    def _stop(self, hour: float) -> str:
        if self.is_stopped:
            return "not done: the service is stopped"
        self.is_stopped = True
        wait = self.world.spec.person_hours
        self.events.append(self._event("stopped", self.champion, hour, f"until a person starts it, after {wait:g} h"))
        self.later.append(_Later(hour + wait, self._start))
        return f"stopped; a person starts it after {wait:g} h"

    def _start(self, hour: float) -> None:
        self.is_stopped = False
        self.events.append(self._event("started", self.champion, hour, "by a person"))

    def _event(self, kind: str, version: ModelVersion, hour: float, text: str) -> RehearsedEvent:
        level = self.world.level(min(int(hour), self.world.hours - 1))
        accuracy = self.world.accuracy(version.right, level)
        return RehearsedEvent(hour=hour, kind=kind, version=version.number, text=text, accuracy=accuracy)

    # result

    def _result(self) -> Rehearsed:
        changed = self.world.changes_at
        after = [one.hour for one in self.alarms if one.is_true and changed is not None and one.hour >= changed]
        found = None if not after or changed is None else after[0] - changed
        before, wrong_before = self._until(changed, found)
        is_known = self.pool.is_scored
        total = self.counts.sum(axis=0).tolist()
        cost = Cost(
            answers=total[0],
            wrong=total[1] if is_known else None,
            wrong_without=total[2] if is_known else None,
            unanswered=total[3],
            refused=total[4],
            messages=self.messages,
            retrainings=self.retrainings,
            retraining_seconds=None if self.training_seconds is None else self.retrainings * self.training_seconds,
        )
        return Rehearsed(
            scenario=self.world.spec.name,
            policy=self.policy.name,
            says=self.world.told(),
            parameters=self.world.parameters(),
            hours=self.world.hours,
            changed=changed,
            found_after=found,
            answers_before=before,
            wrong_before=wrong_before if is_known else None,
            true_alarms=sum(one.is_true is True for one in self.alarms),
            false_alarms=sum(one.is_true is False for one in self.alarms),
            stated_false_alarms=self.spec.false_alarms_per_month,
            held_back=dict(Counter(_kind(one.why) for one in self.orders if one.mode == "hold_back")),
            cost=cost,
            alarms=self.alarms,
            orders=self.orders,
            events=self.events,
            days=self._days(),
            notes=self._noted(),
        )

    def _until(self, changed: int | None, found: float | None) -> tuple[int | None, int | None]:
        if changed is None:
            return None, None
        end = self.world.hours if found is None else min(self.world.hours, int(changed + found) + 1)
        part = self.counts[changed:end].sum(axis=0)
        return int(part[0]), int(part[1])

    def _days(self) -> list[RehearsedDay]:
        found = []
        for at in range(0, self.world.hours, HOURS_A_DAY):
            answers, wrong, without, unanswered, _ = self.counts[at : at + HOURS_A_DAY].sum(axis=0).tolist()
            labels, right = self.told[at : at + HOURS_A_DAY].sum(axis=0).tolist()
            is_known = self.pool.is_scored
            found.append(
                RehearsedDay(requests=answers + unanswered, answers=answers, wrong=wrong if is_known else None,
                             wrong_without=without if is_known else None, labels=labels,
                             accuracy=right / labels if labels else None)
            )  # fmt: skip
        return found

    def _noted(self) -> list[str]:
        notes = list(self.notes)
        if self.first.monitor is None:
            notes.append(
                "no window was compared: each had fewer answers than monitor.min_rows, or nothing can be watched"
            )
        if self.spec.limits.live_accuracy is not None and not self.pool.is_scored:
            notes.append(
                "limits.live_accuracy does nothing: the truths of these rows are not known, or not right or wrong"
            )
        return notes


def _kind(why: str) -> str:
    """The bound that held an order back, without its figures."""
    for kind in ("h ago", "in 24 hours", "another alarm", "ordered in this look", "paused"):
        if kind in why:
            return {
                "h ago": "cool-down", "in 24 hours": "actions a day", "another alarm": "follows from another alarm",
                "ordered in this look": "another action goes first", "paused": "paused",
            }[kind]  # fmt: skip
    return why
