"""The challenger's end: what it did beside the champion is written down, then it goes."""

from __future__ import annotations

from typing import Any

from components.contracts.serving_spec import RequestStats
from components.registry import versions
from flows.releases.rollout import Rollout


def take_away(change: Rollout, reason: str, *, broken: bool) -> None:
    """The challenger goes: its alias was taken away, or it broke a limit."""
    order = change.service.order()
    change.record("removing", reason=reason, broken=broken)
    compare(change)
    if broken and change.before is not None:
        wanted = versions.aliases_of(change.api, change.name).get("challenger")
        if wanted == change.before.version:
            versions.delete_alias(change.api, change.name, "challenger")
    if order.challenger is not None and (
        change.before is None or order.challenger.package_digest == change.before.package_digest
    ):
        change.service.give(challenger=None)
        if change.service.statement() is not None:
            change.service.wait(lambda worker: worker.challenger is None, "let the challenger go")


def compare(change: Rollout) -> None:
    """Write down what champion and challenger did side by side, if there is a challenger."""
    said = change.service.statement()
    if said is None or not any(worker.challenger for worker in said.workers):
        return
    change.record(
        "compared",
        champion=total([worker.champion_stats for worker in said.workers]).model_dump(),
        challenger=total([worker.challenger_stats for worker in said.workers]).model_dump(),
    )


def total(tallies: list[RequestStats]) -> RequestStats:
    """Counts of all workers together; of the percentiles the worst."""
    counts: dict[str, Any] = {
        name: sum(getattr(tally, name) for tally in tallies)
        for name in ("requests", "errors", "not_finite", "compared", "agreed")
    }
    for name in ("p50_ms", "p99_ms"):
        counts[name] = max((value for tally in tallies if (value := getattr(tally, name)) is not None), default=None)
    return RequestStats(**counts)
