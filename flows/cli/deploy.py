"""`modelyard deploy`"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.core.project import Project

if TYPE_CHECKING:
    from components.deployment.written_files import WrittenFiles

TARGETS = ("compose", "kubernetes", "kserve", "systemd")  # as components.deployment.readme has them


@click.command(epilog="Example:  modelyard deploy digits --target kubernetes --out deploy/digits")
@click.argument("pipeline", required=False)
@click.option("--target", required=True, type=click.Choice(TARGETS), help="What the files are for.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the files.")
@click.option("--version", "number", help="This version instead of the champion.")
@click.option("--image", help="Reference of the pushed image (default: the one that `containerize` builds).")
@click.option("--replicas", type=click.IntRange(1, 1000), help="Containers at least (default: 2; compose 1).")
@click.option("--max-replicas", type=click.IntRange(1, 1000), help="Containers at most under load (default: 4 times).")
@click.option(
    "--ingress-namespace", "namespaces", multiple=True, help="A namespace whose pods may ask the service; repeatable."
)
@click.option(
    "--with-platform", is_flag=True, help="compose, systemd: Prefect and MLflow on PostgreSQL, Redis, S3 too."
)
@click.option("--measure/--no-measure", default=True, help="Measure memory and processor time, unless known.")
@click.option("--force", is_flag=True, help="Overwrite files that a person has edited.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def deploy(
    pipeline: str | None,
    target: str,
    out: Path,
    number: str | None,
    image: str | None,
    replicas: int | None,
    max_replicas: int | None,
    namespaces: tuple[str, ...],
    with_platform: bool,
    measure: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Write the files that deploy PIPELINE's champion: compose, Kubernetes, KServe or systemd.

    They name the image that `modelyard containerize` builds, hold the digests of what is deployed, and resources from a
    measurement of the service. Nothing is applied; the README beside them has the commands. See docs/deploy.md.

    With --with-platform also the platform itself; without PIPELINE the platform alone.
    """
    from components.contracts.pipeline import PipelineSpec
    from components.core import located_yaml
    from components.core.errors import UsageError
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.deployment import released_bundle, targets
    from flows.platform import connections, lifecycle

    request = targets.DeployRequest(
        target=target,  # type: ignore[arg-type]  # click has checked it
        folder=out,
        image=image,
        replicas=replicas,
        max_replicas=max_replicas,
        ingress_namespaces=namespaces,
        measure=measure,
        platform=with_platform,
        force=force,
    )
    if pipeline is None:
        if number is not None:
            raise UsageError("no pipeline was named", got=f"--version {number}", expected="PIPELINE")
        _show(targets.write_platform(request), out, {"target": target, "folder": str(out)}, as_json=as_json)
        click.echo(f"the platform; how to apply it: {out / 'README.md'}", err=True)
        return 0
    project = Project.find()
    spec = located_yaml.read(project.pipeline_file(pipeline), PipelineSpec)
    targets.check(request)
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    connections.enter(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        bundle = released_bundle.choose(project, spec, api, number, log).bundle
    done = targets.write(project, bundle, request, log)
    about = {
        "target": target,
        "folder": str(out),
        "model": done.facts.model,
        "version": done.facts.version,
        "bundle": bundle.tag,
        "bundle_digest": done.facts.bundle_digest,
        "image": None if target == "systemd" else done.options.image,
        "asks_for_keys": done.facts.asks_for_keys,
        "measurement": done.facts.measurement.model_dump() if done.facts.measurement else None,
    }
    _show(done.files, out, about, as_json=as_json)
    if as_json:
        return 0
    if not done.facts.asks_for_keys:
        click.echo("note: the service of this bundle asks for no key: whoever reaches it may ask it", err=True)
    click.echo(f"{pipeline} version {done.facts.version}; how to apply them: {out / 'README.md'}", err=True)
    return 0


def _show(files: WrittenFiles, out: Path, about: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**about, **asdict(files)}, indent=2))
        return
    for verb in ("written", "overwritten", "removed", "kept"):
        for name in getattr(files, verb):
            click.echo(f"{verb:<12}{out / name}")
    if files.unchanged:
        click.echo(f"{len(files.unchanged)} files are as they were", err=True)
