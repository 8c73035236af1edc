"""`modelyard keys`"""

from __future__ import annotations

import json
from pathlib import Path

import click

from components.core.errors import NotFoundError


@click.group(epilog="Example:  modelyard keys add digits phone-app; modelyard keys list digits")
def keys() -> None:
    """API keys of services: who may ask one.

    SERVICE is a pipeline, whose service on this machine then answers nobody without a key, or the path of a file of
    keys, for a bundle that runs elsewhere with that file in MODELYARD_API_KEYS. Only digests are kept. A running
    service follows within a second.
    """


@keys.command(epilog="Example:  modelyard keys add digits monitoring --scope admin")
@click.argument("service")
@click.argument("name")
@click.option("--scope", type=click.Choice(["predict", "admin"]), default="predict", show_default=True,
              help="What the key opens; admin: also /metrics and /status.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add(service: str, name: str, scope: str, as_json: bool) -> int:
    """Make a key with a NAME, and print it. It is printed this once and kept nowhere."""
    from components.access import api_keys

    path = _file(service)
    key = api_keys.add(path, name, "admin" if scope == "admin" else "predict")
    if as_json:
        click.echo(json.dumps({"name": name, "scope": scope, "key": key, "file": str(path)}, indent=2))
    else:
        click.echo(key)
        click.echo(f"  kept nowhere; its digest is in {path}; send it as  Authorization: Bearer KEY", err=True)
    return 0


@keys.command("list", epilog="Example:  modelyard keys list digits")
@click.argument("service")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(service: str, as_json: bool) -> int:
    """The keys of SERVICE, without the keys themselves."""
    from components.access import api_keys
    from flows.cli import table

    path = _file(service)
    found = api_keys.read(path)
    if as_json:
        click.echo(json.dumps([one.model_dump(exclude={"sha256"}) for one in found], indent=2))
    elif found:
        rows = [[one.name, one.scope, one.created, one.revoked or ""] for one in found]
        table.show(["name", "scope", "created", "revoked"], rows)
    else:
        click.echo(f"no API keys in {path}")
    return 0


@keys.command(epilog="Example:  modelyard keys revoke digits phone-app")
@click.argument("service")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def revoke(service: str, name: str, as_json: bool) -> int:
    """Revoke the key of a NAME: within a second it opens nothing any more."""
    from components.access import api_keys

    path = _file(service)
    api_keys.revoke(path, name)
    click.echo(json.dumps({"revoked": name}, indent=2) if as_json else f"{name} is revoked")
    return 0


def _file(service: str) -> Path:
    """The file of keys of a pipeline, or the file itself."""
    from components.access import project_door
    from components.core.project import Project

    if "/" in service or service.endswith(".jsonl"):
        return Path(service)
    project = Project.find()
    if not project.pipeline_file(service).is_file():
        raise NotFoundError(
            f"no pipeline {service}", where=str(project.pipelines),
            next_step="name a pipeline, or the path of a file of keys, such as ./keys.jsonl",
        )  # fmt: skip
    return project_door.api_keys_file(project, service)
