"""`modelyard doctor`"""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command(epilog="Example:  modelyard doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> int:
    """Check this machine and this project: each check is ok, warn or fail, with what to do. Exit code 1 on fail."""
    from components.core.project import Project
    from flows.platform.diagnostics import diagnose
    from flows.serving_targets import cluster_report, hosts_report

    project = Project.find()
    findings = diagnose(project, [hosts_report.finding, cluster_report.finding])
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        from flows.cli import table

        table.show(["check", "", "found"], [[row.check, row.verdict, row.found] for row in findings])
        for row in findings:
            if row.verdict != "ok" and row.what_to_do:
                click.echo(f"{row.check}: {row.what_to_do}")
    return 1 if any(finding.verdict == "fail" for finding in findings) else 0
