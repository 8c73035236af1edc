"""What follows from alarms: bounds, repetition, unfinished orders."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from components.contracts.monitor_actions import Action, ActionsSpec
from components.monitoring import policy
from components.monitoring.policy import HOUR_SECONDS, MonitorAlarm, MonitorOrder, PastOrder, State

NOW = 1_000_000.0
RECIPIENTS = [{"url_env": "ALERTS"}]


def alarm(trigger: str = "drift", window: str = "2026-11-29T13") -> MonitorAlarm:
    return MonitorAlarm.__new__(MonitorAlarm, trigger, window, "has changed", "0" * 64)  # type: ignore[arg-type]


def spec(**settings: object) -> ActionsSpec:
    return ActionsSpec.model_validate({"notify": RECIPIENTS, **settings})


def past(action: Action, state: State = "done", hours_ago: float = 1.0, window: str = "2026-11-29T12") -> PastOrder:
    at = NOW - hours_ago * HOUR_SECONDS
    ordered = None if state in ("proposed", "held_back") else at
    return PastOrder(policy.order_id("m", alarm(window=window), action), action, "drift", at, state, ordered)


def modes(orders: list[MonitorOrder]) -> dict[str, str]:
    return {order.action: order.mode for order in orders}


def test_messages_are_last_and_tell_of_the_others() -> None:
    orders = policy.decide(spec(drift=["notify", "retrain"]), "m", [alarm()], [], NOW)
    assert [(order.action, order.mode) for order in orders] == [("retrain", "carry_out"), ("notify", "carry_out")]


def test_an_answered_alarm_leads_to_nothing() -> None:
    done = past("retrain", window="2026-11-29T13")
    assert policy.decide(spec(drift=["retrain"]), "m", [alarm()], [done], NOW) == []


def test_an_order_without_an_outcome_is_carried_out_again_and_not_counted_against_itself() -> None:
    left = past("retrain", "ordered", window="2026-11-29T13")
    (order,) = policy.decide(spec(drift=["retrain"]), "m", [alarm()], [left], NOW)
    assert (order.mode, order.id) == ("carry_out", left.id)


@pytest.mark.parametrize(("attempts", "again"), [(1, True), (2, True), (3, False)])
def test_a_failed_order_is_tried_again_a_few_times(attempts: int, again: bool) -> None:
    failed = past("notify", "failed", window="2026-11-29T13")._replace(attempts=attempts)
    assert bool(policy.decide(spec(drift=["notify"]), "m", [alarm()], [failed], NOW)) == again


@pytest.mark.parametrize(("hours", "mode"), [(23.9, "hold_back"), (24.1, "carry_out")])
def test_an_action_is_not_repeated_before_its_cooldown(hours: float, mode: str) -> None:
    (order,) = policy.decide(spec(drift=["retrain"]), "m", [alarm()], [past("retrain", hours_ago=hours)], NOW)
    assert order.mode == mode
    assert ("24.0" in order.why or "to wait" in order.why) == (mode == "hold_back")


def test_a_message_of_another_trigger_is_not_held_back() -> None:
    settings = spec(drift=["notify"], live_quality=["notify"])
    (order,) = policy.decide(settings, "m", [alarm("live_quality")], [past("notify")], NOW)
    assert order.mode == "carry_out"


def test_no_more_than_so_many_a_day() -> None:
    settings = spec(drift=["roll_back"], cooldown_hours=0, max_per_day=2)
    before = [past("retrain", "failed", 3), past("stop", "done", 5), past("notify", "done", 1)]
    (order,) = policy.decide(settings, "m", [alarm()], before, NOW)
    assert order.mode == "hold_back"
    assert "max_per_day" in order.why
    (order,) = policy.decide(settings, "m", [alarm()], [past("retrain", "done", 25), *before[1:]], NOW)
    assert order.mode == "carry_out"


def test_proposals_and_held_back_orders_are_no_actions_of_the_day() -> None:
    before = [past("retrain", "proposed"), past("stop", "held_back")]
    (order,) = policy.decide(spec(drift=["retrain"]), "m", [alarm()], before, NOW)
    assert order.mode == "carry_out"


def test_propose_only_sends_messages_and_does_nothing_else() -> None:
    orders = policy.decide(spec(drift=["notify", "stop"], propose_only=True), "m", [alarm()], [], NOW)
    assert modes(orders) == {"stop": "propose", "notify": "carry_out"}


def test_a_stop_leaves_no_rollback_in_the_same_look() -> None:
    settings = spec(drift=["roll_back"], live_quality=["stop"], max_per_day=5)
    orders = policy.decide(settings, "m", [alarm(), alarm("live_quality")], [], NOW)
    assert modes(orders) == {"stop": "carry_out", "roll_back": "hold_back"}


def test_two_alarms_are_answered_by_one_retraining() -> None:
    settings = spec(drift=["retrain"], live_quality=["retrain"], cooldown_hours=0, max_per_day=5)
    orders = policy.decide(settings, "m", [alarm(), alarm("live_quality")], [], NOW)
    assert [order.mode for order in orders] == ["carry_out", "hold_back"]


def test_paused() -> None:
    orders = policy.decide(spec(drift=["notify", "stop"]), "m", [alarm()], [past("stop", "ordered")], NOW, paused=True)
    assert set(modes(orders).values()) == {"hold_back"}


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"drift": ["notify"]}, "nobody is to be notified"),
        ({"drift": ["stop", "roll_back"]}, "cannot both"),
        ({"drift": ["stop", "stop"]}, "twice"),
        ({"drift": ["explode"]}, "Input should be"),
        ({"notify": [{}]}, "either block"),
        ({"notify": [{"block": "slack-webhook/a", "url_env": "B"}]}, "either block"),
        ({"notify": [{"block": "team"}]}, "TYPE/NAME"),
        ({"notify": [{"url_env": "https://hooks/secret"}]}, "pattern"),
    ],
)
def test_a_section_that_says_too_little_or_two_things(section: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ActionsSpec.model_validate(section)


def test_what_no_look_carries_out_waits_for_a_person() -> None:
    asked = spec(drift=["notify", "retrain", "roll_back"])
    now = [alarm()]
    given_up = past("notify", "failed", window="2026-11-29T13")._replace(attempts=3)
    held, done = (past(action, state, window="2026-11-29T13")  # type: ignore[arg-type]
                  for action, state in (("retrain", "held_back"), ("roll_back", "done")))  # fmt: skip
    other = past("retrain", "held_back")  # about a window that has no alarm now
    assert policy.waiting(asked, "m", now, [given_up, held, done, other]) == [given_up, held]
    assert policy.waiting(asked, "m", now, [given_up._replace(attempts=1)]) == []
