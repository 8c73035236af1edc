"""`modelyard status`"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime

import click

from components.core.project import Project

NOT_FOLLOWED = "stays as it is: another registry is named"


@click.command(epilog="Example:  modelyard status --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> int:
    """Every server and service of the stack, and every model: the registry's aliases and what is served.

    Exit code 1 unless all servers are ready and it is known of every model what serves.
    """
    from flows.cli import table
    from flows.platform import browser, followed_registry, stack_profile, stack_status
    from flows.releases import status
    from flows.serving_targets import hosts_report

    project = Project.find()
    programs = stack_status.status(project)
    registry = next((row.url for row in programs if row.name == "mlflow" and row.state == "ready"), None)
    models = status.of_all(project, registry)
    if (not_followed := followed_registry.another(project)) is not None:
        models = [replace(row, state=row.problem or NOT_FOLLOWED) for row in models]
    hosts = hosts_report.report(project)
    if as_json:
        document: dict[str, object] = {
            "services": [asdict(row) for row in programs],
            "models": [asdict(row) for row in models],
        }
        if stack_profile.of(project) is not None:
            document["profile"] = stack_profile.of(project)
        if not_followed is not None:
            document["registry"] = not_followed
        if hosts:
            document["hosts"] = [asdict(host) for host in hosts]
        click.echo(json.dumps(document, indent=2))
    else:
        table.show(
            ["service", "state", "url", "pid", "up", ""],
            [
                [row.name, row.state, row.url or "", str(row.pid or ""), _duration(row.seconds), row.detail]
                for row in programs
            ],
        )
        if stack_profile.of(project) == "team":
            click.echo("profile: team")
        links = [row for row in programs if row.state == "ready" and row.url is not None and row.is_own]
        if sys.stdout.isatty():  # a link is a key for ten minutes: nothing for a log
            for row in links:
                name = row.name.removeprefix("serve-")
                click.echo(f"open {name}: {browser.link(project, name, str(row.url))}")
        elif links:
            click.echo("links: modelyard open mlflow --link", err=True)
        if all(row.state == "stopped" for row in programs if row.is_own):
            click.echo("start with: modelyard up", err=True)
        if models:
            click.echo()
            table.show(
                ["model", "champion asked", "serves", "since", "challenger asked", "runs", ""],
                [
                    [
                        row.name,
                        row.desired or "-",
                        row.actual or "-",
                        _since(row.since),
                        row.desired_challenger or "-",
                        row.actual_challenger or "-",
                        row.state,
                    ]
                    for row in models
                ],
            )
        for next_step in dict.fromkeys(filter(None, (row.next_step for row in models))):
            click.echo(f"{', '.join(row.name for row in models if row.next_step == next_step)}: {next_step}", err=True)
        if not_followed is not None:
            click.echo(f"{not_followed} until `modelyard up {followed_registry.OPTION}`", err=True)
        for host in hosts:
            click.echo(f"host {host.name}: {host.problem or 'answers'}")
    return 1 if any(row.state != "ready" for row in programs) or any(row.problem for row in models) else 0


def _since(time: str | None) -> str:
    if time is None:
        return "-"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
    return f"{time[:19].replace('T', ' ')}Z ({_duration(int(seconds))})"


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
