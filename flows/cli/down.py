"""`modelyard down`"""

from __future__ import annotations

import click

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
    ran = lifecycle.down(project, log=log)
    click.echo("stopped" if ran or runs else "nothing was running")
