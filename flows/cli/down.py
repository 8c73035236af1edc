"""`modelyard down`"""

from __future__ import annotations

import click

from components.contracts.project import Project


@click.command(epilog="Example:  modelyard down")
def down() -> None:
    """Stop the stack and every service it runs. Data, models and schedules stay; `up` brings all of it back."""
    from flows import stack

    ran = stack.down(Project.find(), say=lambda line: click.echo(f"  {line}", err=True))
    click.echo("stopped" if ran else "nothing was running")
