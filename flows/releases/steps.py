"""The steps of a release, as plain functions; `flows.releases.flow` wraps them as Prefect tasks.

Each may be done again: what stands already is found and left alone.
"""

from __future__ import annotations

import os
import time

from components.contracts.gate_request import Gate, GateResult
from components.contracts.serving_spec import ChallengerSpec, RequestStats, SlotSpec, SlotStatus, WorkerStatus
from components.core.errors import CorruptArtifactError, ModelyardError, NotFoundError, ServingError
from components.registry import versions
from components.registry.api import MissingError
from components.release.ledger import Side
from flows.pipelines import bundle_plan, stages
from flows.releases import challenger
from flows.releases import rollout as changes
from flows.releases.rollout import Proven, Refused, Rollout, Superseded

POLL_SECONDS = 0.25
GONE_SECONDS = 30.0


def verify(change: Rollout) -> Proven:
    """The version and its package, read byte by byte, and its bundle if it was built; `bundle` builds it.

    Raises:
        Refused: there is no such version, or it has no package of this pipeline, or the package is not as sealed.
    """
    assert change.after is not None  # noqa: S101
    try:
        version = versions.by_number(change.api, change.name, change.after.version)
        planned = bundle_plan.of(change.work.project, change.work.spec, version)
        package = stages.package_of(change.work, version)
    except MissingError as error:
        reason = f"there is no version {change.after.version}"
        raise _refusal("integrity", reason, "choose another version", limit="a version of the registry") from error
    except (CorruptArtifactError, NotFoundError) as error:
        next_step = error.next_step or "train it again: `modelyard run`"
        raise _refusal("integrity", _sentence(error), next_step, limit="every byte as sealed") from error
    except ServingError as error:  # a version that Modelyard did not register
        next_step = error.next_step or "choose another version"
        raise _refusal("integrity", error.what, next_step, limit="a version that Modelyard registered") from error
    if package.facts.pipeline != change.name:
        raise _refusal(
            "integrity",
            f"the package is one of the pipeline {package.facts.pipeline}, not of {change.name}",
            "register it under its own name, or choose another version",
            limit=f"a package of the pipeline {change.name}",
        )
    change.after = Side(version=version.version, package_digest=package.digest)
    change.record("verified", package=package.digest, run=version.run_id, data=package.facts.data_digest)
    return Proven(version, package, planned.bundle)


def bundle(change: Rollout, proven: Proven) -> str:
    """The bundle, built if it is not there; returns the digest of its serving code.

    Raises:
        Refused: it is there and not as sealed.
    """
    planned = bundle_plan.of(change.work.project, change.work.spec, proven.version)
    begun = time.monotonic()
    reused = planned.bundle.exists()
    if not reused:
        stages.build_bundle(change.work, planned, force=False)
    try:
        facts = planned.bundle.verify()
    except CorruptArtifactError as error:
        next_step = f"`modelyard run {change.name} --force bundle`"
        raise _refusal("integrity", _sentence(error), next_step, limit="every byte as sealed") from error
    change.record(
        "bundled",
        bundle=planned.bundle.tag,
        digest=facts.digest,
        reused=reused,
        seconds=round(time.monotonic() - begun, 2),
    )
    return str(facts.facts.get("code", ""))


def stage(change: Rollout, proven: Proven, code: str) -> None:
    """Have the service hold the version beside the one that serves, loaded, warm and proven in every worker.

    Raises:
        Refused: a worker cannot load it.
    """
    slot = _slot(change, proven)
    begun = time.monotonic()
    if not _holds_slot(change, slot):
        change.service.give(staged=slot)
    statement = change.service.statement()
    other_code = statement is not None and bool(code) and any(worker.code != code for worker in statement.workers)
    other_size = statement is not None and statement.expected != change.work.spec.serving.workers
    if statement is None or other_code or other_size:
        why = "is not running" if statement is None else "runs other serving code or another number of workers"
        change.work.say(f"the service {why}; starting it from {proven.bundle.tag}")
        change.service.start(proven.bundle)

    def settled(worker: WorkerStatus) -> bool:
        return any(held is not None and held.package_digest == slot.package_digest for held in _slots(worker))

    said = change.service.wait(settled, f"load version {slot.version}")
    failed = [
        held.reason or "it does not load"
        for worker in said.workers
        for held in _slots(worker)
        if held is not None and held.package_digest == slot.package_digest and held.state == "failed"
    ]
    if failed:
        _unstage(change)
        reason, next_step = f"the service cannot load it: {failed[0]}", "look at the service's log"
        raise _refusal("load", reason, next_step, limit="it loads in every worker")
    change.record("staged", workers=len(said.workers), seconds=round(time.monotonic() - begun, 2))


def prove(change: Rollout, proven: Proven) -> None:
    """The golden examples through the endpoint that production uses.

    Raises:
        Refused: it answers otherwise than the training did.
    """
    begun = time.monotonic()
    tolerance = change.work.spec.gates.parity.tolerance
    try:
        worst = change.service.prove(proven.package, tolerance, change.work.spec.serving.workers)
    except ServingError as error:
        if change.service.statement() is None:
            raise
        _unstage(change)
        next_step, limit = "compare the package with its training", f"each number within {tolerance:g} in every worker"
        raise _refusal("parity", _sentence(error), next_step, limit) from error
    change.record("proven", worst_difference=worst, tolerance=tolerance, seconds=round(time.monotonic() - begun, 2))


def switch(change: Rollout, proven: Proven) -> None:
    """One order: the version serves in its role, what served before stays warm.

    Raises:
        Superseded: the registry asks for another one by now.
    """
    if not change.still_wanted():
        _unstage(change)
        raise Superseded
    slot = _slot(change, proven)
    order = change.service.order()
    begun = time.monotonic()
    facts: dict[str, float] = {}
    if change.role == "champion":
        present = order.champion
        again = present is None or present.package_digest == slot.package_digest
        previous = order.previous if again else present
        beside = order.challenger
        if beside is not None and beside.package_digest == slot.package_digest:
            challenger.compare(change)
            beside = None
        change.service.give(champion=slot, previous=previous, challenger=beside, staged=None)
        change.service.wait(lambda worker: _is(worker.champion, slot), f"serve version {slot.version}")
    else:
        if order.challenger is not None and order.challenger.package_digest != slot.package_digest:
            challenger.compare(change)
        terms = change.work.spec.release.terms()
        facts = {"canary_percent": terms.canary_percent}
        change.service.give(challenger=ChallengerSpec(**slot.model_dump(), policy=terms), staged=None)
        change.service.wait(
            lambda worker: _is(worker.challenger, slot) and worker.policy == terms,
            f"take version {slot.version} as challenger",
        )
    change.record("switched", **facts, seconds=round(time.monotonic() - begun, 3))


def watch(change: Rollout) -> dict[str, float]:
    """Look at a new champion for a while.

    Returns:
        What it did meanwhile.

    Raises:
        Refused: it failed too many requests, or the service went away; what served before is back in its place.
        Superseded: the registry asks for another one by now.
    """
    spec = change.work.spec.release
    seconds = spec.watch_seconds if change.role == "champion" else 0.0
    end = time.monotonic() + seconds
    last_seen = time.monotonic()
    tally = RequestStats()
    while True:
        said = change.service.statement()
        now = time.monotonic()
        if said is not None and len(said.workers) >= said.expected:
            last_seen = now
            tally = challenger.total(
                [worker.champion_stats if change.role == "champion" else RequestStats() for worker in said.workers]
            )
        rate = tally.errors / tally.requests if tally.requests else 0.0
        if tally.requests >= spec.min_requests and rate > spec.max_error_rate:
            _return(change, f"{tally.errors} of {tally.requests} requests failed", rate, spec.max_error_rate)
        if now - last_seen > GONE_SECONDS:
            _return(change, f"the service did not answer for {GONE_SECONDS:.0f} s", 1.0, spec.max_error_rate)
        if now >= end and now - last_seen < 2 * POLL_SECONDS + 1:
            break
        if not change.still_wanted():
            raise Superseded
        time.sleep(min(POLL_SECONDS, max(0.01, end - now)))
    return {
        "watched_seconds": seconds,
        "requests": tally.requests,
        "errors": tally.errors,
        "p99_ms": tally.p99_ms or 0.0,
    }


def clear_away(change: Rollout) -> None:
    """A service that was started for a version which does not get to serve, and has nothing else, is stopped."""
    if change.role == "champion" and change.service.order().champion is None and change.service.url is not None:
        change.service.stop()


def withdraw(change: Rollout) -> None:
    """Nothing is champion any more: the service answers what it is answering, and stops."""
    change.record("withdrawing")
    change.service.stop()
    change.record("withdrawn")


def _return(change: Rollout, what: str, rate: float, limit: float) -> None:
    order = change.service.order()
    before = order.previous
    if before is not None:
        change.service.give(champion=before, previous=None)
        change.service.repeat()
        change.service.wait(lambda worker: _is(worker.champion, before), f"go back to version {before.version}")
    raise Refused(
        [
            GateResult(
                gate="watch",
                passed=False,
                figures={"error_rate": rate},
                limit=f"release.max_error_rate {limit}",
                reason=f"after the switch {what}; version {before.version if before else 'none'} serves again",
                next_step="look at the service's log and at /metrics, then promote another version",
            )
        ]
    )


def _unstage(change: Rollout) -> None:
    """The service forgets a version that does not get to serve."""
    order = change.service.order()
    refused = change.after.package_digest if change.after else None
    answers = changes.serving(change.service, "champion")
    if order.champion is None or order.previous is None or order.champion.package_digest != refused:
        change.service.give(staged=None)
    elif answers is not None and answers.package_digest == order.previous.package_digest:
        # Ordered once and not to be loaded any more, so the one before answers in its place: then that is the order.
        change.service.give(champion=order.previous, previous=None, staged=None)


def _slot(change: Rollout, proven: Proven) -> SlotSpec:
    return SlotSpec(
        version=proven.version.version,
        package_digest=proven.package.digest,
        bundle=os.path.relpath(proven.bundle.source.resolve(), change.service.folder.resolve()),
        tolerance=change.work.spec.gates.parity.tolerance,
    )


def _slots(worker: WorkerStatus) -> tuple[SlotStatus | None, ...]:
    return (worker.champion, worker.champion_failed, worker.challenger, worker.previous, worker.staged)


def _is(held: SlotStatus | None, slot: SlotSpec) -> bool:
    return held is not None and held.package_digest == slot.package_digest and held.state == "ready"


def _holds_slot(change: Rollout, slot: SlotSpec) -> bool:
    said = change.service.statement()
    return (
        said is not None
        and len(said.workers) >= said.expected
        and all(any(_is(held, slot) for held in _slots(worker)) for worker in said.workers)
    )


def _refusal(gate: Gate, reason: str, next_step: str, limit: str) -> Refused:
    return Refused([GateResult(gate=gate, passed=False, figures={}, limit=limit, reason=reason, next_step=next_step)])


def _sentence(error: ModelyardError) -> str:
    facts = [error.what, error.where, f"got {error.got}" if error.got else None]
    return ", ".join(fact for fact in facts if fact)[:800]
