"""Cheap trainings around a pipeline, and what they say: is it limited by data, by the model, or by training time?

Each experiment is a training with its own fingerprint: what is trained is not trained again, and a stopped advice
resumes. Experiments are measured on the validation split only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from components import tasks, versioning
from components.contracts.advice import Advice, Experiment, ReportRequest
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import Interrupted, ModelyardError, UsageError
from components.core.log import Log
from components.core.project import Project
from components.identity import digest, user_source
from components.identity import manifest as manifests
from components.registry import comparison_runs, tracking
from components.registry.api import Api
from components.registry.tracking import Run
from components.tasks import compatibility
from flows.comparisons import advise_plan, advise_sizes, compare, epoch_timing
from flows.comparisons.advise_plan import Planned, Sizes
from flows.comparisons.advise_sizes import CountedModels
from flows.pipelines import fingerprints, plan, pretrained, prewarm, stage_requests, stages, training_duration
from flows.pipelines.fingerprints import Fingerprints
from flows.pipelines.stages import RunContext

STAGE = "components.advice.stage"
FLOW = "modelyard advise"
MIN_EPOCHS = 4  # of the base, if the time is limited: with fewer, there are no shorter trainings


@dataclass(frozen=True)
class AdviceOutcome:
    """The result: the advice, the folder of its report, the URL of its MLflow run, the experiments that failed."""

    advice: Advice
    folder: Path
    url: str
    failed: dict[str, str]


def run(project: Project, name: str, seconds: float | None, api: Api, server: str, log: Log) -> AdviceOutcome:
    """Train the experiments of a pipeline that are not trained yet, and write the advice to disk and to MLflow.

    Args:
        name: of the pipeline.
        seconds: training time of all experiments together, which sets their epochs; None: the epochs of the pipeline.
        server: the MLflow server's URL.

    Raises:
        Interrupted: Ctrl-C; completed work is kept.
        UsageError: the time is too short.
        ModelyardError: the pipeline itself cannot be trained.
    """
    file = project.pipeline_file(name)
    spec = located_yaml.read(file, PipelineSpec)
    compatibility.check(spec, file, project.dataset(spec.dataset))
    context = RunContext(project, spec, api, log)
    compare.bring_data_up_to_date(context)
    experiment = f"advise-{name}"
    parent: Run | None = None
    try:
        chosen = _plan_experiments(context, seconds)
        contexts = [replace(context, spec=one.spec) for one in chosen.planned]
        all_fingerprints = [_fingerprints(own) for own in contexts]
        key = digest.of_value([own.train.digest for own in all_fingerprints])
        parent = comparison_runs.parent(api, experiment, key)
        with ExitStack() as during:
            if not all(map(_is_trained, contexts, all_fingerprints)):
                during.enter_context(prewarm.prewarmed(["training"], project.root))
            done, unfit, failed, runs = _train_all(experiment, chosen.planned, contexts, all_fingerprints, parent)
        folder = project.reports(experiment)
        _report(context, all_fingerprints[0].data_digest, done, chosen, {**unfit, **failed}, folder)
        advice = Advice.model_validate_json((folder / "advice.json").read_bytes())
        _log_results(api, advice, runs, parent, folder)
    except (Interrupted, KeyboardInterrupt) as error:
        if parent is not None:
            tracking.finish(api, parent, "KILLED")
        raise Interrupted("the advice was stopped", next_step="run the same command again to resume") from error
    except ModelyardError:
        if parent is not None:
            tracking.finish(api, parent, "FAILED")
        raise
    tracking.finish(api, parent, "FINISHED")
    return AdviceOutcome(advice, folder, parent.url(server), failed)


class _Plan(NamedTuple):
    """The experiments with the base first, what is left out and why, and how they were shortened.

    Args:
        counted: the networks of which they are chosen.
    """

    planned: list[Planned]
    left_out: dict[str, str]
    shortened: str | None
    counted: CountedModels


def _plan_experiments(context: RunContext, seconds: float | None) -> _Plan:
    """The experiments that fit in the time.

    Raises:
        UsageError: the time is too short.
    """
    spec, project = context.spec, context.project
    facts = manifests.load(project.dataset(spec.dataset) / "prepared", "prepared").facts
    sizes = Sizes(facts["counts"]["train"], facts["counts"]["validation"], max(1, len(facts["classes"])))
    counted = advise_sizes.counted_models(context)

    def experiments(epochs: int) -> tuple[list[Planned], dict[str, str]]:
        parts, left_out = advise_plan.data_parts(spec, epochs, sizes)
        models = advise_plan.model_sizes(spec, epochs, counted.scaled, counted.parameters)
        times = advise_plan.time_parts(spec, epochs)
        if counted.obstacle is not None:
            left_out["other sizes of the model"] = counted.obstacle
        return [advise_plan.base(spec, epochs), *parts, *models, *times], left_out

    def cost(epochs: int) -> float:
        return sum(one.cost for one in experiments(epochs)[0])

    epochs = spec.train.epochs
    if seconds is not None:
        with prewarm.prewarmed(["training"], project.root):
            epoch_seconds = epoch_timing.seconds_per_epoch(context, _fingerprints(context))
        epochs = advise_plan.affordable_epochs(cost, epoch_seconds, seconds, spec.train.epochs)
        least = min(MIN_EPOCHS, spec.train.epochs)
        if epochs < least:
            needed = cost(least) * least * epoch_seconds
            raise UsageError(
                "the experiments do not fit in this time",
                where=f"pipeline {spec.name}",
                got=f"{seconds:g} s; an epoch takes {epoch_seconds:.1f} s",
                expected=f"about {needed:.0f} s for {least} epochs",
                next_step=f"give more time: --for {max(1, round(needed / 60 + 0.5))}m",
            )
    planned, left_out = experiments(epochs)
    if epochs == spec.train.epochs:
        return _Plan(planned, left_out, None, counted)
    shortened = f"Trained for {epochs} of the pipeline's {spec.train.epochs} epochs, to fit in the time."
    return _Plan(planned, left_out, shortened, counted)


def _fingerprints(context: RunContext) -> Fingerprints:
    project, spec = context.project, context.spec
    pretrained_digest = pretrained.digest(context.api, spec)
    return fingerprints.of(spec, versioning.data_digest(project, spec.dataset), project.source_root, pretrained_digest)


def _is_trained(context: RunContext, own: Fingerprints) -> bool:
    return plan.sealed_digest(context.project.run_folder(own.train.digest) / "trained", "trained") is not None


def _train_all(
    experiment: str,
    planned: Sequence[Planned],
    contexts: Sequence[RunContext],
    all_fingerprints: Sequence[Fingerprints],
    parent: Run,
) -> tuple[list[Experiment], dict[str, str], dict[str, str], dict[str, Run]]:
    """Train every experiment.

    Returns:
        The experiments that were trained, why others do not fit the data, the errors of others, and the MLflow runs.
    """
    done: list[Experiment] = []
    left_out: dict[str, str] = {}
    failed: dict[str, str] = {}
    runs: dict[str, Run] = {}
    for number, (one, context, own) in enumerate(zip(planned, contexts, all_fingerprints, strict=True)):
        context.log(f"[{number + 1}/{len(planned)}] {one.name}")
        try:
            done.append(_trained(experiment, one, context, own, parent, runs))
        except Interrupted:
            raise
        except ModelyardError as error:
            if one.is_base:
                raise
            reasons = left_out if isinstance(error, UsageError) else failed  # such as groups larger than a part
            reasons[one.name] = "; ".join(line.strip() for line in error.lines())
            context.log(f"{one.name}: {reasons[one.name]}")
    return done, left_out, failed, runs


def _trained(
    experiment: str, one: Planned, context: RunContext, own: Fingerprints, parent: Run, runs: dict[str, Run]
) -> Experiment:
    project, spec = context.project, context.spec
    run = stages.begin_run(replace(context, spec=spec.model_copy(update={"name": experiment})), own, FLOW)
    comparison_runs.adopt(context.api, parent, run, one.name)
    runs[one.name] = run
    folder = project.run_folder(own.train.digest)
    if _is_trained(context, own):
        context.log("trained already")
    else:
        stages.train(context, own, run, force=False)
    facts: dict[str, Any] = manifests.load(folder / "trained", "trained").facts
    prepared = manifests.load(project.dataset(spec.dataset) / "prepared", "prepared").facts
    return Experiment(
        name=one.name,
        curves=list(one.curves),
        is_base=one.is_base,
        seed=spec.train.seed,
        trained=str((folder / "trained").relative_to(project.root)),
        samples=facts.get("samples", prepared["counts"]["train"]),
        parameters=facts["parameters"],
        steps=one.steps,
        epochs=facts["epochs"],
        kept_epoch=facts["kept_epoch"],
        seconds=training_duration.seconds(folder),
        memory_mb=training_duration.peak_memory_mb(folder),
    )


def _report(
    context: RunContext,
    data_digest: str,
    done: Sequence[Experiment],
    chosen: _Plan,
    not_trained: dict[str, str],
    folder: Path,
) -> None:
    project, spec = context.project, context.spec
    task = tasks.find(spec.task)
    scoring = [STAGE, tasks.module(spec.task), task.scorer.partition(":")[0]]
    code = user_source.identity(scoring, project.source_root)
    request = ReportRequest(
        pipeline=spec.name,
        dataset=spec.dataset,
        prepared=str((project.dataset(spec.dataset) / "prepared").relative_to(project.root)),
        data_digest=data_digest,
        scoring=digest.of_value([code.functions, code.libraries]),
        known=str((project.state / "advice").relative_to(project.root)),
        target=str(folder.relative_to(project.root)),
        shortened=chosen.shortened,
        experiments=list(done),
        left_out={**chosen.left_out, **not_trained},
        candidates=chosen.counted.candidates,
        step_cost=chosen.counted.step_cost,
    )
    context.run(stage_requests.advice(project, f"advise-{spec.name}", request))


def _log_results(api: Api, advice: Advice, runs: dict[str, Run], parent: Run, folder: Path) -> None:
    """Log each experiment's figure to its MLflow run; attach the report to the advice's run."""
    for one in advice.measurements:
        figures = {
            f"advise/{advice.metric}": one.quality.value,
            "advise/samples": float(one.samples),
            "advise/parameters": float(one.parameters),
            "advise/epochs": float(one.epochs),
        }
        tracking.log_metrics(api, runs[one.name], figures, step=0)
        tracking.finish(api, runs[one.name], "FINISHED")
    parameters = {"pipeline": advice.pipeline, "dataset": advice.dataset, "verdict": advice.verdict}
    comparison_runs.attach(api, parent, folder, advice.sentence, parameters)
