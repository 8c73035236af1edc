"""`modelyard predictions`"""

from __future__ import annotations

import json

import click

from components.core.project import Project


@click.command(epilog="Example:  modelyard predictions digits")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def predictions(model: str, as_json: bool) -> int:
    """What MODEL has answered in production, by version and role, and how well, where the truth is known.

    Hours that are over are sealed: Parquet files below .modelyard/predictions/MODEL/sealed.
    """
    from components.contracts.pipeline import PipelineSpec
    from components.core import located_yaml
    from components.monitoring import overview
    from flows.cli import prediction_folder, table

    project = Project.find()
    log = prediction_folder.find(project, model)
    file = project.pipeline_file(model)
    kept = located_yaml.read(file, PipelineSpec).serving.log.retention_days if file.is_file() else None
    found = overview.overview(log, kept)
    if as_json:
        click.echo(json.dumps(found.document(), indent=2))
        return 0
    table.show(
        ["version", "role", "answers", "first", "last", "median ms"],
        [
            [one.version, one.role, f"{one.predictions:,}", one.first, one.last, f"{one.median_ms:.1f}"]
            for one in found.slots
        ],
    )
    truths = found.truths
    click.echo(f"{truths.labelled:,} of {truths.labelled + truths.unlabelled:,} answers have a truth")
    for one in found.figures:
        interval = f"{one.value:.4f} (95 %: {one.low:.4f} to {one.high:.4f})"
        click.echo(f"  version {one.version}, {one.role}: {one.metric} {interval}, {one.samples:,} answers")
    odd = {
        "requests are missing, as they came too fast": found.dropped,
        "lines cannot be read": found.unreadable,
        "truths are of answers that are not in the log": truths.unknown,
        "answers have contradicting truths; the last counts": truths.contradicting,
        "truths came more than 30 days late": truths.late,
        "truths were told twice": truths.double,
        "truths are of another kind than the answer": sum(one.unscored for one in found.figures),
    }
    for text, count in odd.items():
        if count:
            click.echo(f"note: {count:,} {text}", err=True)
    click.echo(f"{found.sealed} hours are sealed, {found.open} open: {log}")
    return 0
