"""`modelyard history`"""

from __future__ import annotations

import json

import click

from components.core.errors import CorruptArtifactError, NotFoundError
from components.core.project import Project


@click.command(epilog="Example:  modelyard history digits --verify")
@click.argument("name")
@click.option("--verify", is_flag=True, help="Only check the chain, and that nothing was cut off its end.")
@click.option("--steps", is_flag=True, help="Every step, not only how each release ended.")
@click.option("--json", "as_json", is_flag=True, help="Print every entry as JSON.")
def history(name: str, verify: bool, steps: bool, as_json: bool) -> int:
    """What was in production of NAME when, who asked for it, and what was refused."""
    from components.release import history as histories
    from components.release import ledger as ledgers
    from flows.cli import table
    from flows.releases import promotion

    project = Project.find()
    ledger = ledgers.of(project, name)
    entries = ledger.entries()
    if not entries:
        raise NotFoundError(f"nothing was released of {name} yet", where=str(ledger.path))
    if verify:
        anchored = _anchor(project, name)
        if anchored is not None:
            number, _, digest = anchored.partition(":")
            if len(entries) < int(number) or entries[int(number) - 1].digest != digest:
                raise CorruptArtifactError(
                    "the ledger is not the one that the registry remembers",
                    where=str(ledger.path),
                    got=f"{len(entries)} entries",
                    expected=f"entry {number} with digest {digest}",
                )
        known = "the registry's memory of it agrees" if anchored else "the registry was not asked"
        if as_json:
            click.echo(json.dumps({"entries": len(entries), "head": entries[-1].digest, "anchor": anchored}, indent=2))
        else:
            click.echo(f"{len(entries)} entries, the chain is whole, head {entries[-1].digest[:12]}; {known}")
        return 0
    if as_json:
        click.echo(json.dumps([entry.model_dump() for entry in entries], indent=2))
        return 0
    shown = entries if steps else [release.entries[-1] for release in histories.releases(entries)]
    table.show(
        ["time", "role", "from", "to", "event", "asked by", ""],
        [
            [
                entry.time[:19].replace("T", " ") + "Z",
                entry.role,
                entry.before.version if entry.before else "-",
                entry.after.version if entry.after else "-",
                entry.event,
                entry.asked_by,
                promotion.words(entry),
            ]
            for entry in shown
        ],
    )
    return 0


def _anchor(project: Project, name: str) -> str | None:
    from components.registry import versions
    from components.registry.api import Api
    from flows.platform import lifecycle

    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        return None
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        return versions.model_tags(api, name).get("modelyard.ledger")
