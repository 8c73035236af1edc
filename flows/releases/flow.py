"""The Prefect flow of a release: one run a change of one role."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run as this_flow_run
from prefect.states import Completed, Failed

from components.contracts.gate_request import GateEvidence, GateResult
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import StackError
from components.core.project import Project
from components.registry.api import Api
from components.release.ledger import Role
from flows.pipelines.stages import RunContext
from flows.platform import crashed_runs, lifecycle
from flows.releases import challenger, gating, refusal, steps
from flows.releases import rollout as changes
from flows.releases.refusal import Report
from flows.releases.rollout import Proven, Refused, Rollout, Superseded
from flows.releases.service import Service

REFUSED = "Refused"


class Approval(RunInput):
    """What a person answers."""

    approve: bool
    your_name: str
    comment: str = ""


@task(name="verify", cache_policy=NO_CACHE)
def verify_task(change: Rollout) -> Proven:
    """The package, byte by byte."""
    return steps.verify(change)


@task(name="bundle", cache_policy=NO_CACHE)
def bundle_task(change: Rollout, proven: Proven) -> str:
    """The bundle, built if it is not there."""
    return steps.bundle(change, proven)


@task(name="gates", cache_policy=NO_CACHE)
def gates_task(change: Rollout, proven: Proven) -> GateEvidence | None:
    """Integrity, floors, champion, parity, latency."""
    return gating.gates(change, proven)


@task(name="stage", cache_policy=NO_CACHE)
def stage_task(change: Rollout, proven: Proven, code: str) -> None:
    """Loaded beside the one that serves."""
    steps.stage(change, proven, code)


@task(name="prove", cache_policy=NO_CACHE)
def prove_task(change: Rollout, proven: Proven) -> None:
    """Golden examples through the real endpoint."""
    steps.prove(change, proven)


@task(name="switch", cache_policy=NO_CACHE)
def switch_task(change: Rollout, proven: Proven) -> None:
    """It serves."""
    steps.switch(change, proven)


@task(name="watch", cache_policy=NO_CACHE)
def watch_task(change: Rollout) -> dict[str, float]:
    """It serves well."""
    return steps.watch(change)


@flow(name="release", flow_run_name="{name}-{role}")
def release(name: str, role: Role, withdraws: bool = False, broken: str | None = None) -> State[Any]:
    """Make what serves in a role what the registry's alias names, or say there why not.

    Args:
        name: the pipeline; also the registered model.
        role: the alias: champion or challenger.
        withdraws: nothing is to be champion any more, and the grace period is over.
        broken: why the service took the challenger out by itself, if it did.
    """
    project = Project.find()
    spec = located_yaml.read(project.pipeline_file(name), PipelineSpec)
    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the stack is not running", next_step="`modelyard up`")
    flow_run = str(this_flow_run.id)
    with ExitStack() as during:
        during.enter_context(crashed_runs.present(project, flow_run))
        api = during.enter_context(Api(endpoints.mlflow, endpoints.credentials))
        work = RunContext(project, spec, api, get_run_logger().info)
        page = f"{endpoints.prefect_ui}/runs/flow-run/{flow_run}"
        change = changes.begin(work, Service(project, name), role, page, withdraws=withdraws, broken=broken)
        if change is None:
            return Completed(name="Superseded", message="the registry asks for something else by now")
        try:
            _carry_out(change, broken)
        except Refused as refused:
            return _refused(change, refused)
        except Superseded:
            change.record("superseded", reason="the registry asks for something else by now")
            return Completed(name="Superseded", message="the registry asks for something else by now")
        refusal.anchor(change)
        return Completed(name="Released", message=f"{role} is {change.after.version if change.after else 'nothing'}")


def _carry_out(change: Rollout, broken: str | None) -> None:
    if "refusing" in change.done:
        raise Refused([])
    if change.after is None or "removing" in change.done:
        if change.role == "champion":
            steps.withdraw(change)
        else:
            reason = broken or "its alias was taken away"
            challenger.take_away(change, reason, broken=broken is not None)
            if broken is not None:
                refusal.remove(change, reason)
            change.record("removed", reason=reason)
        return
    proven = verify_task(change)
    code = bundle_task(change, proven)
    found = gates_task(change, proven)
    if found is not None and change.work.spec.gates.manual is not None and "approved" not in change.done:
        _ask(change, found)
    stage_task(change, proven, code)
    prove_task(change, proven)
    switch_task(change, proven)
    seen = watch_task(change)
    report = refusal.accept(change)
    if found is not None:
        _tell(change, found.results, report)
    change.record("served", **seen)  # last: what was not told yet when a process is killed is told by the next


def _ask(change: Rollout, found: GateEvidence) -> None:
    """Wait until a person has answered in the Prefect UI."""
    manual = change.work.spec.gates.manual
    assert manual is not None  # noqa: S101
    report = refusal.upload(change, str(change.work.project.gates(change.name, found.key)))
    text = refusal.markdown(change, found.results, report)
    form = Approval.with_initial_data(description=text, approve=False, your_name="")
    try:
        answer = pause_flow_run(wait_for_input=form, timeout=int(manual.timeout_minutes * 60), poll_interval=2)
    except FlowPauseTimeout as error:
        raise Refused([_manual(f"nobody answered within {manual.timeout_minutes:g} minutes", "ask again")]) from error
    if not answer.approve:
        raise Refused([_manual(f"{answer.your_name} said no: {answer.comment or 'no comment'}", "ask them")])
    change.record("approved", by=answer.your_name, comment=answer.comment)


def _manual(reason: str, next_step: str) -> GateResult:
    return GateResult(
        gate="manual", passed=False, figures={}, limit="a person approves", reason=reason, next_step=next_step
    )


def _refused(change: Rollout, refused: Refused) -> State[Any]:
    report = refusal.refuse(change, refused, returned="switched" in change.done)
    steps.clear_away(change)
    refusal.anchor(change)
    decided = change.entry("refusing")
    results = [GateResult.model_validate(result) for result in decided.facts["results"]] if decided else []
    _tell(change, results, report)
    return Failed(name=REFUSED, message=refusal.sentence(results))


def _tell(change: Rollout, results: list[GateResult], report: Report | None) -> None:
    create_markdown_artifact(
        key=f"{change.name}-release".replace("_", "-").lower(), markdown=refusal.markdown(change, results, report)
    )
