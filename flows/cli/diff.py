"""`modelyard diff`"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from components.core.errors import UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from components.inspection.difference import DataDifference, SampleChange

_NAMED = 5
_LABELS = 20


@click.command(epilog="Example:  modelyard diff digits v1..v2")
@click.argument("dataset")
@click.argument("revisions", required=False, metavar="[REV..REV]")
@click.option("--json", "as_json", is_flag=True, help="Print all changed samples as JSON.")
def diff(dataset: str, revisions: str | None, as_json: bool) -> int:
    """What changed between two versions of DATASET: samples added, gone, relabelled, moved between splits.

    REV..REV are git revisions, whose data is read from DVC's cache; REV alone is compared with the data that was
    prepared last, and so is HEAD without REV. Exit code 0 with and without changes.
    """
    from components.inspection import difference
    from components.versioning import data_version

    project = Project.find()
    before, after = _parse(revisions)
    found = difference.compare(
        data_version.at_revision(project, dataset, before),
        data_version.on_disk(project, dataset) if after is None else data_version.at_revision(project, dataset, after),
    )
    if as_json:
        click.echo(found.to_json())
        return 0
    click.echo(f"{dataset}: {found.before} -> {found.after}")
    _show(found)
    return 0


def _parse(revisions: str | None) -> tuple[str, str | None]:
    """The older revision, and the newer one; None: the data on disk."""
    before, _, after = (revisions or "HEAD").partition("..")
    if ".." in after or after.startswith(".") or before.startswith("-") or after.startswith("-"):
        raise UsageError("not two revisions", got=revisions, expected="REV, or REV..REV")
    return before or "HEAD", after or None


def _show(found: DataDifference) -> None:
    click.echo(f"  samples   {found.totals[0]:,} -> {found.totals[1]:,}")
    if found.is_empty:
        click.echo("  no sample differs")
        return
    _show_ids("added", found.added)
    _show_ids("gone", found.gone)
    _show_ids("replaced", found.replaced)
    _show_changes("relabelled", found.relabelled)
    _show_changes("moved", found.moved)
    _show_changes("renamed", found.renamed)
    for title, counts in (("splits", found.splits), ("labels", found.labels)):
        changed = {name: pair for name, pair in counts.items() if pair[0] != pair[1]}
        for name, (old, new) in list(changed.items())[:_LABELS]:
            click.echo(f"  {title:<9} {name or 'none'}: {old:,} -> {new:,}")
        if len(changed) > _LABELS:
            click.echo(f"  {title:<9} and {len(changed) - _LABELS:,} more")
    old_sizes, new_sizes = (", ".join(f"{size:,.0f}" for size in sizes) for sizes in found.sizes)
    if old_sizes != new_sizes:
        click.echo(f"  bytes     {old_sizes} -> {new_sizes} (5 %, median, 95 %)")


def _show_ids(title: str, ids: Sequence[str]) -> None:
    if ids:
        more = ", ..." if len(ids) > _NAMED else ""
        click.echo(f"  {title:<9} {len(ids):,}: {', '.join(ids[:_NAMED])}{more}")


def _show_changes(title: str, changes: Sequence[SampleChange]) -> None:
    if not changes:
        return
    click.echo(f"  {title:<9} {len(changes):,}:")
    for change in changes[:_NAMED]:
        click.echo(f"    {change.id}: {change.before or 'none'} -> {change.after or 'none'}")
    if len(changes) > _NAMED:
        click.echo("    ...")
