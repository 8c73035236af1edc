"""`modelyard new`"""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from components.core.errors import UsageError
from components.core.project import Project
from flows.cli import trial
from flows.cli.duration import Duration


@click.command(epilog="Example:  modelyard new flowers --from ./photos")
@click.argument("name")
@click.option(
    "--from", "place", required=True, type=click.Path(path_type=Path), help="A folder, an archive of one, or a table."
)
@click.option("--task", help="Instead of the task that the data looks like.")
@click.option("--label", metavar="COLUMN", help="The column of a table that is to be predicted.")
@click.option(
    "--try", "seconds", type=Duration(), metavar="DURATION",
    help="Also train the task's candidates for so long in all, such as 2m, and write the best one into the pipeline.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def new(name: str, place: Path, task: str | None, label: str | None, seconds: float | None, as_json: bool) -> int:
    """Draft the dataset NAME and a pipeline for it from data: the task is recognised, expectations follow the data.

    Writes data/NAME/ and pipelines/NAME.yaml, and adds NAME to params.yaml; existing files are not overwritten.
    """
    from components.contracts.dataset import NAME
    from components.drafting import draft

    if not re.match(NAME, name):
        raise UsageError("not a name", got=name, expected="small letters, digits and -, beginning with a letter")
    project = Project.find()
    drafted = draft.write(project, name, place, task, label)
    if as_json:
        outcome = {} if seconds is None else {"trial": trial.document(trial.run_trial(project, name, seconds))}
        click.echo(json.dumps({**drafted._asdict(), **outcome}, indent=2))
        return 0
    labels = f", {drafted.labels} labels" if drafted.labels else ""
    click.echo(f"{drafted.task}: {drafted.why}; {drafted.samples:,} samples{labels}")
    for file in drafted.files:
        click.echo(f"  {file}")
    for note in drafted.notes:
        click.echo(f"note: {note}", err=True)
    if seconds is not None:
        trial.show(trial.run_trial(project, name, seconds))
    click.echo(f"read them, then `modelyard run {name}`", err=True)
    if seconds is None:
        click.echo(
            f"(`modelyard try {name} --for 2m` first: trains the task's candidates, keeps the best one)", err=True
        )
    return 0
