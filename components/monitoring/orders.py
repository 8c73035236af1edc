"""The orders of the monitor in the ledger: entries `monitored`, one when an order is made, one with its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from components.contracts.live_request import LiveResult
from components.contracts.monitor_actions import Action, Trigger
from components.monitoring.policy import MonitorAlarm, MonitorOrder, PastOrder, State

EVENT = "monitored"
# What the monitor does with a challenger of its own; not answers to an alarm, so no bound of these applies.
PROMOTE, TAKE_AWAY = "promote", "take_away"


def alarms_of(verdict: dict[str, Any], evidence: str) -> list[MonitorAlarm]:
    """The alarms of a judged window.

    Args:
        verdict: verdict.json.
        evidence: digest of the sealed folder that it is in.
    """
    return [MonitorAlarm(one["trigger"], verdict["window"], one["text"], evidence) for one in verdict["alarms"]]


def alarm_of_labels(found: LiveResult, evidence: str) -> MonitorAlarm | None:
    """The alarm of the test of live accuracy, if there is one."""
    low = found.low_accuracy
    if low is None or low.window is None:
        return None
    since = f", since {low.began} it seems" if low.began else ""
    text = (
        f"the accuracy on labels is below {low.limit:.1%}{since}: {found.right:,} of {found.labels:,} answers with a "
        f"label are right"
    )
    return MonitorAlarm("live_quality", low.window, text, evidence)


def facts(order: MonitorOrder, state: State, **more: Any) -> dict[str, Any]:
    """The facts of an entry about an order."""
    alarm = order.alarm
    about = {
        "order": order.id, "action": order.action, "state": state, "trigger": alarm.trigger, "window": alarm.window,
        "alarm": alarm.text, "evidence": alarm.evidence,
    }  # fmt: skip
    return about | {name: value for name, value in {"why": order.why, **more}.items() if value not in ("", None)}


def past(entries: Sequence[tuple[str, dict[str, Any]]]) -> list[PastOrder]:
    """The orders of the ledger in the order in which they were made.

    Args:
        entries: time (ISO 8601) and facts of the entries `monitored`, in order.
    """
    found: dict[str, PastOrder] = {}
    for time, about in entries:
        if about.get("action") not in get_args(Action) or about.get("trigger") not in get_args(Trigger):
            continue
        at, state = datetime.fromisoformat(time).timestamp(), about["state"]
        earlier = found.get(about["order"])
        ordered = earlier.ordered if earlier is not None else None
        attempts = earlier.attempts if earlier is not None else 0
        if state == "ordered":
            ordered, attempts = ordered or at, attempts + 1
        order = about["order"]
        found[order] = PastOrder(order, about["action"], about["trigger"], at, state, ordered, attempts)
    return list(found.values())


def is_paused(folder: Path) -> bool:
    """Whether a person has paused the actions of a model.

    Args:
        folder: of the model's judged windows.
    """
    return (folder / "paused").exists()
