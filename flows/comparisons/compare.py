"""Several models of one dataset, trained at equal budget and measured side by side.

Each model runs the stages of `modelyard run` up to the sealed package. Stages that are up to date are skipped, so an
interrupted comparison resumes.
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
from components.core.log import Log
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
from flows.pipelines.stages import RunContext

COMPARISON = "components.comparison.quality"
FLOW = "modelyard compare"


@dataclass(frozen=True)
class ComparisonOutcome:
    """The result of a comparison: its table, the folder of its report, the URL of its MLflow run."""

    table: ComparisonTable
    folder: Path
    url: str


@dataclass(frozen=True)
class _Trained:
    context: RunContext
    fingerprints: Fingerprints
    run: Run
    compared: Compared


def run(project: Project, comparison: Comparison, api: Api, server: str, log: Log) -> ComparisonOutcome:
    """Train the models that are not trained yet, measure all, and write the report to disk and to MLflow.

    Args:
        server: the MLflow server's URL.

    Raises:
        Interrupted: Ctrl-C; completed work is kept.
        TrainingError: fewer than two models could be trained.
    """
    first = RunContext(project, comparison.models[0], api, log)
    parent: Run | None = None
    try:
        bring_data_up_to_date(first)
        contexts = [RunContext(project, spec, api, log) for spec in comparison.models]
        with ExitStack() as during:
            is_timed = all(epoch_timing.recorded(context, fingerprints_of(context, comparison)) for context in contexts)
            if comparison.budget.seconds is not None and not is_timed:
                during.enter_context(prewarm.prewarmed(["training"], project.root))
            contexts = [_within_budget(context, comparison) for context in contexts]
            all_fingerprints = [fingerprints_of(context, comparison) for context in contexts]
            if not all(map(_is_trained, contexts, all_fingerprints)):
                during.enter_context(prewarm.prewarmed(["training"], project.root))
            parent = comparison_runs.parent(api, comparison.name, _comparison_digest(all_fingerprints))
            trained, failed = _train_all(comparison, contexts, all_fingerprints, parent)
        folder = project.reports(comparison.name)
        _measure(comparison, trained, failed, folder)
        table = ComparisonTable.model_validate_json((folder / "table.json").read_bytes())
        _log_results(comparison, trained, table, parent, folder)
    except (Interrupted, KeyboardInterrupt) as error:
        if parent is not None:
            tracking.finish(api, parent, "KILLED")
        raise Interrupted("the comparison was stopped", next_step="run the same command again to resume") from error
    except ModelyardError:
        if parent is not None:
            tracking.finish(api, parent, "FAILED")
        raise
    tracking.finish(api, parent, "FINISHED")
    return ComparisonOutcome(table, folder, parent.url(server))


def bring_data_up_to_date(context: RunContext) -> None:
    """Bring the dataset of a pipeline up to date."""
    for stage in plan.DATA_STAGES:
        if not stages.is_current(context, stage):
            context.log(f"{stage} {context.spec.dataset}")
            stages.data_stage(context, stage, force=False)


def _within_budget(context: RunContext, comparison: Comparison) -> RunContext:
    """The context with the epochs of its pipeline set to the budget."""
    epochs = comparison.budget.epochs
    if comparison.budget.seconds is not None:
        epoch_seconds = epoch_timing.seconds_per_epoch(context, fingerprints_of(context, comparison))
        epochs = max(1, round(comparison.budget.seconds / epoch_seconds))
        context.log(f"{comparison.label(context.spec)}: {epoch_seconds:.1f} s an epoch, so {epochs} of them")
    if epochs is None:
        return context
    train = context.spec.train.model_copy(update={"epochs": epochs})
    return replace(context, spec=context.spec.model_copy(update={"train": train}))


def fingerprints_of(context: RunContext, comparison: Comparison) -> Fingerprints:
    """Fingerprints of a model of a comparison."""
    project, spec = context.project, context.spec
    pretrained_digest = pretrained.digest(context.api, spec)
    own = fingerprints.of(spec, versioning.data_digest(project, spec.dataset), project.source_root, pretrained_digest)
    if comparison.has_files:
        return own
    # A package names its pipeline. These models belong to no pipeline file, so their packages need other fingerprints.
    return replace(own, package=Fingerprint({**own.package.inputs, "comparison": spec.name}))


def _comparison_digest(all_fingerprints: Sequence[Fingerprints]) -> str:
    return digest.of_value([model_fingerprints.package.digest for model_fingerprints in all_fingerprints])


def _is_trained(context: RunContext, model_fingerprints: Fingerprints) -> bool:
    trained = context.project.run_folder(model_fingerprints.train.digest) / "trained"
    return plan.sealed_digest(trained, "trained") is not None


def _train_all(
    comparison: Comparison, contexts: Sequence[RunContext], all_fingerprints: Sequence[Fingerprints], parent: Run
) -> tuple[list[_Trained], dict[str, str]]:
    """Train and evaluate every model; returns the trained models, and the error of each model that failed, by name."""
    trained: list[_Trained] = []
    failed: dict[str, str] = {}
    for number, (context, model_fingerprints) in enumerate(zip(contexts, all_fingerprints, strict=True)):
        name = comparison.label(context.spec)
        context.log(f"[{number + 1}/{len(contexts)}] {name}")
        try:
            trained.append(_train_and_evaluate(comparison, context, model_fingerprints, parent))
        except (UsageError, Interrupted):
            raise
        except ModelyardError as error:
            failed[name] = "; ".join(line.strip() for line in error.lines())
            context.log(f"{name}: {failed[name]}")
    if len(trained) < 2:
        raise TrainingError(
            "fewer than two models could be trained",
            got="; ".join(f"{name}: {reason}" for name, reason in failed.items()),
        )
    return trained, failed


def _train_and_evaluate(
    comparison: Comparison, context: RunContext, model_fingerprints: Fingerprints, parent: Run
) -> _Trained:
    """Train and evaluate one model, unless its package exists."""
    project, spec = context.project, context.spec
    experiment = replace(context, spec=spec.model_copy(update={"name": comparison.name}))
    run = stages.begin_run(experiment, model_fingerprints, FLOW)
    comparison_runs.adopt(context.api, parent, run, comparison.label(spec))
    folder, package = (
        project.run_folder(model_fingerprints.train.digest),
        project.package(model_fingerprints.package.digest),
    )
    if _is_trained(context, model_fingerprints):
        context.log("trained already")
    else:
        stages.train(context, model_fingerprints, run, force=False)
    if plan.sealed_digest(package) is None:
        context.log("evaluating")  # and no figure of the test split, which is not for choosing
        stages.evaluate(replace(context, log=_not_said), model_fingerprints, run)
    facts: dict[str, Any] = manifests.load(folder / "trained", "trained").facts
    prepared = manifests.load(project.dataset(spec.dataset) / "prepared", "prepared").facts
    seconds = training_duration.seconds(folder)
    learnt = facts.get("samples", prepared["counts"]["train"])
    compared = Compared(
        name=comparison.label(spec),
        family=spec.model.family,
        architecture=spec.model.name,
        package=str(package.relative_to(project.root)),
        parameters=facts["parameters"],
        epochs=facts["epochs"],
        kept_epoch=facts["kept_epoch"],
        training_seconds=seconds,
        samples_per_second=learnt * facts["epochs"] / seconds if seconds else None,
        bundle_bytes=_bundle_bytes(context, model_fingerprints) if comparison.has_files else None,
    )
    return _Trained(context, model_fingerprints, run, compared)


def _not_said(_: str) -> None:
    """The figures of the test split are in the package; a person who compares is not to see them."""


def _bundle_bytes(context: RunContext, model_fingerprints: Fingerprints) -> int | None:
    """Size of the package's bundle in bytes; None if the package is not registered or the bundle not built."""
    version = versions.by_key(context.api, context.spec.name, model_fingerprints.package.digest)
    bundle = bundle_plan.of(context.project, context.spec, version).bundle if version else None
    if bundle is None or not bundle.exists():
        return None
    return sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file())


def _measure(comparison: Comparison, trained: Sequence[_Trained], failed: dict[str, str], folder: Path) -> None:
    context, model_fingerprints = trained[0].context, trained[0].fingerprints
    project, spec = context.project, context.spec
    task = tasks.find(spec.task)
    scoring = [COMPARISON, tasks.module(spec.task), task.scorer.partition(":")[0]]
    code = user_source.identity(scoring, project.source_root)
    request = ComparisonRequest(
        title=" · ".join(comparison.label(model) for model in comparison.models) + f" on {spec.dataset}",
        dataset=spec.dataset,
        budget=comparison.budget.label(),
        prepared=str((project.dataset(spec.dataset) / "prepared").relative_to(project.root)),
        data_digest=model_fingerprints.data_digest,
        scoring=digest.of_value([code.functions, code.libraries]),
        known=str((project.state / "quality").relative_to(project.root)),
        target=str(folder.relative_to(project.root)),
        models=[model.compared for model in trained],
        failed=failed,
    )
    context.run(stage_requests.comparison(project, comparison.name, request))


def _log_results(
    comparison: Comparison, trained: Sequence[_Trained], table: ComparisonTable, parent: Run, folder: Path
) -> None:
    """Log each model's metrics to its MLflow run; attach table, plot and page to the comparison's run."""
    api = trained[0].context.api
    rows = {row.name: row for row in table.rows}
    for model in trained:
        row = rows[model.compared.name]
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
        metrics = {name: float(value) for name, value in figures.items() if value is not None}
        tracking.log_metrics(api, model.run, metrics, step=0)
        tracking.finish(api, model.run, "FINISHED")
    parameters = {"dataset": table.dataset, "budget": table.budget, "models": ", ".join(rows), "metric": table.metric}
    comparison_runs.attach(api, parent, folder, markdown(table), parameters)


def markdown(table: ComparisonTable) -> str:
    """The table as Markdown, for the page of the MLflow run."""
    lines = [
        f"{table.title}; budget of each: {table.budget}",
        "",
        f"| model | {table.metric} ({table.split}) | parameters | training s | latency ms | serves MB |",
        "|---|---|---|---|---|---|",
    ]
    for row in table.rows:
        seconds = "-" if row.training_seconds is None else f"{row.training_seconds:.1f}"
        quality = f"{row.quality.value:.4f} [{row.quality.lower:.4f}, {row.quality.upper:.4f}]"
        costs = f"{row.parameters:,} | {seconds} | {row.latency_ms:.2f} | {row.serves_bytes / 1e6:.2f}"
        lines.append(f"| {row.name} | {quality} | {costs} |")
    return "\n".join(lines)
