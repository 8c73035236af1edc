"""`modelyard gc`"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from components.core.project import Project

if TYPE_CHECKING:
    from components.retention.reachability import RetentionDecision


@click.command(epilog="Example:  modelyard gc --plan")
@click.option("--plan", "only_plan", is_flag=True, help="Print what would be removed, and remove nothing.")
@click.option("--keep", type=click.IntRange(min=1), help="Rollback targets whose bundles stay (default: 3).")
@click.option("--yes", is_flag=True, help="Do not ask before removing.")
@click.option("--all", "show_all", is_flag=True, help="Also show the kept artifacts, and what needs them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def gc(only_plan: bool, keep: int | None, yes: bool, show_all: bool, as_json: bool) -> int:
    """Remove unreferenced artifacts: bundles, packages, run folders, evidence, reports, caches, logs.

    Artifacts that aliases, production, rollback targets, open runs or current pipelines need are kept, and so is
    everything written within the last hour. `[retention]` in modelyard.toml configures this, and a schedule for it.
    """
    from contextlib import ExitStack

    from components.registry.api import Api
    from flows.platform import lifecycle
    from flows.retention import removal
    from flows.retention.collection import Collection, settings_of

    project = Project.find()
    settings = settings_of(project, keep)
    endpoints = lifecycle.endpoints(project)
    with ExitStack() as during:
        api = during.enter_context(Api(endpoints.mlflow, endpoints.credentials)) if endpoints else None
        if not only_plan:
            during.enter_context(removal.lock(project))
            removal.finish(project, _log)
        collection = Collection(project, settings, api, endpoints, _log)
        verdicts = collection.judge_all()
        removable = [verdict for verdict in verdicts if verdict.removable]
        if not as_json:
            _show(verdicts, show_all)
        if only_plan or not removable:
            if as_json:
                click.echo(json.dumps({"plan": _documents(verdicts), "removed": []}, indent=2))
            return 0
        if not yes and not as_json and sys.stdin.isatty():
            click.confirm("remove these?", abort=True, err=True)
        collected = collection.collect(verdicts)
    if as_json:
        removed = [{**entry.item.model_dump(), "why": entry.why} for entry in collected.removed]
        document = {
            "plan": _documents(verdicts),
            "removed": removed,
            "bytes": collected.bytes,
            "failed": collected.failed,
        }
        click.echo(json.dumps({**document, "kept_after_all": collected.kept_after_all}, indent=2))
    else:
        click.echo(f"{len(collected.removed)} things removed, {_size(collected.bytes)}")
        for name, why in (*collected.kept_after_all, *collected.failed):
            click.echo(f"stays: {name}: {why}")
    return 1 if collected.failed else 0


def _documents(verdicts: Sequence[RetentionDecision]) -> list[dict[str, Any]]:
    return [{**verdict.item.model_dump(), "removable": verdict.removable, "why": verdict.why} for verdict in verdicts]


def _show(verdicts: Sequence[RetentionDecision], show_all: bool) -> None:
    from flows.cli import table

    removable = [verdict for verdict in verdicts if verdict.removable]
    listed = list(verdicts) if show_all else removable
    if listed:
        rows = [
            [
                verdict.item.kind,
                verdict.item.name,
                _size(verdict.item.bytes),
                "goes" if verdict.removable else "stays",
                verdict.why,
            ]
            for verdict in listed
        ]
        table.show(["kind", "name", "size", "", "why"], rows)
    reasons: dict[str, int] = defaultdict(int)
    for verdict in verdicts:
        if not verdict.removable and verdict.why.startswith("not judged"):
            reasons[verdict.why] += 1
    for why, count in reasons.items():
        click.echo(f"{count} things are {why}", err=True)
    size = sum(verdict.item.bytes for verdict in removable)
    stays = sum(verdict.item.bytes for verdict in verdicts) - size
    click.echo(f"{len(removable)} things can go, {_size(size)}; {len(verdicts) - len(removable)} stay, {_size(stays)}")


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"


def _log(text: str) -> None:
    click.echo(text, err=True)
