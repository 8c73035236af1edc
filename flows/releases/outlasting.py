"""A release ends once no host answers by what was in force before it: every one has followed, or its lease is over."""

from __future__ import annotations

import time
from typing import Any

from components.release.ledger import Event
from flows.releases.rollout import Rollout, Superseded
from flows.serving_targets import hosts_left_behind
from flows.serving_targets.hosts_left_behind import LeftBehind

POLL_SECONDS = 0.25


def left_behind(rollout: Rollout, decision: Event) -> LeftBehind:
    """The hosts that do not hold a decision of this release; its time counts from the first call in this process."""
    entry = rollout.entry(decision)
    return LeftBehind() if entry is None else hosts_left_behind.left_behind(rollout.service, entry.sequence)


def outlast(rollout: Rollout, decision: Event, *, ends_if_overtaken: bool = False) -> dict[str, Any]:
    """Wait until hosts that do not hold the decision have surely stopped answering; one that comes back is told.

    Args:
        decision: the entry of this release that decided.
        ends_if_overtaken: give up where the registry asks for another version by now.

    Returns:
        For the ledger, the hosts that are away: those whose leases have run out, and those without one.

    Raises:
        Superseded: the registry asks for another version by now.
    """
    said = set[str]()
    while (left := left_behind(rollout, decision)).waiting:
        if left.present and not rollout.service.is_applied(rollout.pinned().production):
            rollout.apply()
        if set(left.waiting) - said - {*left.present}:
            rollout.context.log(f"waiting: {left}")
            said |= {*left.waiting}
        if ends_if_overtaken and not rollout.is_still_desired():
            raise Superseded
        time.sleep(POLL_SECONDS)
    return left.facts
