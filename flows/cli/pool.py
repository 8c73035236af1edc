"""`modelyard pool`"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import click

from components.core.errors import UsageError


@click.group(epilog="Example:  modelyard pool create cluster --type kubernetes --image NAME@sha256:...")
def pool() -> None:
    """Work pools of Prefect whose jobs run stages: `run: {train: {runner: pool, pool: NAME}}`. See docs/runners.md."""


@pool.command()
@click.argument("name")
@click.option("--type", "kind", required=True, type=click.Choice(["kubernetes"]), help="Type of the pool.")
@click.option("--image", required=True, help="Image of the jobs, by digest; it has `python` with our requirements.")
@click.option("--secret", help="Secret whose entries are a job's environment: PREFECT_API_AUTH_STRING, keys of S3.")
@click.option("--volume-claim", "claim", help="Claim of the volume with the jobs' folder.")
@click.option("--mount", help="Path of that volume, the same as on this machine.")
@click.option("--namespace", default="default", show_default=True, help="Namespace of the jobs.")
@click.option("--user", help="UID:GID of the jobs, who own the jobs' folder (default: yours).")
@click.option("--write", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write to a FILE instead.")
def create(
    name: str,
    kind: str,
    image: str,
    secret: str | None,
    claim: str | None,
    mount: str | None,
    namespace: str,
    user: str | None,
    file: Path | None,
) -> int:
    """Print the base job template of the pool NAME. Nothing is created: `prefect work-pool create` takes it."""
    from components.core import atomic
    from components.deployment import job_template

    number, group = _ids(user)
    options = job_template.JobTemplateOptions(
        image=image, user=number, group=group, namespace=namespace, secret=secret, claim=claim, mount=mount
    )
    text = json.dumps(job_template.of_kubernetes(options), indent=2)
    if file is None:
        click.echo(text)
    else:
        atomic.write_text(file, f"{text}\n")
    if claim is None:
        click.echo("note: no volume is mounted; add the one with the jobs' folder to the template", err=True)
    quoted, template = shlex.quote(name), shlex.quote(str(file or "FILE"))
    click.echo(f"prefect work-pool create {quoted} --type {kind} --base-job-template {template}", err=True)
    click.echo(f"prefect worker start --pool {quoted} --type {kind}    # needs prefect-kubernetes", err=True)
    return 0


def _ids(text: str | None) -> tuple[int, int]:
    """The numbers of a user and a group.

    Raises:
        UsageError: the text has none.
    """
    if text is None:
        return os.getuid(), os.getgid()
    number, _, group = text.partition(":")
    if not (number.isdecimal() and (group.isdecimal() or not group)):
        raise UsageError("expected numbers", where="--user", got=text[:100], expected="UID:GID, as in 1034:1034")
    return int(number), int(group or number)
