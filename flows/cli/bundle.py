"""`modelyard bundle`"""

from __future__ import annotations

import json
from pathlib import Path

import click

from components.core.project import Project


@click.command(epilog="Example:  modelyard bundle digits --export digits.tar --with-wheels")
@click.argument("pipeline")
@click.option("--version", "number", metavar="N", help="This version instead of the champion.")
@click.option(
    "--export",
    "target",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it as one archive.",
)
@click.option("--with-wheels", is_flag=True, help="With every library: the archive installs without a network.")
@click.option("--with-evidence", is_flag=True, help="With gate reports, release history and the version's tags.")
@click.option("--find-links", multiple=True, metavar="DIR", help="A folder with wheels, looked in before the index.")
@click.option(
    "--sign", "key", metavar="KEY", type=click.Path(path_type=Path, dir_okay=False),
    help="Sign bundle and archive with this private key (PEM, elliptic curve).",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bundle(
    pipeline: str,
    number: str | None,
    target: Path | None,
    with_wheels: bool,
    with_evidence: bool,
    find_links: tuple[str, ...],
    key: Path | None,
    as_json: bool,
) -> int:
    """The bundle of PIPELINE's champion: where it is, what it is made of; or the bundle as one archive.

    It is the bundle that was released, if it is here; else it is built. The same bundle gives the same archive, byte
    for byte (signatures and evidence apart). `modelyard verify FILE` verifies it, `modelyard import FILE` registers it
    elsewhere.
    """
    from components.contracts.pipeline import PipelineSpec
    from components.core import located_yaml
    from components.core.errors import UsageError
    from components.packaging import archive
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.deployment import released_bundle
    from flows.deployment.export import ExportOptions, export
    from flows.pipelines import signing
    from flows.platform import connections, lifecycle

    if target is None and (with_wheels or with_evidence or find_links):
        raise UsageError("wheels and evidence go into an archive", expected="--export FILE")
    if find_links and not with_wheels:
        raise UsageError(
            "only wheels are looked for in folders", got="--find-links", expected="--with-wheels beside it"
        )
    if target is not None:
        archive.check_target(target)
    project = Project.find()
    spec = located_yaml.read(project.pipeline_file(pipeline), PipelineSpec)
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    connections.enter(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        chosen = released_bundle.choose(project, spec, api, number, log)
        signature = signing.ensure_signed(project, chosen.bundle, log, key)
        sealed = chosen.bundle.verify()
        facts = {
            "model": pipeline,
            "version": chosen.version.version,
            "bundle": chosen.bundle.tag,
            "folder": str(chosen.bundle.folder),
            "bundle digest": sealed.digest,
            "package digest": sealed.facts["package_digest"],
            "data digest": sealed.facts["data_digest"],
            "was released": chosen.was_released,
            "signed": signature is not None,
        }
        if target is not None:
            options = ExportOptions(with_wheels, with_evidence, find_links, key or signing.key(project))
            written = export(project, api, chosen, target, options, log)
            facts |= {"archive": str(target), "archive digest": written.manifest.digest}
            facts |= {"megabytes": round(target.stat().st_size / 1e6, 1)}
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        for name, value in facts.items():
            click.echo(f"{name + ':':<16} {value}")
    return 0
