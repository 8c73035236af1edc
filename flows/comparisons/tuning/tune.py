"""`modelyard tune`: a search, its report, its place in MLflow and Prefect."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from optuna.trial import TrialState

from components.contracts.pipeline import PipelineSpec
from components.contracts.tune_report import TuneReport, TuneReportRequest
from components.core import file_lock, located_yaml
from components.core.errors import Interrupted, StackError, UsageError
from components.core.log import Log
from components.core.project import Project
from components.identity import digest
from components.registry import comparison_runs, tracking
from components.registry.api import Api
from components.registry.tracking import Run
from components.tasks import compatibility
from flows.comparisons import compare
from flows.comparisons.tuning import default_space, variants, winner
from flows.comparisons.tuning import study as studies
from flows.comparisons.tuning.search import DEFAULT_TRIALS, Search, SearchBudget, experiment
from flows.comparisons.tuning.study import Study
from flows.comparisons.tuning.trial import FINISHES
from flows.comparisons.tuning.winner import Applied
from flows.pipelines import prewarm, selections, stage_placement, stage_requests
from flows.pipelines.stages import RunContext
from flows.platform.lifecycle import Endpoints
from flows.platform.prefect_client import PrefectClient


@dataclass(frozen=True)
class Request:
    """What a call of `modelyard tune` asks for.

    Args:
        trials, seconds: in place of those of `tune:`.
        parallel: trials at the same time, in place of `tune:`.
        study: name of the study; None: it follows from the search.
        storage: URL of the database; None: as the environment says, else a file of the project.
        applies: whether the best is trained over several seeds, and written into the file.
        finish: trials that ended early, to be taken to their end.
    """

    pipeline: str
    trials: int | None = None
    seconds: float | None = None
    parallel: int | None = None
    study: str | None = None
    storage: str | None = None
    applies: bool = False
    finish: tuple[int, ...] = ()


@dataclass(frozen=True)
class SearchOutcome:
    """What a search came to.

    Args:
        stopped_for: why it ended.
        folder: of the report.
        url: of the study's run in MLflow.
        storage: URL of the database.
        applied: what `--apply` came to.
    """

    report: TuneReport
    stopped_for: str
    folder: Path
    url: str
    storage: str
    applied: Applied | None


def run(project: Project, request: Request, api: Api, server: str, log: Log) -> SearchOutcome:
    """Search, or go on with a search, and write the report.

    Args:
        server: the MLflow server's URL.

    Raises:
        Interrupted: Ctrl-C; nothing is lost.
        SpecError, UsageError: the space does not fit the pipeline.
        SearchError: every trial failed, or the record cannot be opened.
    """
    with opened(project, request, api, log) as study:
        finish = _unfinished(study, request.finish)
        _check_news(project, study, request)
        parent = comparison_runs.parent(api, experiment(study), digest.of_value(study.name))
        status = "FAILED"
        try:
            hosts = [] if "train" in stage_placement.remote_stages(project, study.pipeline) else ["training"]
            with _terminated_as_interrupted(), prewarm.prewarmed(hosts, project.root):
                budget = _budget(study, request)
                search = Search(project, study, api, parent, budget, log, finish)
                if not _only_applies(study, request):
                    search.run()
                report, folder = write_report(project, study, api, parent, log)
                applied = winner.apply(project, study, report, api, parent, log) if request.applies else None
                finalists = () if applied is None else applied.fingerprints
                selections.write(project, report, study.recipe.fingerprint.digest, finalists)
            status = "FINISHED"
        except (Interrupted, KeyboardInterrupt):
            status = "KILLED"
            raise
        finally:
            tracking.finish(api, parent, status)
        url = studies.storage_url(project, request.storage)
        return SearchOutcome(report, search.stopped_for, folder, parent.url(server), url, applied)


@contextmanager
def opened(project: Project, request: Request, api: Api, log: Log) -> Iterator[Study]:
    """The study of a request, for this process alone."""
    file = project.pipeline_file(request.pipeline)
    spec = located_yaml.read(file, PipelineSpec)
    compatibility.check(spec, file, project.dataset(spec.dataset))
    tune = spec.tune or default_space.of(project, spec, log)
    variants.check_space(project, spec, tune)
    url = studies.storage_url(project, request.storage)
    lock = project.locks / f"tune-{request.pipeline}"
    with ExitStack() as during:
        during.enter_context(file_lock.locked(lock, f"another process that tunes {request.pipeline}", log))
        compare.bring_data_up_to_date(RunContext(project, spec, api, log))
        study = studies.open_study(project, spec, tune, api, url, log, name=request.study, parallel=request.parallel)
        during.callback(study.record.close)
        _say(project, study, url, log)
        yield study


def write_report(project: Project, study: Study, api: Api, parent: Run, log: Log) -> tuple[TuneReport, Path]:
    """Write table, plots and page of a study, and attach them to its MLflow run."""
    folder = project.reports(f"tune-{study.pipeline.name}") / study.name
    document = TuneReportRequest(
        storage=study.record.url,
        study=study.name,
        pipeline=study.pipeline.name,
        task=study.pipeline.task,
        dataset=study.pipeline.dataset,
        metric=study.metric.name,
        spec=study.spec,
        target=str(folder.relative_to(project.root)),
    )
    RunContext(project, study.pipeline, api, log).run(stage_requests.tune_report(project, study.name, document))
    report = TuneReport.model_validate_json((folder / "report.json").read_bytes())
    parameters = {"pipeline": study.pipeline.name, "study": study.name, "sampler": study.spec.sampler}
    comparison_runs.attach(api, parent, folder, report.markdown, parameters)
    return report, folder


def _unfinished(study: Study, numbers: Sequence[int]) -> tuple[int, ...]:
    """The numbers, if they are of trials that ended early.

    Raises:
        UsageError: one is not.
    """
    trials = study.record.trials()
    early = [one.number for one in trials if one.state == TrialState.PRUNED]
    for number in numbers:
        if number not in early:
            raise UsageError(
                f"trial {number} did not end early",
                where=f"study {study.name}",
                expected=", ".join(map(str, early)) or "no trial of it did",
            )
    done = {one.user_attrs.get(FINISHES) for one in trials}
    return tuple(number for number in dict.fromkeys(numbers) if number not in done)


def _only_applies(study: Study, request: Request) -> bool:
    """Whether the call is for what an earlier search found: `--apply`, and no time or number of trials."""
    is_searched = any(one.state.is_finished() for one in study.record.trials())
    is_limited = request.trials is not None or request.seconds is not None or bool(request.finish)
    return request.applies and not is_limited and is_searched


def _check_news(project: Project, study: Study, request: Request) -> None:
    """Refuse `--apply` alone where the file already holds what an earlier search chose.

    Raises:
        UsageError: it does.
    """
    if not (request.applies and study.is_new and request.trials is None and request.seconds is None):
        return
    chosen_by = selections.find(project, study.pipeline.name, study.recipe.fingerprint.digest)
    if chosen_by is not None:
        raise UsageError(
            f"the file holds what study {chosen_by.study} chose",
            where=str(project.pipeline_file(study.pipeline.name)),
            next_step="to search on from there, give a time or a number of trials: --for 30m --apply",
        )


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """During the block, SIGTERM stops the search as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _budget(study: Study, request: Request) -> SearchBudget:
    """The limits of a call; the trials are those of the study, the time is that of the call."""
    trials, minutes = study.spec.trials, study.spec.minutes
    seconds = request.seconds if request.seconds is not None else None if minutes is None else 60 * minutes
    if request.finish and request.trials is None and request.seconds is None:
        return SearchBudget(len(study.record.trials()), None)
    if request.trials is not None:
        trials = request.trials
    elif request.seconds is not None:
        trials = None
    if trials is None and seconds is None:
        trials = DEFAULT_TRIALS
    return SearchBudget(trials, seconds)


def _say(project: Project, study: Study, url: str, log: Log) -> None:
    done = sum(one.state.is_finished() for one in study.record.trials())
    if study.is_new:
        log(f"study {study.name}: {len(study.spec.space)} keys, sampler {study.spec.sampler}")
    else:
        log(f"study {study.name}: going on after {done} trials")
    if study.further:
        log(f"it knows {len(study.further)} trials of {', '.join(study.spec.from_studies)}")
    elif study.is_new and (earlier := studies.earlier_studies(url, study.pipeline.name, study.name)):
        log(f"earlier studies of this pipeline, for tune.from_studies: {', '.join(earlier[-3:])}")
    beside = "side by side, " if study.parallel > 1 else ""
    placed = stage_placement.of(project, study.pipeline, "train")
    cores = stage_placement.cores(project, study.pipeline) or study.cores
    where = {"slurm": ", as jobs of Slurm", "pool": f", in the work pool {getattr(placed, 'pool', '')}"}
    log(f"{study.parallel} trials {beside}{cores} core{'s' if cores > 1 else ''} each{where.get(placed.runner, '')}")


def publish(endpoints: Endpoints, outcome: SearchOutcome, log: Log) -> None:
    """Show the best trials in Prefect, as an artifact under the pipeline's name."""
    body = {
        "key": re.sub(r"[^a-z0-9-]", "-", f"tune-{outcome.report.pipeline}".lower()),
        "type": "markdown",
        "data": f"{outcome.report.markdown}\n\n[MLflow]({outcome.url})",
        "description": f"Study {outcome.report.study}",
    }
    try:
        with PrefectClient(endpoints.prefect_credentials, endpoints.prefect_api, log) as prefect:
            prefect.request("POST", "/artifacts/", body)
    except StackError as error:  # the report is on disk and in MLflow
        log(f"the report is not in Prefect: {error.what}")
