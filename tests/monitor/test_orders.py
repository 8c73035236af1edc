"""Orders in the ledger: what they are when they are read again, and that they change nothing in production."""

from __future__ import annotations

from pathlib import Path

from components.monitoring import orders, policy
from components.monitoring.policy import MonitorAlarm, MonitorOrder
from components.release import history
from components.release import production as productions
from components.release.ledger import Ledger

ALARM = MonitorAlarm("drift", "2026-11-29T13", "words have changed", "e" * 64)


def test_an_order_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "m")
    order = MonitorOrder(policy.order_id("m", ALARM, "retrain"), "retrain", ALARM, "carry_out")
    for state, more in (("ordered", {}), ("failed", {"outcome": "the disk is full"}), ("ordered", {})):
        ledger.append(
            "monitored", release=f"monitor-{order.id}", role="champion", before=None, after=None, asked_by="monitor",
            facts=orders.facts(order, state, **more),
        )  # fmt: skip
    entries = ledger.entries()
    (found,) = orders.past([(one.time, one.facts) for one in entries])
    assert (found.id, found.action, found.trigger, found.state, found.attempts) == (
        order.id, "retrain", "drift", "ordered", 2,
    )  # fmt: skip
    assert found.ordered is not None
    assert found.ordered <= found.time
    assert history.releases(entries) == []
    assert history.unfinished(entries, "champion") is None
    assert productions.decided(entries).production.champion is None


def test_a_proposal_was_never_ordered() -> None:
    order = MonitorOrder("0" * 16, "stop", ALARM, "propose")
    (found,) = orders.past([("2026-11-29T13:00:00+00:00", orders.facts(order, "proposed"))])
    assert (found.ordered, found.attempts) == (None, 0)
