"""`modelyard forget`"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import click

from components.core.errors import UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from components.monitoring.subject import Subject
    from flows.retention.forget import ForgetPlan


@click.command(epilog="Example:  modelyard forget --subject customer=4711 --dry-run")
@click.option("--sample", metavar="ID", help="A prediction's id, a sample's id in its dataset, or a sample's digest.")
@click.option("--subject", metavar="KEY=VALUE", help="Samples and inputs whose column or key KEY has this value.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--retrain", is_flag=True, help="Then run the pipelines that were trained on the samples.")
@click.option("--yes", is_flag=True, help="Do not ask before removing.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def forget(sample: str | None, subject: str | None, dry_run: bool, retrain: bool, yes: bool, as_json: bool) -> int:
    """Remove a person's rows and inputs from the prediction logs, and their samples from the datasets.

    Samples are named in `source.exclude` of data/NAME/dataset.yaml by digest, so that they are not ingested again. What
    was made from them is named: packages and bundles stay until the retrained model has taken their place. The ledger
    keeps numbers and digests of what was removed, and not the data.
    """
    from components.monitoring.subject import Subject
    from flows.retention import forget as forgetting

    project = Project.find()
    whose = _subject(Subject, sample, subject)
    if dry_run:
        _show(forgetting.make(project, whose), as_json)
        return 0
    with forgetting.lock(project):
        for left in forgetting.unfinished(project):
            click.echo(f"finishing what an earlier call began (.modelyard/forget/{left.request}.json)", err=True)
            forgetting.carry_out(project, left, _log)
        forgetting.seal(project)
        plan = forgetting.make(project, whose)
        _show(plan, as_json)
        if plan.is_empty:
            return 0
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("nothing is removed without a yes", next_step="look at it with --dry-run, then --yes")
            click.confirm("remove these?", abort=True, err=True)
        forgetting.carry_out(project, plan, _log)
    if retrain:
        _retrain(plan.pipelines)
    elif plan.pipelines:
        click.echo(f"`modelyard run {plan.pipelines[0]}` trains without them", err=True)
    return 0


def _subject(kind: type[Subject], sample: str | None, subject: str | None) -> Subject:
    if (sample is None) == (subject is None):
        raise UsageError("either --sample ID or --subject KEY=VALUE is expected")
    if subject is None:
        return kind(sample=sample)
    key, sign, value = subject.partition("=")
    if not sign or not key or not value:
        raise UsageError("--subject takes KEY=VALUE", got=subject, expected="as in --subject customer=4711")
    return kind(key=key, value=value)


def _retrain(pipelines: list[str]) -> None:
    from flows.cli.run import run

    with contextlib.redirect_stdout(sys.stderr):
        for name in pipelines:
            run.callback(name, (), (), False, False)  # type: ignore[misc]


def _show(plan: ForgetPlan, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**plan.model_dump(exclude={"subject"}), "empty": plan.is_empty}, indent=2))
        return
    if plan.is_empty:
        click.echo("nothing of it is here: no row of a prediction log, no sample of a dataset, no row of scores/")
        if plan.subject.key is not None:
            click.echo(
                f"(looked for: samples, rows and kept inputs whose column or key {plan.subject.key} has this value; a "
                "log without serving.log.inputs has the columns of its task alone)"
            )
    for model, rows in plan.logs.items():
        click.echo(f"log of {model}: {rows.rows:,} rows in {len(rows.hours)} hours")
    for name, samples in plan.datasets.items():
        splits = ", ".join(f"{count:,} {split}" for split, count in samples.splits.items() if split != "None")
        click.echo(f"dataset {name}: {len(samples.ids):,} samples{f' ({splits})' if splits else ''}")
    for one in plan.holders:
        version = f" (version {one.version})" if one.version else ""
        click.echo(f"{one.kind} {one.name}{version}: {one.why}")
    if plan.derived:
        click.echo(f"{len(plan.derived):,} references and judged windows: removed, and computed again without them")
    if plan.datasets:
        click.echo(
            "not removed: the source itself, which `source.exclude` only passes over; outputs of `modelyard score` "
            "(those below scores/ were searched); earlier data in DVC's cache, until `modelyard gc` with "
            'data_cache = "workspace" under [retention]; data that is not here'
        )


def _log(text: str) -> None:
    click.echo(text, err=True)
