"""The challenger's end: its figures beside the champion's are recorded, then the service lets it go."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from components.contracts.serving_spec import RequestStats
from components.registry import versions
from components.registry.api import AliasMovedError
from components.release.decision import DesiredState
from flows.releases import outlasting
from flows.releases.rollout import Rollout


def remove(rollout: Rollout) -> str:
    """Remove the challenger: its alias was taken away, or the service took it out. Returns the reason.

    What was recorded when the release began counts: a process that goes on with it need not know why it began.
    """
    asked = rollout.entry("asked")
    broken = asked.facts.get("broken") if asked is not None else None
    reason = str(broken or "its alias was taken away")
    compare(rollout)
    rollout.pin("removing", lambda now: now.without_challenger(), reason=reason, broken=broken is not None)
    outlasting.left_behind(rollout, "removing")
    rollout.apply()
    if broken is not None and rollout.current is not None:
        desired = DesiredState.of(versions.aliases_of(rollout.api, rollout.name)).challenger
        if desired == rollout.current.version:
            with suppress(AliasMovedError):  # somebody names another one by now
                versions.delete_alias(rollout.api, rollout.name, "challenger", expected=desired)
    if rollout.service.status() is not None:
        rollout.service.wait(lambda worker: worker.challenger is None, "let the challenger go")
    return reason


def is_broken(rollout: Rollout) -> bool:
    """Whether the service took the challenger out."""
    asked = rollout.entry("asked")
    return asked is not None and bool(asked.facts.get("broken"))


def compare(rollout: Rollout) -> None:
    """Record what champion and challenger did side by side, if there is a challenger."""
    status = rollout.service.status()
    if status is None or not any(worker.challenger for worker in status.workers):
        return
    rollout.record(
        "compared",
        champion=total([worker.champion_stats for worker in status.workers]).model_dump(),
        challenger=total([worker.challenger_stats for worker in status.workers]).model_dump(),
    )


def total(stats: list[RequestStats]) -> RequestStats:
    """Counts of all workers together; of the percentiles the worst."""
    counts: dict[str, Any] = {
        name: sum(getattr(worker, name) for worker in stats)
        for name in ("requests", "errors", "not_finite", "compared", "agreed")
    }
    for name in ("p50_ms", "p99_ms"):
        counts[name] = max((value for worker in stats if (value := getattr(worker, name)) is not None), default=None)
    return RequestStats(**counts)
