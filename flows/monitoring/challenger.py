"""A challenger that the monitor trained: judged on live labels, and promoted or taken away if the file says so."""

from __future__ import annotations

from typing import Any

from components.contracts.live_request import LiveResult
from components.monitoring import orders
from components.registry import versions
from components.registry.api import AliasMovedError
from flows.monitoring import looking
from flows.monitoring.context import MonitorContext


def judge(context: MonitorContext, found: tuple[LiveResult, str] | None) -> str | None:
    """Promote a better challenger of the monitor's own, and take a worse or an undecided one away.

    A challenger that a person set is a person's to decide about.

    Returns:
        What was done or proposed, in words; None: nothing.
    """
    spec = context.spec.actions
    if found is None or spec.retrain.promote != "if_better":
        return None
    result, evidence = found
    production = looking.production_of(context)
    challenger, comparison = production.challenger, result.comparison
    if challenger is None or comparison is None or comparison.package != challenger.package_digest:
        return None
    if not _is_own(context, challenger.version):
        return None
    action = _action(comparison.decision, comparison.labels[1], spec.retrain.max_labels)
    if action is None or _is_done(context, action, challenger.version):
        return None
    word = "closer to the truth" if comparison.closer else "right"
    figures = (
        f"{word} on {comparison.right[1]:,} of {comparison.labels[1]:,} labels, the champion on "
        f"{comparison.right[0]:,} of {comparison.labels[0]:,}; "
        f"difference {comparison.low:+.3f} to {comparison.high:+.3f}"
    )
    why = f"{comparison.decision}: {figures}"
    facts: dict[str, Any] = {
        "action": action, "version": challenger.version, "why": why, "evidence": evidence,
        "comparison": comparison.model_dump(mode="json"),
    }  # fmt: skip
    if spec.propose_only:
        context.record({**facts, "state": "proposed"})
        return f"proposed: {action.replace('_', ' ')} challenger {challenger.version}: {why}"
    context.record({**facts, "state": "ordered"})
    how = f"modelyard monitor: challenger {challenger.version} is {comparison.decision} on live labels"
    try:
        if action == orders.PROMOTE:
            serving = production.champion.version if production.champion else None  # what it was compared with
            versions.set_alias(context.api, context.name, "champion", challenger.version, how, expected=serving)
        else:
            versions.delete_alias(context.api, context.name, "challenger", how, expected=challenger.version)
    except AliasMovedError as error:
        return f"challenger {challenger.version} is left to who was faster: {error.what}"
    context.record({**facts, "state": "done"})
    return f"{action.replace('_', ' ')} challenger {challenger.version}: {why}"


def _action(decision: str, labels: int, most: int) -> str | None:
    if decision == "better":
        return orders.PROMOTE
    if decision == "worse" or labels >= most:
        return orders.TAKE_AWAY
    return None


def _is_own(context: MonitorContext, version: str) -> bool:
    """Whether the challenger is a version that a retraining of the monitor asked for."""
    return any(
        facts.get("action") == "retrain" and facts["state"] == "done" and facts.get("version") == version
        for _, facts in context.entries()
    )


def _is_done(context: MonitorContext, action: str, version: str) -> bool:
    """Whether this was done or proposed already; the controller may still be at it."""
    return any(
        facts.get("action") == action and facts.get("version") == version and facts["state"] in ("done", "proposed")
        for _, facts in context.entries()
    )
