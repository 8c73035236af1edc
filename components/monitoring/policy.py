"""Decide what follows from alarms: pure, so that a rehearsal decides as production does.

An order has an identity: the model's window, the trigger, the action. It is recorded before it is carried out, and its
outcome after; a pass that finds an order without an outcome carries it out again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from components.contracts.monitor_actions import Action, ActionsSpec, Trigger
from components.identity import digest

HOUR_SECONDS = 3600.0
DAY_SECONDS = 24 * HOUR_SECONDS
ORDER: tuple[Action, ...] = ("stop", "roll_back", "retrain", "notify")
MOST_ATTEMPTS = 3
_EXCLUSIVE = ORDER[:2]  # of these, one pass carries out the first


class MonitorAlarm(NamedTuple):
    """An alarm of a window.

    Args:
        window: name of the window, `2026-11-29T13`.
        text: what was found, with the figure and the limit.
        evidence: digest of the sealed verdict that says so.
    """

    trigger: Trigger
    window: str
    text: str
    evidence: str


Mode = Literal["carry_out", "propose", "hold_back"]
State = Literal["ordered", "proposed", "held_back", "done", "failed"]


class MonitorOrder(NamedTuple):
    """An action that follows from an alarm.

    Args:
        id: equal for equal model, window, trigger and action.
        mode: whether it is carried out, proposed, or held back.
        why: the bound that holds it back; "" else.
    """

    id: str
    action: Action
    alarm: MonitorAlarm
    mode: Mode
    why: str = ""


class PastOrder(NamedTuple):
    """An order of an earlier pass, as the ledger has it.

    Args:
        time: of its last entry, seconds since 1970.
        ordered: when it was decided first that it is carried out; None for a proposal, and where it was held back.
        attempts: how often it was begun.
    """

    id: str
    action: Action
    trigger: Trigger
    time: float
    state: State
    ordered: float | None
    attempts: int = 1


def order_id(model: str, alarm: MonitorAlarm, action: Action) -> str:
    """The identity of an order."""
    return digest.of_value([model, alarm.window, alarm.trigger, action])[:16]


def decide(
    spec: ActionsSpec, model: str, alarms: Sequence[MonitorAlarm], past: Sequence[PastOrder], now: float,
    paused: bool = False,
) -> list[MonitorOrder]:  # fmt: skip
    """The orders that alarms lead to now, messages last so that they can tell of the others.

    An alarm that was answered before leads to nothing, unless its order has no outcome yet, or has failed fewer than
    `MOST_ATTEMPTS` times.

    Args:
        past: all orders so far.
        now: seconds since 1970.
        paused: whether a person has paused the actions of this model.
    """
    known = {one.id: one for one in past}
    orders: list[MonitorOrder] = []
    for action in ORDER:
        for alarm in alarms:
            if action not in spec.of(alarm.trigger):
                continue
            identity = order_id(model, alarm, action)
            earlier = known.get(identity)
            if earlier is None:
                mode, why = _bounds(spec, action, alarm, orders, past, now, paused)
                orders.append(MonitorOrder(identity, action, alarm, mode, why))
            elif _is_left(earlier) and not paused:
                orders.append(MonitorOrder(identity, action, alarm, "carry_out"))
    return orders


def waiting(
    spec: ActionsSpec, model: str, alarms: Sequence[MonitorAlarm], past: Sequence[PastOrder]
) -> list[PastOrder]:
    """Earlier orders about these alarms that no look carries out: a person may."""
    asked = {order_id(model, alarm, action) for alarm in alarms for action in ORDER if action in spec.of(alarm.trigger)}
    return [one for one in past if one.id in asked and one.state != "done" and not _is_left(one)]


def _is_left(order: PastOrder) -> bool:
    return order.state == "ordered" or (order.state == "failed" and order.attempts < MOST_ATTEMPTS)


def _bounds(
    spec: ActionsSpec, action: Action, alarm: MonitorAlarm, orders: Sequence[MonitorOrder], past: Sequence[PastOrder],
    now: float, paused: bool,
) -> tuple[Mode, str]:  # fmt: skip
    if paused:
        return "hold_back", "the monitor is paused"
    carried = [one for one in orders if one.mode == "carry_out"]
    if any(one.action == action and (action != "notify" or one.alarm.trigger == alarm.trigger) for one in orders):
        return "hold_back", f"{action} follows already from another alarm of this look"
    if action in _EXCLUSIVE and any(one.action in _EXCLUSIVE for one in carried):
        return "hold_back", f"{carried[0].action} is ordered in this look"
    same = [
        one.ordered
        for one in past
        if one.action == action and one.ordered is not None and (action != "notify" or one.trigger == alarm.trigger)
    ]
    wait = spec.cooldown_hours * HOUR_SECONDS
    if same and now - max(same) < wait:
        left = (wait - (now - max(same))) / HOUR_SECONDS
        return "hold_back", f"{action} was ordered {(now - max(same)) / HOUR_SECONDS:.1f} h ago; {left:.1f} h to wait"
    if action != "notify":
        if spec.propose_only:
            return "propose", ""
        today = sum(
            one.ordered is not None and one.action != "notify" and now - one.ordered < DAY_SECONDS for one in past
        )
        today += sum(one.action != "notify" for one in carried)
        if today >= spec.max_per_day:
            return "hold_back", f"{today} actions in 24 hours, as many as actions.max_per_day allows"
    return "carry_out", ""
