"""Judge what was answered until now: the stages of monitoring, and the alarms that their results hold."""

from __future__ import annotations

import json
from pathlib import Path

from components.contracts.drift_request import DriftRequest
from components.contracts.live_request import ChallengerRequest, LiveRequest, LiveResult
from components.contracts.monitor_spec import MonitorSpec
from components.contracts.pipeline import PipelineSpec
from components.core.errors import NotFoundError
from components.core.log import Log
from components.core.project import Project
from components.identity import digest
from components.identity import manifest as manifests
from components.monitoring import orders
from components.monitoring.policy import MonitorAlarm
from components.release import production as productions
from components.release.production import Production
from flows.monitoring.context import MonitorContext
from flows.pipelines import stage_requests
from flows.runners import stage_runner
from flows.runners.local_runner import LocalProcessRunner

LIVE = "live.json"
VERDICT = "verdict.json"


def production_of(context: MonitorContext) -> Production:
    """What production is made of, as the ledger says."""
    return productions.decided(context.ledger.entries()).production


def champion_package(context: MonitorContext) -> str | None:
    """The digest of the package that serves."""
    champion = production_of(context).champion
    return None if champion is None else champion.package_digest


def judge(
    project: Project,
    pipeline: PipelineSpec,
    spec: MonitorSpec,
    log: Log,
    *,
    since: str | None = None,
    until: str | None = None,
    again: bool = False,
) -> None:
    """Seal and judge the windows that are over.

    Args:
        spec: the section `monitor:`, or what stands in for it.
        since, until, again: as of `DriftRequest`.

    Raises:
        NotFoundError: the model has logged nothing, or its data or package is not here.
    """
    folder = project.predictions(pipeline.name)
    if not folder.is_dir():
        raise NotFoundError(
            f"{pipeline.name} has logged no answer here",
            where=str(folder),
            next_step=f"`modelyard promote {pipeline.name} VERSION` serves it",
        )
    document = DriftRequest(
        model=pipeline.name,
        log=_inside(project, folder),
        dataset=_inside(project, project.dataset(pipeline.dataset)),
        packages=[
            _inside(project, project.state / "packages"),
            _inside(project, project.bundles / "bentos" / pipeline.name),
        ],
        references=_inside(project, project.state / "references"),
        target=_inside(project, project.monitoring(pipeline.name)),
        monitor=spec,
        since=since,
        until=until,
        again=again,
    )
    stage_runner.run(LocalProcessRunner(project.root), stage_requests.monitoring(project, document), log, log)


def labels(context: MonitorContext) -> tuple[LiveResult, str] | None:
    """What the labels say until now, and the digest of the result; None while nothing serves."""
    production = production_of(context)
    if production.champion is None:
        return None
    challenger = None
    if production.challenger is not None:
        retrain = context.spec.actions.retrain
        challenger = ChallengerRequest(
            package=str(production.challenger.package_digest),
            canary_percent=production.policy.canary_percent if production.policy is not None else 0.0,
            alpha=retrain.alpha,
            min_effect=retrain.min_effect,
        )
    target = context.project.monitoring(context.name) / LIVE
    request = LiveRequest(
        model=context.name,
        log=_inside(context.project, context.project.predictions(context.name)),
        target=_inside(context.project, target),
        champion=str(production.champion.package_digest),
        challenger=challenger,
        limit=context.spec.limits.live_accuracy,
        false_alarms_per_month=context.spec.false_alarms_per_month,
        window=context.spec.window,
    )
    stage = stage_requests.live_labels(context.project, request)
    stage_runner.run(LocalProcessRunner(context.project.root), stage, context.log, context.log)
    return LiveResult.model_validate_json(target.read_bytes()), digest.of_file(target)


def alarms(context: MonitorContext, found: tuple[LiveResult, str] | None) -> list[MonitorAlarm]:
    """The alarms of all windows that the present champion answered in, and of the labels, in order.

    An alarm about an earlier champion asks for nothing any more.
    """
    production = production_of(context)
    if production.champion is None:
        return []
    result: list[MonitorAlarm] = []
    folder = context.project.monitoring(context.name)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        verdict_file = path / VERDICT
        if not verdict_file.is_file():
            continue
        verdict = json.loads(verdict_file.read_bytes())
        if verdict["alarms"] and verdict["package"] == production.champion.package_digest:
            result += orders.alarms_of(verdict, manifests.load(path, "monitoring").digest)
    if found is not None:
        low = orders.alarm_of_labels(*found)
        result += [low] if low is not None else []
    return result


def _inside(project: Project, path: Path) -> str:
    return path.relative_to(project.root).as_posix()
