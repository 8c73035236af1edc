"""The page of one model: what serves, its releases, versions, quality, drift, and what can be done."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.core.errors import ModelyardError, NotFoundError
from components.monitoring import orders
from components.release import history
from components.release.history import Release
from components.release.ledger import Entry
from flows.console import charts
from flows.console.charts import ChartLine
from flows.console.pages import models
from flows.console.sources import Sources
from flows.releases import promotion

RELEASES_SHOWN = 20
REGISTRY_WAIT_SECONDS = 0.3
WINDOWS_SHOWN = 30
ORDERS_SHOWN = 10
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,200}")
_RUN = re.compile(r"/runs/flow-run/([0-9a-f-]{36})$")


def document(sources: Sources, name: str, page: int = 1) -> dict[str, Any]:
    """The page's document.

    Args:
        page: of the releases, from 1 on.

    Raises:
        NotFoundError: there is no such model.
    """
    sources.aliases.get(), sources.versions.get(name)  # side by side; what is there within the time is shown
    require(sources, name)
    sources.traffic.watch()
    sources.plans.get(name)
    quality, versions = sources.quality.get(name), sources.versions.get(name, REGISTRY_WAIT_SECONDS)
    aliases = sources.aliases.get()
    summary = sources.releases.of([name], 5.0)[name]
    entries, problem = _entries(sources, name)
    releases = list(reversed(history.releases(entries)))
    pages = max(1, -(-len(releases) // RELEASES_SHOWN))
    page = min(max(1, page), pages)
    shown = releases[(page - 1) * RELEASES_SHOWN : page * RELEASES_SHOWN]
    traffic = sources.traffic.of(name)
    errors = {"The ledger cannot be read": problem, "The registry does not answer": aliases.error or versions.error}
    return {
        **models.row(sources, name, summary, aliases.value),
        "has_pipeline": sources.project.pipeline_file(name).is_file(),
        "url": traffic.url if traffic is not None and traffic.answers else None,
        "workers": [traffic.workers, traffic.expected] if traffic is not None else None,
        "releases": [_release(sources, name, one) for one in shown],
        "release_count": len(releases),
        "page": page,
        "pages": pages,
        "can_go_back_to": list(dict.fromkeys(side.version for side in reversed(history.served_well(entries)))),
        "waiting": _waiting(releases),
        "versions": versions.value,
        "quality": {
            "pending": quality.pending,
            "error": quality.error,
            **(quality.value or {"hours": [], "left_out": 0, "logged": None}),
        },
        "drift": drift(sources, name),
        "monitor": monitor(sources, name),
        "schedule": _schedule(sources, name),
        "actions": [asdict(one) for one in sources.actions.of_model(name)[:5]],
        "problems": [f"{what}: {why}" for what, why in errors.items() if why],
    }


def require(sources: Sources, name: str) -> None:
    """Check that there is a model of that name.

    Raises:
        NotFoundError: there is none.
    """
    known = NAME.fullmatch(name) and (
        sources.project.pipeline_file(name).is_file()
        or name in sources.releases.names()
        or name in (sources.aliases.get(REGISTRY_WAIT_SECONDS).value or {})
    )
    if not known:
        raise NotFoundError("there is no such model", got=name[:80], next_step="choose one on the page of all models")


def pictures(found: dict[str, Any]) -> dict[str, Any]:
    """The charts of a page's document; they are not in its JSON, which has the figures."""
    hours = found["quality"]["hours"]
    places = {hour: place for place, hour in enumerate(sorted({one["hour"] for one in hours}))}
    metrics = sorted({one["metric"] for one in hours if one["metric"]})
    labels = [(float(place), hour[5:].replace("T", " ") + ":00") for hour, place in places.items()]
    step = max(1, len(labels) // 4)
    series: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in hours:
        series.setdefault((one["version"], one["role"]), []).append(one)

    def lines(field: str, metric: str | None) -> list[ChartLine]:
        made = []
        for (version, role), rows in series.items():
            rows = [one for one in rows if one[field] is not None and (metric is None or one["metric"] == metric)]
            low = [one["low"] if one["low"] is not None else one[field] for one in rows] if metric else []
            high = [one["high"] if one["high"] is not None else one[field] for one in rows] if metric else []
            points = [(float(places[one["hour"]]), float(one[field])) for one in rows]
            made.append(ChartLine(f"version {version}, {role}", points, low, high))
        return made

    return {
        "quality": {metric: charts.chart(lines("value", metric), labels[::step]) for metric in metrics},
        "answers": charts.chart(lines("answers", None), labels[::step]),
        "latency": charts.chart(lines("p99_ms", None), labels[::step]),
        "spark": charts.spark(found["traffic"]["per_second"]) if found["traffic"] else "",
    }


def drift(sources: Sources, name: str) -> list[dict[str, Any]]:
    """The verdicts of `.modelyard/monitoring/MODEL`, newest first; whatever form they have, what is known is shown."""
    folder = sources.project.state / "monitoring" / name
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*/verdict.json"), reverse=True)[:WINDOWS_SHOWN]:
        try:
            verdict = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            found.append({"window": path.parent.name, "problem": str(error), "alarm": None, "columns": []})
            continue
        found.append({"window": path.parent.name, "problem": None, **_verdict(verdict, path.parent)})
    return found


def _verdict(verdict: Any, folder: Path) -> dict[str, Any]:
    document = verdict if isinstance(verdict, dict) else {}
    alarms = document.get("alarms", document.get("alarm"))
    columns = document.get("columns")
    rows = [one for one in columns if isinstance(one, dict)] if isinstance(columns, list) else []
    return {
        "alarm": None if alarms is None else bool(alarms),
        "text": "; ".join(_words(one) for one in alarms) if isinstance(alarms, list) else "",
        "columns": [
            {key: row.get(key) for key in ("column", "test", "p_value", "psi", "jensen_shannon", "wasserstein")}
            for row in rows
        ],
        "report": (folder / "report.html").is_file(),
    }


def _words(alarm: Any) -> str:
    if isinstance(alarm, dict) and "text" in alarm:
        return f"{str(alarm.get('trigger', '')).replace('_', ' ')}: {alarm['text']}"
    return str(alarm)


def monitor(sources: Sources, name: str) -> dict[str, Any]:
    """Whether the monitor is paused, and its last orders, newest first."""
    entries, _ = _entries(sources, name)
    last: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry.event == orders.EVENT and "order" in entry.facts:
            last.pop(entry.facts["order"], None)
            last[entry.facts["order"]] = {"time": entry.time, **entry.facts}
    shown = [
        {key: one.get(key) for key in ("time", "order", "action", "state", "trigger", "window", "why", "outcome")}
        for one in list(last.values())[::-1][:ORDERS_SHOWN]
    ]
    return {"paused": orders.is_paused(sources.project.monitoring(name)), "orders": shown}


def _entries(sources: Sources, name: str) -> tuple[list[Entry], str | None]:
    try:
        return sources.releases.entries(name), None
    except ModelyardError as error:
        return [], "; ".join(error.lines())


def _release(sources: Sources, name: str, release: Release) -> dict[str, Any]:
    first, end = release.entries[0], release.end
    gated = release.entry("gated")
    refused = release.entry("refused") or release.entry("returned") or release.entry("refusing")
    figures = (gated.facts.get("figures") or {}) if gated is not None else {}
    results = release.entry("refusing")
    gates = [
        {"gate": gate, "passed": True, "reason": str(found.get("reason", "")), "limit": str(found.get("limit", ""))}
        for gate, found in figures.items()
        if isinstance(found, dict)
    ] + [
        {"gate": str(one.get("gate")), "passed": bool(one.get("passed")), "reason": str(one.get("reason", "")),
         "limit": str(one.get("limit", ""))}
        for one in (results.facts.get("results", []) if results is not None else [])
    ]  # fmt: skip
    return {
        "id": release.id,
        "role": release.role,
        "before": release.before.version if release.before else None,
        "after": release.after.version if release.after else None,
        "begun": first.time,
        "ended": end.time if end is not None else None,
        "event": (end or release.entries[-1]).event,
        "rollback": bool(first.facts.get("going_back")),
        "asked_by": first.asked_by,
        "known_by": first.facts.get("known_by"),
        "how": str(first.facts.get("how") or ""),
        "reason": str(refused.facts.get("reason") or "") if refused is not None else "",
        "gates": gates,
        "report": _report(sources, name, gated, refused),
        "flow_run": _web(first.facts.get("flow_run")),
        "steps": [
            {"time": entry.time, "event": entry.event, "text": promotion.words(entry)} for entry in release.entries
        ],
    }


def _report(sources: Sources, name: str, gated: Entry | None, refused: Entry | None) -> str | None:
    """Where the gates' report can be read: here if its folder is on the disk, else in the registry."""
    keys = [gated.facts.get("evidence")] if gated is not None else []
    keys += [Path(str(refused.facts["evidence"])).name] if refused and refused.facts.get("evidence") else []
    for key in keys:
        short = str(key)[:16]
        if re.fullmatch(r"[0-9a-f]{16}", short):
            folder = sources.project.state / "gates" / name / short
            if (folder / "report.html").is_file():
                return f"/models/{name}/gates/{short}/report.html"
    return _web(refused.facts.get("report")) if refused is not None else None


def _web(url: object) -> str | None:
    """A URL that a page may link to: no other scheme than HTTP."""
    return url if isinstance(url, str) and url.startswith(("http://", "https://")) else None


def _waiting(releases: list[Release]) -> dict[str, Any] | None:
    """The release that waits for a person's approval, with its flow run."""
    for release in releases:
        if release.end is None and release.entries[-1].event == "waiting":
            match = _RUN.search(str(release.entries[0].facts.get("flow_run") or ""))
            if match:
                version = release.after.version if release.after else None
                return {"flow_run": match[1], "version": version, "role": release.role}
    return None


def _schedule(sources: Sources, name: str) -> dict[str, Any] | None:
    known = sources.deployments.get()
    return next((one for one in known.value or [] if one["name"] == name), None)
