"""`modelyard verify`"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click

from components.core.project import Project


@click.command(epilog="Example:  modelyard verify digits@champion")
@click.argument("target", metavar="BUNDLE|ARCHIVE|MODEL@ALIAS|URL")
@click.option("--require-signature", is_flag=True, help="What is not signed with the public key is broken.")
@click.option(
    "--public-key", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="The public key (PEM); default: MODELYARD_REQUIRE_SIGNATURE, or [signing] require in modelyard.toml.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(target: str, require_signature: bool, public_key: Path | None, as_json: bool) -> int:
    """Recompute the chain of proof: bundle, package, model version, run, data, report, git commit, lock.

    TARGET is a folder of a bundle or a package, a bundle's tag, an archive that `modelyard bundle --export` wrote,
    MODEL@ALIAS, MODEL:VERSION, or the URL of a running service. Every available file is read; a link whose files are
    not available is absent. Exit code 1 if a link is broken.
    """
    from contextlib import ExitStack

    from components.provenance import chain
    from components.provenance import target as targets
    from components.registry.api import Api
    from flows.cli import table
    from flows.deployment import archive_proof, signature_link
    from flows.deployment.signature_link import SignaturePolicy
    from flows.pipelines import signing
    from flows.platform import lifecycle

    project = Project.find()
    key = signing.verification_key(project, public_key, required=require_signature)
    policy = SignaturePolicy(key, require_signature)
    endpoints = lifecycle.endpoints(project)
    with ExitStack() as during:
        api = during.enter_context(Api(endpoints.mlflow, endpoints.credentials)) if endpoints else None
        if Path(target).is_file():
            proofs = [archive_proof.prove(project, Path(target), api, policy)]
        else:
            proofs = [
                replace(proof, links=(*signature_link.of_bundles(artifact.bundles, policy), *proof.links))
                for artifact in targets.artifacts(project, target, api)
                for proof in [chain.prove(project, target, artifact, api)]
            ]
    holds = all(proof.holds for proof in proofs)
    if as_json:
        chains = [{"subject": proof.subject, "links": [asdict(link) for link in proof.links]} for proof in proofs]
        click.echo(json.dumps({"target": target, "holds": holds, "chains": chains}, indent=2))
        return 0 if holds else 1
    for proof in proofs:
        click.secho(proof.subject, bold=True)
        table.show(["link", "state", ""], [[link.name, link.state, link.said] for link in proof.links])
        for link in proof.links:
            if link.state == "broken":
                click.secho(f"{link.name}: {link.said}", fg="red", err=True)
                for name in ("where", "got", "expected"):
                    if value := getattr(link, name):
                        click.echo(f"  {name + ':':<10}{value}", err=True)
    return 0 if holds else 1
