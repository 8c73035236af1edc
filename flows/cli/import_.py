"""`modelyard import`"""

from __future__ import annotations

import json
from pathlib import Path

import click

from components.core.project import Project


@click.command(name="import", epilog="Example:  modelyard import digits.tar --public-key staging.pub --promote")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--promote", is_flag=True, help="Make it champion, through this installation's gates.")
@click.option("--require-signature", is_flag=True, help="Refuse an archive that is not signed with the public key.")
@click.option(
    "--public-key", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="The public key (PEM); default: MODELYARD_REQUIRE_SIGNATURE, or [signing] require in modelyard.toml.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_(file: Path, promote: bool, require_signature: bool, public_key: Path | None, as_json: bool) -> int:
    """Verify an archive that `modelyard bundle --export` wrote, and register its model here.

    Every byte, the evidence and (with a public key) the signature are verified first. The version says where it comes
    from; its data stays there. With --promote the pipeline of that name must be here: its gates decide (exit code 3 if
    one refuses).
    """
    from components.contracts.pipeline import PipelineSpec
    from components.core import located_yaml
    from components.core.errors import NotFoundError
    from components.packaging import archive
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.deployment import importing
    from flows.pipelines import signing
    from flows.platform import connections, lifecycle
    from flows.releases import authority, promotion

    project = Project.find()
    key = signing.verification_key(project, public_key, required=require_signature)
    if promote:
        with archive.unpacked(file) as opened:
            pipeline = project.pipeline_file(opened.facts.model)
        if not pipeline.is_file():
            raise NotFoundError(
                f"the pipeline {opened.facts.model}, whose gates would decide, is not here",
                where=str(pipeline),
                next_step="write it (an archive with evidence has the one of where it comes from: "
                "evidence/pipeline.yaml), or import without --promote",
            )
        located_yaml.read(pipeline, PipelineSpec)
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    authority.user_of_command(project)
    connections.enter(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        done = importing.import_archive(project, api, file, log, public_key=key)
        name, number = done.version.name, done.version.version
        facts = {
            "model": name,
            "version": number,
            "new": done.is_new,
            "archive digest": done.archive_digest,
            "signed with": done.signed_with,
            "evidence": done.evidence,
        }
        if promote:
            how = f"modelyard import {file.name} --promote"
            authority.require(project, name, authority.user_of_command(project), "promote")
            authority.leave_note(project, name, "champion", number, how)
            facts["url"] = promotion.promote(project, api, name, number, "champion", how, log).url
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return 0
    signed, state = "verified" if done.signed_with else "not verified", "registered" if done.is_new else "known already"
    click.echo(f"{name} version {number} is {state} (archive {done.archive_digest[:12]})")
    click.echo(f"  signature: {signed}; evidence: {done.evidence or 'none'}")
    click.echo(
        f"  it is champion, at {facts['url']}" if promote else f"  `modelyard promote {name} {number}` releases it"
    )
    return 0
