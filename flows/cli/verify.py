"""`modelyard verify`"""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from components.core.project import Project


@click.command(epilog="Example:  modelyard verify digits@champion")
@click.argument("target", metavar="BUNDLE|MODEL@ALIAS|URL")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(target: str, as_json: bool) -> int:
    """Recompute the chain of proof: bundle, package, model version, run, data, report, git commit, lock.

    TARGET is a folder of a bundle or a package, a bundle's tag, MODEL@ALIAS, MODEL:VERSION, or the URL of a running
    service. Every available file is read; a link whose files are not available is absent. Exit code 1 if a link is
    broken.
    """
    from contextlib import ExitStack

    from components.provenance import chain
    from components.provenance import target as targets
    from components.registry.api import Api
    from flows.cli import table
    from flows.platform import lifecycle

    project = Project.find()
    endpoints = lifecycle.endpoints(project)
    with ExitStack() as during:
        api = during.enter_context(Api(endpoints.mlflow, endpoints.credentials)) if endpoints else None
        proofs = [chain.prove(project, target, artifact, api) for artifact in targets.artifacts(project, target, api)]
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
