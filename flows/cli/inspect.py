"""`modelyard inspect`"""

from __future__ import annotations

import click

from components.core.project import Project


@click.command(epilog="Example:  modelyard inspect digits")
@click.argument("dataset")
@click.option(
    "--model", metavar="PIPELINE|VERSION",
    help="Labels of validation and test are judged by this trained model: PIPELINE (its last one), PIPELINE:VERSION, "
    "PIPELINE@ALIAS, or VERSION of the dataset's only pipeline. Default: by a light model, as those of train.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print everything that was found as JSON.")
def inspect(dataset: str, model: str | None, as_json: bool) -> int:
    """Look for likely wrong labels, conflicting labels, near-duplicates and outliers in DATASET.

    Samples that a run has ingested and then refused are inspected as they are.

    Writes one HTML page with the pictures or texts. Changes nothing; what it names is for a person to judge.
    """
    from components.inspection import inspection, page
    from flows.cli import inspected_model

    project = Project.find()
    trained = None if model is None else (model, inspected_model.find(project, dataset, model))
    found, task, source = inspection.inspect(project, dataset, trained)
    path = project.reports(dataset) / "inspection.html"
    page.write(found, task, source, path)
    if as_json:
        click.echo(found.to_json())
        return 0
    noise = "" if found.noise is None else f" (about {found.noise:.1%} of all are estimated to be wrong)"
    click.echo(f"{dataset}: {found.samples:,} samples")
    click.echo(f"  {len(found.wrong_labels):,} labels are likely to be wrong{noise}")
    for one in found.wrong_labels[:5]:
        click.echo(f"    {one.id}: {one.label}, rather {one.suggested}")
    click.echo(f"  {len(found.conflicts):,} pairs of equal or nearly equal samples have two labels")
    click.echo(f"  {len(found.near_duplicates):,} pairs of near-duplicates")
    click.echo(f"  {len(found.outliers):,} outliers")
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(str(path))
    return 0
