"""`modelyard predictions`"""

from __future__ import annotations

import json

import click

from components.core.project import Project


@click.command(epilog="Example:  modelyard predictions digits")
@click.argument("model")
@click.option("--by", metavar="COLUMN", help="Also by the values of a column of the answers, as raw.row.age.")
@click.option("--push", is_flag=True, help="Copy sealed hours to the artifact store, whatever modelyard.toml says.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def predictions(model: str, by: str | None, push: bool, as_json: bool) -> int:
    """What MODEL has answered in production, by version and role, and how well, where the truth is known.

    Hours that are over are sealed: Parquet files below .modelyard/predictions/MODEL/sealed.
    """
    from components.monitoring import overview
    from flows.cli import prediction_folder, table
    from flows.platform import log_upkeep

    project = Project.find()
    log = prediction_folder.find(project, model)
    request = log_upkeep.request_of(project, log, push=push)
    found = overview.overview(log, request.retention_days, request.store, by)
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
        part = "" if one.slice is None else f"{by} {one.slice}: "
        click.echo(f"  {part}version {one.version}, {one.role}: {one.metric} {interval}, {one.samples:,} answers")
    for two in found.comparisons:
        metric = "accuracy" if two.metric == "accuracy" else "mean squared error"
        part = "" if two.slice is None else f"{by} {two.slice}: "
        click.echo(
            f"  {part}version {two.challenger} ({two.role}) against {two.champion}: {metric} {two.difference:+.4f} "
            f"(95 %: {two.low:+.4f} to {two.high:+.4f}), {two.samples:,} {'same' if two.paired else 'other'} samples"
        )
    odd = {
        "requests are missing, as they came too fast": found.dropped,
        "lines cannot be read": found.unreadable,
        "truths are of answers that are not in the log": truths.unknown,
        "answers have contradicting truths; the last counts": truths.contradicting,
        "truths came more than 30 days late": truths.late,
        "truths were told twice": truths.double,
        "answers were removed by `modelyard forget`": found.forgotten,
        "truths are of another kind than the answer": found.unscored,
    }
    for text, count in odd.items():
        if count:
            click.echo(f"note: {count:,} {text}", err=True)
    if found.unknown_note:
        click.echo(f"note: {found.unknown_note}", err=True)
    click.echo(f"{found.sealed} hours are sealed, {found.open} open: {log}")
    return 0
