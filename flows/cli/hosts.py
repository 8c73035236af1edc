"""`modelyard hosts`"""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import click

from components.core.errors import NotFoundError, ServingError, UsageError
from components.core.project import Project


@click.command(epilog="Example:  modelyard hosts digits --haproxy > haproxy.cfg")
@click.argument("pipeline", required=False)
@click.option("--haproxy", is_flag=True, help="Print HAProxy's configuration for PIPELINE: its health is /readyz.")
@click.option("--bind", default=":8080", show_default=True, help="With --haproxy: the address on which it listens.")
@click.option("--systemd", "unit_of", metavar="HOST", help="Print a unit that starts HOST's services at boot.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def hosts(pipeline: str | None, haproxy: bool, bind: str, unit_of: str | None, as_json: bool) -> int:
    """The hosts that serve, `[hosts.NAME]` in modelyard.toml: which answer, and what they serve.

    Exit code 1 if a host does not answer.
    """
    from components.contracts import settings
    from components.deployment import haproxy as proxies
    from flows.cli import table
    from flows.serving_targets import hosts_placement, hosts_report

    project = Project.find()
    if haproxy and unit_of is not None:
        raise UsageError("one file at a time", where="--haproxy and --systemd", next_step="name one of them")
    if unit_of is not None:
        click.echo(_unit(project, unit_of), nl=False)
        return 0
    if haproxy and pipeline is None:
        raise UsageError("whose services?", next_step="modelyard hosts PIPELINE --haproxy")
    if re.fullmatch(r"[0-9A-Za-z.*\[\]:-]*:[0-9]{1,5}", bind) is None:
        raise UsageError("expected [ADDRESS]:PORT, as :8080", where="--bind", got=bind)
    if pipeline is not None and not project.pipeline_file(pipeline).is_file():
        raise NotFoundError(f"no pipeline {pipeline}", where=str(project.pipelines))
    hosts_placement.check(project, pipeline)
    found = hosts_report.report(project)
    if haproxy and pipeline is not None:
        urls = {host.name: one.url for host in found for one in host.services if one.model == pipeline and one.url}
        missing = [host.name for host in found if host.name not in urls]
        if not urls:
            raise ServingError(f"no host serves {pipeline}", next_step="`modelyard hosts` shows what they serve")
        serving = settings.read(project.root).serving
        lease_over = serving.lease_over if serving.lease_seconds is not None else None
        click.echo(proxies.configuration(pipeline, urls, bind, lease_over), nl=False)
        if missing:
            click.echo(f"note: without {', '.join(missing)}, where {pipeline} does not run", err=True)
        return 0
    if as_json:
        click.echo(json.dumps([asdict(host) for host in found], indent=2))
    elif not found:
        click.echo("this machine serves; [hosts.NAME] in modelyard.toml names others: docs/hosts.md")
    else:
        rows = [
            [
                host.name,
                one.model,
                one.state if host.models is None or one.model in host.models else f"{one.state}, moved",
                one.version or "",
                f"{one.workers}/{one.expected}",
                " ".join(
                    filter(None, (one.url, f"lease {one.lease_seconds:g} s" if one.lease_seconds else "", one.note))
                ),
            ]
            for host in found
            for one in host.services
            if pipeline in (None, one.model)
        ]
        rows += [[host.name, "", "ready", "", "", f"serves nothing; {host.place}"] for host in found
                 if not host.problem and not any(pipeline in (None, one.model) for one in host.services)]  # fmt: skip
        rows += [[host.name, "", "absent", "", "", host.problem] for host in found if host.problem]
        table.show(["host", "model", "", "version", "workers", ""], sorted(rows))
    return 1 if any(host.problem for host in found) else 0


def _unit(project: Project, name: str) -> str:
    from components.deployment import host_unit
    from flows.serving_targets import host_connections

    hosts = {host.name: host for host in host_connections.connections(project)}
    if name not in hosts:
        raise NotFoundError(f"no host {name}", where="modelyard.toml", expected=", ".join(hosts) or "[hosts.NAME]")
    host = hosts[name]
    return host_unit.unit(name, host.user, host.settings.folder, host.settings.python)
