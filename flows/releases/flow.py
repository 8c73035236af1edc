"""The Prefect flow of a release: one run a rollout of one role, with its steps as tasks."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run as this_flow_run
from prefect.states import Completed, Failed

from components.contracts.gate_request import GateEvidence, GateResult
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import ModelyardError, StackError
from components.core.project import Project
from components.registry.api import Api
from components.release.ledger import Role
from components.release.production import Pin
from flows.pipelines.stages import RunContext
from flows.platform import crashed_runs, lifecycle, people
from flows.releases import authority, challenger, gating, outlasting, refusal, steps, telling
from flows.releases import rollout as rollouts
from flows.releases.preemption import Preempted, preemptible
from flows.releases.refusal import Report
from flows.releases.rollout import Refused, Rollout, Superseded, VerifiedVersion
from flows.serving_targets.serving_target import target_of

REFUSED = "Refused"


class Approval(RunInput):
    """What a person answers."""

    approve: bool
    your_name: str
    comment: str = ""


class ProvenApproval(Approval):
    """What a person answers where people have names of their own; the proof is made where they logged in."""

    proof: str = ""


@task(name="verify", cache_policy=NO_CACHE)
def verify_task(rollout: Rollout) -> VerifiedVersion:
    """The package, byte by byte."""
    return steps.verify(rollout)


@task(name="bundle", cache_policy=NO_CACHE)
def bundle_task(rollout: Rollout, candidate: VerifiedVersion) -> tuple[Pin, str]:
    """The bundle, built if it is not there."""
    return steps.bundle(rollout, candidate)


@task(name="gates", cache_policy=NO_CACHE)
def gates_task(rollout: Rollout, candidate: VerifiedVersion) -> GateEvidence | None:
    """Integrity, floors, champion, parity, latency."""
    return gating.gates(rollout, candidate)


@task(name="stage", cache_policy=NO_CACHE)
def stage_task(rollout: Rollout, pin: Pin, code: str) -> None:
    """Loaded beside the one that serves."""
    steps.stage(rollout, pin, code)


@task(name="prove", cache_policy=NO_CACHE)
def prove_task(rollout: Rollout, candidate: VerifiedVersion) -> None:
    """Golden examples through the real endpoint."""
    steps.prove(rollout, candidate)


@task(name="switch", cache_policy=NO_CACHE)
def switch_task(rollout: Rollout, pin: Pin) -> None:
    """It serves."""
    steps.switch(rollout, pin)


@task(name="watch", cache_policy=NO_CACHE)
def watch_task(rollout: Rollout) -> dict[str, float]:
    """It serves well."""
    return steps.watch(rollout)


@task(name="tell", cache_policy=NO_CACHE)
def tell_task(api: Api, project: Project, name: str) -> str:
    """The registry names what a rollback has left."""
    return telling.tell(api, project, name, get_run_logger().info)


@flow(name="release", flow_run_name="{name}-{role}")
def release(name: str, role: Role, step: str = "release", broken: str | None = None) -> State[Any]:
    """Make what serves in a role what the registry's alias names, or say there why not.

    Args:
        name: the pipeline; also the registered model.
        role: the alias: champion or challenger.
        step: `release`; `withdraw`: no version is to be champion, and the grace period is over; `tell`: the registry is
            told of a rollback.
        broken: why the service took the version out by itself, or cannot load it.
    """
    project = Project.find()
    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the stack is not running", next_step="`modelyard up`")
    flow_run = str(this_flow_run.id)
    with ExitStack() as during:
        during.enter_context(crashed_runs.tracked(project, flow_run))
        api = during.enter_context(Api(endpoints.mlflow, endpoints.credentials))
        if step == "tell":
            return Completed(name="Told", message=tell_task(api, project, name))
        spec = located_yaml.read(project.pipeline_file(name), PipelineSpec)
        context = RunContext(project, spec, api, get_run_logger().info)
        page = f"{endpoints.prefect_ui}/runs/flow-run/{flow_run}"
        withdraws = step == "withdraw"
        rollout = rollouts.begin(context, target_of(project, name), role, page, withdraws=withdraws, broken=broken)
        if rollout is None:
            return Completed(name="Superseded", message="the registry asks for another version by now")
        _tag_with_user(rollout, flow_run)
        try:
            with preemptible():
                _carry_out(rollout, withdraws=withdraws)
        except Refused as refused:
            return _refused(rollout, refused)
        except (Superseded, Preempted):
            return _superseded(rollout)
        refusal.anchor(api, name, rollout.ledger)
        return Completed(
            name="Released", message=f"{role} is {rollout.target.version if rollout.target else 'nothing'}"
        )


def _carry_out(rollout: Rollout, *, withdraws: bool) -> None:
    if "refusing" in rollout.done:
        raise Refused([])
    if rollout.role == "challenger" and (rollout.target is None or "removing" in rollout.done):
        reason = challenger.remove(rollout)
        if challenger.is_broken(rollout):
            refusal.remove(rollout, reason)
        rollout.record("removed", reason=reason, **outlasting.outlast(rollout, "removing"))
        return
    if rollout.target is None:
        if not withdraws and "withdrawing" not in rollout.done:
            raise Superseded
        steps.withdraw(rollout)
        return
    asked = rollout.entry("asked")
    if asked is not None and asked.facts.get("broken"):
        raise steps.unloadable(str(asked.facts["broken"]))
    if "switching" not in rollout.done:
        authority.require_to_release(rollout)
    candidate = verify_task(rollout)
    pin, code = bundle_task(rollout, candidate)
    evidence = None
    if "switching" not in rollout.done:
        evidence = gates_task(rollout, candidate)
        if evidence is not None and rollout.context.spec.gates.manual is not None and "approved" not in rollout.done:
            _ask(rollout, evidence)
        stage_task(rollout, pin, code)
        prove_task(rollout, candidate)
        authority.require_to_release(rollout)  # a right that was taken away meanwhile is none
    if "switched" not in rollout.done:
        switch_task(rollout, pin)
    figures = {**watch_task(rollout), **outlasting.outlast(rollout, "switching", ends_if_overtaken=True)}
    report = refusal.accept(rollout)
    if evidence is not None:
        _tell(rollout, evidence.results, report)
    rollout.record("served", **figures)  # last: what was not told yet when a process is killed is told by the next


def _ask(rollout: Rollout, evidence: GateEvidence) -> None:
    """Wait until a person has answered in the Prefect UI. A newer order ends the wait."""
    manual = rollout.context.spec.gates.manual
    assert manual is not None  # noqa: S101
    report = refusal.upload(rollout, str(rollout.context.project.gates(rollout.name, evidence.key)))
    text = refusal.markdown(rollout, evidence.results, report)
    rollout.record("waiting", until_minutes=manual.timeout_minutes)
    try:
        answer = _answer(rollout, text, time.monotonic() + manual.timeout_minutes * 60)
    except FlowPauseTimeout as error:
        raise Refused([_manual(f"nobody answered within {manual.timeout_minutes:g} minutes", "ask again")]) from error
    if not answer.approve:
        raise Refused([_manual(f"{answer.your_name} said no: {answer.comment or 'no comment'}", "ask them")])
    proven = {authority.USER: answer.your_name} if isinstance(answer, ProvenApproval) else {}
    rollout.record("approved", by=answer.your_name, comment=answer.comment, **proven)


def _answer(rollout: Rollout, text: str, deadline: float) -> Approval:
    """The first answer that counts: where people have names of their own, one of a person with the right."""
    form: type[Approval] = ProvenApproval if people.are_enabled(rollout.context.project) else Approval
    flow_run, ignored = str(this_flow_run.id), ""
    while True:
        asked = form.with_initial_data(description=text + ignored, approve=False, your_name="")
        answer: Approval = pause_flow_run(
            wait_for_input=asked, timeout=max(1, int(deadline - time.monotonic())), poll_interval=2
        )
        if not isinstance(answer, ProvenApproval):
            return answer
        verdict = authority.review_approval(rollout, flow_run, answer.your_name, answer.approve, answer.proof)
        if verdict.allowed:
            return answer
        ignored = f"\n\n**An answer did not count**: {verdict.reason}; {verdict.next_step}"
        rollout.context.log(f"an answer did not count: {verdict.reason}; {verdict.next_step}")


def _tag_with_user(rollout: Rollout, flow_run: str) -> None:
    """The user who logged in and asked, as a tag of the flow run."""
    asked = rollout.entry("asked")
    user = None if asked is None else asked.facts.get(authority.USER)
    if user is not None:
        with get_client(sync_client=True) as prefect:
            prefect.update_flow_run(UUID(flow_run), tags=[*this_flow_run.tags, f"by: {user}"])


def _manual(reason: str, next_step: str) -> GateResult:
    return GateResult(
        gate="manual", passed=False, figures={}, limit="a person approves", reason=reason, next_step=next_step
    )


def _refused(rollout: Rollout, refused: Refused) -> State[Any]:
    try:
        report = refusal.refuse(rollout, refused)
    except Superseded:
        return _superseded(rollout)
    steps.leave(rollout)
    refusal.anchor(rollout.api, rollout.name, rollout.ledger)
    decided = rollout.entry("refusing")
    results = [GateResult.model_validate(result) for result in decided.facts["results"]] if decided else []
    _tell(rollout, results, report)
    return Failed(name=REFUSED, message=refusal.sentence(results))


def _superseded(rollout: Rollout) -> State[Any]:
    """A newer order has come: what was staged goes, and the release is closed if the order has not closed it."""
    with suppress(Superseded):
        rollout.record("superseded", reason="a newer order has come")
    end = rollout.end()
    if end is not None and end.event != "superseded":  # the order came after the end
        return Completed(name="Released", message=f"the release has ended: {end.event}")
    with suppress(ModelyardError):  # the controller sees to it, whatever stops it here
        rollout.apply()
    return Completed(name="Superseded", message="a newer order has come")


def _tell(rollout: Rollout, results: list[GateResult], report: Report | None) -> None:
    create_markdown_artifact(
        key=f"{rollout.name}-release".replace("_", "-").lower(), markdown=refusal.markdown(rollout, results, report)
    )
