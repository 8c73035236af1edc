"""`modelyard models`"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from components.core.errors import StackError
from components.core.project import Project


@click.command(epilog="Example:  modelyard models digits --json")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(name: str | None, as_json: bool) -> int:
    """The registered models: versions, aliases, package and data digests."""
    from components.registry import versions
    from components.registry.api import Api
    from flows.cli import table
    from flows.platform import lifecycle

    endpoints = lifecycle.endpoints(Project.find())
    if endpoints is None:
        raise StackError("the registry is not running", next_step="`modelyard up`")
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        registered = [
            version for model in ([name] if name else versions.names(api)) for version in versions.versions(api, model)
        ]
    if as_json:
        rows = [
            {
                "name": version.name,
                "version": version.version,
                "aliases": version.aliases,
                "tags": version.tags,
                "run": version.run_id,
                "created": _time(version.created_ms),
                "url": version.url(endpoints.mlflow),
            }
            for version in registered
        ]
        click.echo(json.dumps(rows, indent=2))
        return 0
    if not registered:
        click.echo("no models yet; `modelyard run PIPELINE` registers one", err=True)
        return 0
    table.show(
        ["model", "version", "aliases", "package", "data", "created"],
        [
            [
                version.name,
                version.version,
                ",".join(version.aliases),
                (version.package_digest or "")[:12],
                version.tags.get("modelyard.data_digest", "")[:12],
                _time(version.created_ms),
            ]
            for version in registered
        ],
    )
    return 0


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
