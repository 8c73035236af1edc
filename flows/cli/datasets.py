"""`modelyard datasets`"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from components.core.errors import ModelyardError
from components.core.project import Project

if TYPE_CHECKING:
    from components.identity.manifest import Kind


@dataclass(frozen=True)
class DatasetRow:
    """A dataset and its products. `modelyard why` shows whether they are up to date.

    Args:
        raw, validated, prepared: short digest of the product; None if it does not exist.
        counts: number of samples by split; empty until the dataset is prepared.
        problem: the error of dataset.yaml or of a manifest, or None.
    """

    name: str
    title: str
    source: str
    raw: str | None
    validated: str | None
    prepared: str | None
    counts: dict[str, int]
    problem: str | None


@click.command(epilog="Example:  modelyard datasets --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def datasets(as_json: bool) -> int:
    """The datasets of this project: source, digests of the products, samples by split. Exit code 1 if one is broken."""
    project = Project.find()
    rows = [_row(project, path.parent.name) for path in sorted((project.root / "data").glob("*/dataset.yaml"))]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif not rows:
        click.echo("no datasets: data/<name>/dataset.yaml describes one", err=True)
    else:
        from flows.cli import table

        table.show(
            ["dataset", "source", "raw", "validated", "prepared", "samples", "title"],
            [_cells(row) for row in rows],
        )
        for row in rows:
            if row.problem:
                click.echo(row.problem, err=True)
    return 1 if any(row.problem for row in rows) else 0


def _cells(row: DatasetRow) -> list[str]:
    digests = [digest or "-" for digest in (row.raw, row.validated, row.prepared)]
    counts = ", ".join(f"{split} {count}" for split, count in row.counts.items())
    return [row.name, row.source, *digests, counts, row.title]


def _row(project: Project, name: str) -> DatasetRow:
    from components.identity import digest, manifest
    from components.tasks.dataset_file import open_dataset

    folder = project.dataset(name)
    title, source = "", ""
    problems: list[str] = []
    digests: dict[str, str | None] = {}
    counts: dict[str, int] = {}
    try:
        spec, _, _ = open_dataset(folder)
        title, source = spec.title, spec.source.kind
    except ModelyardError as error:
        problems.append(str(error))
    kinds: tuple[Kind, ...] = ("raw", "validated", "prepared")
    for kind in kinds:
        digests[kind] = None
        if not (folder / kind / manifest.FILE_NAME).is_file():
            continue
        try:
            sealed = manifest.load(folder / kind, kind)
        except ModelyardError as error:
            problems.append(str(error))
            continue
        digests[kind] = digest.short(sealed.digest)
        if kind == "prepared":
            counts = dict(sealed.facts.get("counts", {}))
    problem = "\n".join(problems) or None
    return DatasetRow(name, title, source, digests["raw"], digests["validated"], digests["prepared"], counts, problem)
