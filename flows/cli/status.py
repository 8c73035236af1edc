"""`modelyard status`"""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from components.contracts.project import Project


@click.command(epilog="Example:  modelyard status --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> int:
    """Every server and service of the stack: state, URL, process, log. Exit code 1 unless all are ready."""
    from flows import stack
    from flows.cli import table

    found = stack.status(Project.find())
    if as_json:
        click.echo(json.dumps([asdict(service) for service in found], indent=2))
    else:
        table.show(
            ["service", "state", "url", "pid", "up", ""],
            [
                [row.name, row.state, row.url or "", str(row.pid or ""), _duration(row.seconds), row.detail]
                for row in found
            ],
        )
        if all(row.state == "stopped" for row in found):
            click.echo("start with: modelyard up", err=True)
    return 0 if all(row.state == "ready" for row in found) else 1


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
