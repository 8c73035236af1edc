"""The page of all models: desired and actual, since when, traffic, and what is out of date."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

from components.release.decision import DesiredState
from flows.console import model_state
from flows.console.release_index import ReleaseSummary
from flows.console.sources import Sources

PAGE_SIZE = 50
REGISTRY_WAIT_SECONDS = 0.3
LEDGER_WAIT_SECONDS = 0.3
PLANS_AT_ONCE = 25
PLAN_DELAY_SECONDS = 1.0  # the browser paints the page first
PLAN_SECONDS = 1800.0  # a plan takes seconds of a processor: the page of a model makes it more often

Shown = Literal["all", "production", "attention"]
SHOWN: tuple[Shown, ...] = ("all", "production", "attention")


class ModelsQuery(NamedTuple):
    """What is asked for.

    Args:
        text: a part of the name.
        page: from 1 on.
    """

    text: str = ""
    shown: Shown = "all"
    page: int = 1


def document(sources: Sources, query: ModelsQuery) -> dict[str, Any]:
    """The page's document. Only the models that it shows are read, unless a filter needs all."""
    sources.traffic.watch()
    registry = sources.aliases.get(REGISTRY_WAIT_SECONDS)
    every = _names(sources, registry.value or {})
    chosen = [name for name in every if query.text.lower() in name]
    if query.shown != "all":
        known = sources.releases.known()
        chosen = [name for name in chosen if _is_shown(sources, query.shown, name, known.get(name), registry.value)]
    pages = max(1, -(-len(chosen) // PAGE_SIZE))
    page = min(max(1, query.page), pages)
    names = chosen[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    summaries = sources.releases.of(names, LEDGER_WAIT_SECONDS)
    rows = [row(sources, name, summaries[name], registry.value) for name in names]
    later = threading.Timer(PLAN_DELAY_SECONDS, _ask_for_plans, (sources, names[:PLANS_AT_ONCE]))
    later.daemon = True
    later.start()
    return {
        "query": {"text": query.text, "shown": query.shown},
        "total": len(every),
        "matching": len(chosen),
        "page": page,
        "pages": pages,
        "models": rows,
        "problems": [] if registry.error is None else [f"The registry does not answer: {registry.error}"],
        "unread": sum(summary is None for summary in summaries.values()),
    }


def row(
    sources: Sources, name: str, summary: ReleaseSummary | None, aliases: dict[str, dict[str, str]] | None
) -> dict[str, Any]:
    """One model."""
    desired = DesiredState.of(aliases.get(name, {})) if aliases is not None else None
    traffic = sources.traffic.of(name)
    state = model_state.of(sources, name, summary, desired, traffic)
    return {
        "name": name,
        "desired": desired.champion if desired else None,
        "actual": traffic.observed.champion if traffic else None,
        "since": summary.since if summary else None,
        "desired_challenger": desired.challenger if desired else None,
        "actual_challenger": traffic.observed.challenger if traffic else None,
        "state": state._asdict(),
        "traffic": None if traffic is None else {
            "champion": asdict(traffic.champion) if traffic.champion else None,
            "challenger": asdict(traffic.challenger) if traffic.challenger else None,
            "canary_percent": traffic.canary_percent,
            "challenger_share": traffic.challenger_share,
            "per_second": traffic.per_second[-60:],
        },
        "plan": plan(sources, name),
    }  # fmt: skip


def plan(sources: Sources, name: str) -> dict[str, Any]:
    """What is known of a pipeline's plan; nothing is computed."""
    known = sources.plans.known(name)
    if known is None:
        return {"known": False, "pending": False, "error": None, "due": []}
    stages = known.value["stages"] if known.value is not None else []
    return {
        "known": known.value is not None,
        "pending": known.pending,
        "error": known.error,
        "due": [stage for stage in stages if not stage["current"]],
    }


def _ask_for_plans(sources: Sources, names: list[str]) -> None:
    for name in names:
        if sources.project.pipeline_file(name).is_file():
            sources.plans.get(name, max_age_seconds=PLAN_SECONDS)


def _names(sources: Sources, aliases: dict[str, dict[str, str]]) -> list[str]:
    """Every pipeline, and every model that was released or registered once."""
    pipelines = {path.stem for path in sources.project.pipelines.glob("*.yaml")}
    return sorted(pipelines | set(sources.releases.names()) | set(aliases))


def _is_shown(
    sources: Sources,
    shown: Shown,
    name: str,
    summary: ReleaseSummary | None,
    aliases: dict[str, dict[str, str]] | None,
) -> bool:
    if shown == "production":
        return sources.traffic.of(name) is not None or (summary is not None and summary.champion is not None)
    found = row(sources, name, summary or ReleaseSummary(), aliases)
    return found["state"]["severity"] in ("bad", "busy") or bool(found["plan"]["due"])
