"""`modelyard new`"""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from components.core.errors import UsageError
from components.core.project import Project


@click.command(epilog="Example:  modelyard new flowers --from ./photos")
@click.argument("name")
@click.option(
    "--from", "place", required=True, type=click.Path(path_type=Path), help="A folder, an archive of one, or a table."
)
@click.option("--task", help="Instead of the task that the data looks like.")
@click.option("--label", metavar="COLUMN", help="The column of a table that is to be predicted.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def new(name: str, place: Path, task: str | None, label: str | None, as_json: bool) -> int:
    """Draft the dataset NAME and a pipeline for it from data: the task is recognised, expectations follow the data.

    Writes data/NAME/ and pipelines/NAME.yaml, and adds NAME to params.yaml; existing files are not overwritten.
    """
    from components.contracts.dataset import NAME
    from components.drafting import draft

    if not re.match(NAME, name):
        raise UsageError("not a name", got=name, expected="small letters, digits and -, beginning with a letter")
    drafted = draft.write(Project.find(), name, place, task, label)
    if as_json:
        click.echo(json.dumps(drafted._asdict(), indent=2))
        return 0
    labels = f", {drafted.labels} labels" if drafted.labels else ""
    click.echo(f"{drafted.task}: {drafted.why}; {drafted.samples:,} samples{labels}")
    for file in drafted.files:
        click.echo(f"  {file}")
    for note in drafted.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"read them, then `modelyard run {name}`", err=True)
    return 0
