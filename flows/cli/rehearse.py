"""`modelyard rehearse`"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.core.errors import NotFoundError, UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from components.contracts.pipeline import PipelineSpec
    from components.contracts.rehearsal_request import PolicySpec, RehearsalRequest

RESULT, REPORT = "result.json", "report.html"
DEFAULT_SCENARIOS = ("none", "gradual", "sudden")


@click.command(epilog="Example:  modelyard rehearse digits --scenario none --scenario sudden:drop=0.2 --months 3")
@click.argument("pipeline")
@click.option(
    "--from", "source", default="dataset", metavar="SOURCE",
    help="Where rows come from: `dataset` (validation and test), `log` (the sealed prediction log), or a log's folder.",
)  # fmt: skip
@click.option(
    "--scenario", "scenarios", multiple=True, metavar="NAME[:KEY=VALUE,...]",
    help="What happens, several times for several; `all`: each that fits. Default: none, gradual, sudden.",
)  # fmt: skip
@click.option(
    "--against", type=click.Path(dir_okay=False, path_type=Path), metavar="OTHER.yaml",
    help="A pipeline file whose section monitor: is rehearsed beside this one's.",
)  # fmt: skip
@click.option("--months", type=click.FloatRange(min=0, max=120, min_open=True), default=3.0, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same result.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Copy the report there.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def rehearse(
    pipeline: str, source: str, scenarios: tuple[str, ...], against: Path | None, months: float, seed: int,
    html: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Rehearse the monitoring policy of PIPELINE: months of traffic in minutes, with drift that is known.

    Which alarms, how late, how many false; what followed, what was held back; what it would have cost. Requests are
    rows that the model did not learn from, with its own answers; alarms and orders are decided by the code that decides
    in production. Nothing is sent, trained or released. Scenarios and their parameters: docs/rehearse.md.
    """
    from components.core import located_yaml
    from flows.cli.run import log
    from flows.pipelines import named_pipeline

    project = Project.find()
    spec = named_pipeline.read(project, pipeline)
    other = None
    if against is not None:
        if not against.is_file():
            raise NotFoundError("no such pipeline file", where=str(against), expected="a file with a section monitor:")
        from components.contracts.pipeline import PipelineSpec

        other = located_yaml.read(against, PipelineSpec)
        if other.monitor is None:
            raise UsageError("there is no policy to compare with", where=str(against), expected="a section monitor:")
    request = _request(project, spec, other, against, (source, scenarios, months, seed))
    _run(project, request, log)
    folder = project.root / request.target
    result = json.loads((folder / RESULT).read_bytes())
    if html is not None:
        from components.core import atomic

        atomic.write_text(html, (folder / REPORT).read_text(encoding="utf-8"))
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        _show(result, html or folder / REPORT)
    return 0


def _request(
    project: Project, spec: PipelineSpec, other: PipelineSpec | None, against: Path | None,
    options: tuple[str, tuple[str, ...], float, int],
) -> RehearsalRequest:  # fmt: skip
    from components.contracts.rehearsal_request import RehearsalRequest

    source, scenarios, months, seed = options
    log_folder = _log_folder(project, spec.name, source)
    policies = [_policy(spec.name, spec)]
    if other is not None and against is not None:
        policies.append(_policy(other.name if other.name != spec.name else against.stem + " (other)", other))
    places = [project.state / "packages", project.bundles / "bentos" / spec.name]
    package = None if log_folder is not None else _package(project, spec)
    rehearsals = project.state / "rehearsals"
    return RehearsalRequest(
        model=spec.name,
        dataset=_inside(project, project.dataset(spec.dataset)),
        packages=[_inside(project, place) for place in places],
        package=package,
        log=None if log_folder is None else _inside(project, log_folder),
        cache=_inside(project, rehearsals / "rows"),
        references=_inside(project, project.state / "references"),
        target=_inside(project, rehearsals / spec.name),
        policies=policies,
        scenarios=_scenarios(scenarios, has_log=log_folder is not None),
        only_fitting=scenarios == ("all",),
        months=months,
        seed=seed,
        training_seconds=_training_seconds(project),
    )


def _policy(name: str, spec: PipelineSpec) -> PolicySpec:
    from components.contracts.monitor_spec import MonitorSpec
    from components.contracts.rehearsal_request import PolicySpec

    return PolicySpec(
        name=name,
        monitor=spec.monitor or MonitorSpec(),
        canary_percent=spec.release.canary_percent,
        keeps_inputs=spec.serving.log.inputs,
        enforce=spec.serving.enforce,
    )


def _scenarios(texts: tuple[str, ...], *, has_log: bool) -> list[Any]:
    from components.contracts.rehearsal_scenario import SCENARIOS, ScenarioSpec

    if texts == ("all",):
        left_out = {"broken_sensor"} if has_log else {"recorded"}
        texts = tuple(name for name in SCENARIOS if name not in left_out)
    return [ScenarioSpec.parse(text) for text in texts or DEFAULT_SCENARIOS]


def _log_folder(project: Project, model: str, source: str) -> Path | None:
    from flows.cli import prediction_folder

    if source == "dataset":
        return None
    if source == "log":
        return prediction_folder.find(project, model)
    folder = Path(source).resolve()
    if not (folder / "sealed").is_dir() or not folder.is_relative_to(project.root):
        raise UsageError(
            "there is no prediction log to rehearse on",
            got=source,
            expected="`dataset`, `log`, or the folder of a prediction log with sealed hours, in the project",
        )
    return folder


def _package(project: Project, spec: PipelineSpec) -> str:
    """The digest of the newest package of the pipeline that fits the prepared data.

    Raises:
        NotFoundError: there is none.
    """
    from components.identity import manifest as manifests

    data = manifests.load(project.dataset(spec.dataset) / "prepared", "prepared").digest
    found = []
    for path in (project.state / "packages").glob("*/manifest.json"):
        manifest = manifests.read(path)
        if manifest.facts.get("pipeline") == spec.name and manifest.facts.get("data_digest") == data:
            found.append((path.stat().st_mtime, manifest.digest))
    if not found:
        raise NotFoundError(
            f"there is no trained model of {spec.name} on the present data",
            where=str(project.state / "packages"),
            next_step=f"`modelyard run {spec.name}`",
        )
    return max(found)[1]


def _training_seconds(project: Project) -> dict[str, float]:
    """What the training of each package took, by the package's digest, where it is known."""
    from components.identity import manifest as manifests
    from flows.pipelines import training_duration

    found = {}
    for path in (project.state / "packages").glob("*/manifest.json"):
        manifest = manifests.read(path)
        fingerprint = str(manifest.facts.get("train_fingerprint") or manifest.facts.get("train_key") or "")
        if re.fullmatch("[0-9a-f]{64}", fingerprint):
            seconds = training_duration.seconds(project.run_folder(fingerprint))
            if seconds is not None:
                found[manifest.digest] = seconds
    return found


def _inside(project: Project, path: Path) -> str:
    return path.relative_to(project.root).as_posix()


def _run(project: Project, document: RehearsalRequest, log: Any) -> None:
    from flows.pipelines import stage_requests
    from flows.runners import stage_runner
    from flows.runners.local_runner import LocalProcessRunner

    stage_runner.run(LocalProcessRunner(project.root), stage_requests.rehearsal(project, document), log, log)


def _show(result: dict[str, Any], report: Path) -> None:
    from flows.cli import table

    table.show(result["heads"], result["rows_of_table"])
    for one in result["results"]:
        where = f"{one['scenario']}, {one['policy']}"
        cost = one["cost"]
        if one["held_back"]:
            click.echo(f"{where}: held back by " + ", ".join(f"{why} {n}x" for why, n in one["held_back"].items()))
        if cost["retrainings"] and cost["retraining_seconds"] is not None:
            click.echo(f"{where}: {cost['retraining_seconds']:,.0f} s of training in {cost['retrainings']} retrainings")
        if cost["unanswered"] or cost["refused"]:
            click.echo(f"{where}: {cost['unanswered']:,} requests not answered, {cost['refused']:,} refused")
        for note in one["notes"]:
            click.echo(f"note: {where}: {note}", err=True)
    for note in result["notes"]:
        click.echo(f"note: {note}", err=True)
    click.echo("simulated: traffic, retrained models, what a person does (docs/rehearse.md)", err=True)
    click.echo(f"report  {report}")
