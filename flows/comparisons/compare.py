"""Several models of one dataset, trained at equal budget and measured side by side.

Each goes the way of `modelyard run` as far as the sealed package: what stands already is not made again, so a
comparison that was interrupted goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components import tasks, versioning
from components.contracts.comparison import Compared, ComparisonRequest, ComparisonTable
from components.core.errors import Interrupted, ModelyardError, TrainingError, UsageError
from components.core.project import Project
from components.identity import digest, user_source
from components.identity import manifest as manifests
from components.registry import comparison_runs, tracking, versions
from components.registry.api import Api
from components.registry.tracking import Run
from flows.comparisons import epoch_timing
from flows.comparisons.comparison import Comparison
from flows.pipelines import (
    bundle_plan,
    fingerprints,
    plan,
    pretrained,
    prewarm,
    stage_requests,
    stages,
    training_duration,
)
from flows.pipelines.fingerprints import Fingerprint, Fingerprints
from flows.pipelines.stages import Log, RunContext

COMPARISON = "components.comparison.quality"
FLOW = "modelyard compare"


@dataclass(frozen=True)
class Outcome:
    """A comparison that was made: its table, the folder of its report, its page in MLflow."""

    table: ComparisonTable
    folder: Path
    url: str


@dataclass(frozen=True)
class _Trained:
    work: RunContext
    fingerprints: Fingerprints
    run: Run
    compared: Compared


def run(project: Project, asked: Comparison, api: Api, server: str, log: Log) -> Outcome:
    """Train what is due, measure, and put the report on disk and into MLflow.

    Args:
        server: the MLflow server's URL.

    Raises:
        Interrupted: Ctrl-C; what was done is kept.
        TrainingError: fewer than two models could be trained.
    """
    first = RunContext(project, asked.models[0], api, log)
    parent: Run | None = None
    try:
        _prepare(first)
        works = [RunContext(project, spec, api, log) for spec in asked.models]
        with ExitStack() as during:
            timed = all(epoch_timing.known(work, _keys(work, asked)) for work in works)
            if asked.budget.seconds is not None and not timed:
                during.enter_context(prewarm.waiting(["training"], project.root))
            works = [_within_budget(work, asked) for work in works]
            known = [_keys(work, asked) for work in works]
            if not all(map(_is_trained, works, known)):
                during.enter_context(prewarm.waiting(["training"], project.root))
            parent = comparison_runs.parent(api, asked.name, _identity(known))
            trained, failed = _train_all(asked, works, known, parent)
        folder = project.reports(asked.name)
        _measure(asked, trained, failed, folder)
        table = ComparisonTable.model_validate_json((folder / "table.json").read_bytes())
        _log(asked, trained, table, parent, folder)
    except (Interrupted, KeyboardInterrupt) as error:
        if parent is not None:
            tracking.finish(api, parent, "KILLED")
        raise Interrupted("the comparison was stopped", next_step="the same command goes on from here") from error
    except ModelyardError:
        if parent is not None:
            tracking.finish(api, parent, "FAILED")
        raise
    tracking.finish(api, parent, "FINISHED")
    return Outcome(table, folder, parent.url(server))


def _prepare(work: RunContext) -> None:
    """Bring the dataset up to date."""
    for stage in plan.DATA_STAGES:
        if not stages.is_current(work, stage):
            work.log(f"{stage} {work.spec.dataset}")
            stages.data_stage(work, stage, force=False)


def _within_budget(work: RunContext, asked: Comparison) -> RunContext:
    """The same work with as many epochs as its budget has."""
    epochs = asked.budget.epochs
    if asked.budget.seconds is not None:
        needs = epoch_timing.seconds_per_epoch(work, _keys(work, asked))
        epochs = max(1, round(asked.budget.seconds / needs))
        work.log(f"{asked.shown(work.spec)}: {needs:.1f} s an epoch, so {epochs} of them")
    if epochs is None:
        return work
    train = work.spec.train.model_copy(update={"epochs": epochs})
    return replace(work, spec=work.spec.model_copy(update={"train": train}))


def _keys(work: RunContext, asked: Comparison) -> Fingerprints:
    project, spec = work.project, work.spec
    begin = pretrained.digest(work.api, spec)
    found = fingerprints.of(spec, versioning.data_digest(project, spec.dataset), project.source_root, begin)
    if asked.named:
        return found
    # A package says of which pipeline it is: these are of none, and must not stand where a pipeline would put its own.
    return replace(found, package=Fingerprint({**found.package.parts, "comparison": spec.name}))


def _identity(known: Sequence[Fingerprints]) -> str:
    return digest.of_value([one.package.digest for one in known])


def _is_trained(work: RunContext, known: Fingerprints) -> bool:
    trained = work.project.run_folder(known.train.digest) / "trained"
    return plan.sealed_digest(trained, "trained") is not None


def _train_all(
    asked: Comparison, works: Sequence[RunContext], known: Sequence[Fingerprints], parent: Run
) -> tuple[list[_Trained], dict[str, str]]:
    """Every model to its package; one that cannot be trained is named and left out."""
    trained: list[_Trained] = []
    failed: dict[str, str] = {}
    for number, (work, one) in enumerate(zip(works, known, strict=True)):
        name = asked.shown(work.spec)
        work.log(f"[{number + 1}/{len(works)}] {name}")
        try:
            trained.append(_model(asked, work, one, parent))
        except (UsageError, Interrupted):
            raise
        except ModelyardError as error:
            failed[name] = "; ".join(line.strip() for line in error.lines())
            work.log(f"{name}: {failed[name]}")
    if len(trained) < 2:
        raise TrainingError(
            "fewer than two models could be trained",
            got="; ".join(f"{name}: {reason}" for name, reason in failed.items()),
        )
    return trained, failed


def _model(asked: Comparison, work: RunContext, known: Fingerprints, parent: Run) -> _Trained:
    """One model through training and evaluation."""
    project, spec = work.project, work.spec
    experiment = replace(work, spec=spec.model_copy(update={"name": asked.name}))
    run = stages.begin_run(experiment, known, FLOW)
    comparison_runs.adopt(work.api, parent, run, asked.shown(spec))
    folder, package = project.run_folder(known.train.digest), project.package(known.package.digest)
    if _is_trained(work, known):
        work.log("trained already")
    else:
        stages.train(work, known, run, force=False)
    if plan.sealed_digest(package) is None:
        stages.evaluate(work, known, run)
    facts: dict[str, Any] = manifests.load(folder / "trained", "trained").facts
    prepared = manifests.load(project.dataset(spec.dataset) / "prepared", "prepared").facts
    seconds = training_duration.seconds(folder)
    compared = Compared(
        name=asked.shown(spec),
        family=spec.model.family,
        architecture=spec.model.name,
        package=str(package.relative_to(project.root)),
        parameters=facts["parameters"],
        epochs=facts["epochs"],
        kept_epoch=facts["kept_epoch"],
        training_seconds=seconds,
        samples_per_second=prepared["counts"]["train"] * facts["epochs"] / seconds if seconds else None,
        bundle_bytes=_bundle_bytes(work, known) if asked.named else None,
    )
    return _Trained(work, known, run, compared)


def _bundle_bytes(work: RunContext, known: Fingerprints) -> int | None:
    """Bytes of the bundle of this very package, if it was registered and built."""
    version = versions.by_key(work.api, work.spec.name, known.package.digest)
    bundle = bundle_plan.of(work.project, work.spec, version).bundle if version else None
    if bundle is None or not bundle.exists():
        return None
    return sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file())


def _measure(asked: Comparison, trained: Sequence[_Trained], failed: dict[str, str], folder: Path) -> None:
    work, known = trained[0].work, trained[0].fingerprints
    project, spec = work.project, work.spec
    task = tasks.find(spec.task)
    scoring = [COMPARISON, tasks.module(spec.task), task.scorer.partition(":")[0]]
    code = user_source.identity(scoring, project.source_root)
    request = ComparisonRequest(
        title=" · ".join(asked.shown(model) for model in asked.models) + f" on {spec.dataset}",
        dataset=spec.dataset,
        budget=asked.budget.words(),
        prepared=str((project.dataset(spec.dataset) / "prepared").relative_to(project.root)),
        data_digest=known.data_digest,
        scoring=digest.of_value([code.functions, code.libraries]),
        known=str((project.state / "quality").relative_to(project.root)),
        target=str(folder.relative_to(project.root)),
        models=[one.compared for one in trained],
        failed=failed,
    )
    work.run(stage_requests.comparison(project, asked.name, request))


def _log(asked: Comparison, trained: Sequence[_Trained], table: ComparisonTable, parent: Run, folder: Path) -> None:
    """Each model's figures to its run; table, plot and page to the comparison's."""
    api = trained[0].work.api
    rows = {row.name: row for row in table.rows}
    for one in trained:
        row = rows[one.compared.name]
        figures = {
            f"compare/{table.metric}": row.quality.value,
            f"compare/{table.metric}_lower": row.quality.lower,
            f"compare/{table.metric}_upper": row.quality.upper,
            "compare/parameters": float(row.parameters),
            "compare/epochs": float(row.epochs),
            "compare/latency_ms": row.latency_ms,
            "compare/serves_bytes": float(row.serves_bytes),
            "compare/training_seconds": row.training_seconds,
            "compare/samples_per_second": row.samples_per_second,
            "compare/bundle_bytes": row.bundle_bytes,
        }
        known = {name: float(value) for name, value in figures.items() if value is not None}
        tracking.log_metrics(api, one.run, known, step=0)
        tracking.finish(api, one.run, "FINISHED")
    asked_for = {"dataset": table.dataset, "budget": table.budget, "models": ", ".join(rows), "metric": table.metric}
    comparison_runs.attach(api, parent, folder, markdown(table), asked_for)


def markdown(table: ComparisonTable) -> str:
    """The table for the run's page."""
    lines = [
        f"{table.title}; budget of each: {table.budget}",
        "",
        f"| model | {table.metric} | parameters | training s | latency ms | serves MB |",
        "|---|---|---|---|---|---|",
    ]
    for row in table.rows:
        seconds = "-" if row.training_seconds is None else f"{row.training_seconds:.1f}"
        found = f"{row.quality.value:.4f} [{row.quality.lower:.4f}, {row.quality.upper:.4f}]"
        costs = f"{row.parameters:,} | {seconds} | {row.latency_ms:.2f} | {row.serves_bytes / 1e6:.2f}"
        lines.append(f"| {row.name} | {found} | {costs} |")
    return "\n".join(lines)
