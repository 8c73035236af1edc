"""`modelyard down`"""

from __future__ import annotations

from contextlib import suppress

import click

from components.contracts import settings
from components.core.errors import SpecError
from components.core.project import Project


@click.command(epilog="Example:  modelyard down")
def down() -> None:
    """Stop the stack and every service it runs. Data, models and schedules stay; `up` brings all of it back.

    Running flow runs are stopped first, as by Ctrl-C; the next run resumes from the checkpoint.
    """
    from flows.platform import crashed_runs, lifecycle

    def log(line: str) -> None:
        click.echo(f"  {line}", err=True)

    project = Project.find()
    runs = crashed_runs.started_by_hand(project)
    if runs:
        log(f"stopping {len(runs)} run{'s' if len(runs) > 1 else ''} that would wait for the stack")
        for process in crashed_runs.interrupt(runs):
            log(f"process {process.pid} does not stop; it will when Prefect has not answered for some minutes")
    with suppress(SpecError):  # a wrong file does not keep the stack running
        found = settings.read(project.root)
        if found.hosts and found.serving.lease_seconds is not None:
            then = "answer nobody" if found.serving.lease_over == "refuse" else "are not ready"
            log(f"note: {found.serving.lease_seconds:g} s after this, the hosts' leases are over, and they {then}")
    ran = lifecycle.down(project, log=log)
    click.echo("stopped" if ran or runs else "nothing was running")
