"""The steps of a release, as plain functions; `flows.releases.flow` wraps them as Prefect tasks.

Each may be done again: what was done already is found and left alone.
"""

from __future__ import annotations

import time

from components.contracts.gate_request import Gate, GateResult
from components.contracts.serving_spec import RequestStats, SlotStatus, WorkerStatus
from components.core.errors import (
    CorruptArtifactError,
    ModelyardError,
    NotFoundError,
    ServingError,
    SignatureError,
    UsageError,
)
from components.registry import versions
from components.registry.api import MissingError
from components.release.ledger import VersionRef
from components.release.production import Pin, Production
from flows.pipelines import bundle_plan, signing, stages
from flows.releases import challenger, outlasting
from flows.releases.rollout import Refused, Rollout, Superseded, VerifiedVersion
from flows.serving_targets.serving_target import facts_of_hosts

POLL_SECONDS = 0.25
GONE_SECONDS = 30.0


def verify(rollout: Rollout) -> VerifiedVersion:
    """The version and its package, read byte by byte, and its bundle if it was built; `bundle` builds it.

    Raises:
        Refused: there is no such version, or it has no package of this pipeline, or the package is not as sealed.
    """
    assert rollout.target is not None  # noqa: S101
    try:
        version = versions.by_number(rollout.api, rollout.name, rollout.target.version)
        planned = bundle_plan.of(rollout.context.project, rollout.context.spec, version)
        package = stages.package_of(rollout.context, version)
    except MissingError as error:
        reason = f"there is no version {rollout.target.version}"
        raise _refusal("integrity", reason, "choose another version", limit="a version of the registry") from error
    except (CorruptArtifactError, NotFoundError) as error:
        next_step = error.next_step or "train it again: `modelyard run`"
        raise _refusal("integrity", _sentence(error), next_step, limit="every byte as sealed") from error
    except ServingError as error:  # a version that Modelyard did not register
        next_step = error.next_step or "choose another version"
        raise _refusal("integrity", error.what, next_step, limit="a version that Modelyard registered") from error
    if package.facts.pipeline != rollout.name:
        raise _refusal(
            "integrity",
            f"the package is one of the pipeline {package.facts.pipeline}, not of {rollout.name}",
            "register it under its own name, or choose another version",
            limit=f"a package of the pipeline {rollout.name}",
        )
    rollout.target = VersionRef(version=version.version, package_digest=package.digest)
    rollout.record("verified", package=package.digest, run=version.run_id, data=package.facts.data_digest)
    return VerifiedVersion(version, package, planned.bundle)


def bundle(rollout: Rollout, candidate: VerifiedVersion) -> tuple[Pin, str]:
    """The bundle, built if it is not there, as a pin; and the digest of its serving code.

    Raises:
        Refused: the bundle is there and not as sealed, or not signed as the project requires, or what serves cannot run
            it.
    """
    planned = bundle_plan.of(rollout.context.project, rollout.context.spec, candidate.version)
    begun = time.monotonic()
    reused = planned.bundle.exists()
    if not reused:
        stages.build_bundle(rollout.context, planned, force=False)
    try:
        facts = planned.bundle.verify()
    except CorruptArtifactError as error:
        next_step = f"`modelyard run {rollout.name} --force bundle`"
        raise _refusal("integrity", _sentence(error), next_step, limit="every byte as sealed") from error
    try:
        signing.ensure_signed(rollout.context.project, planned.bundle, rollout.context.log)
        signing.require(rollout.context.project, planned.bundle)
    except (SignatureError, UsageError) as error:
        next_step = error.next_step or f"`modelyard bundle {rollout.name} --sign KEY`, or mend [signing]"
        raise _refusal("integrity", _sentence(error), next_step, limit="signed with the required key") from error
    rollout.record(
        "bundled",
        bundle=planned.bundle.tag,
        digest=facts.digest,
        reused=reused,
        seconds=round(time.monotonic() - begun, 2),
    )
    pin = Pin(
        version=candidate.version.version,
        package_digest=candidate.package.digest,
        bundle=planned.bundle.tag,
        bundle_digest=facts.digest,
        tolerance=rollout.context.spec.gates.parity.tolerance,
    )
    try:
        rollout.service.check_rollout(
            pin, rollout.context.spec.release.policy() if rollout.role == "challenger" else None
        )
    except UsageError as error:
        next_step = error.next_step or "mend modelyard.toml"
        raise _refusal("load", _sentence(error), next_step, limit="what serves can run it") from error
    return pin, str(facts.facts.get("code", ""))


def stage(rollout: Rollout, pin: Pin, code: str) -> None:
    """Have the service hold the version beside the one that serves, loaded, warm and proven in every worker.

    Processes of other serving code, or another number of them, are replaced by processes of this bundle, without a
    pause.

    Raises:
        Refused: a worker cannot load it.
    """
    begun = time.monotonic()
    if _is_loaded(rollout, pin):
        rollout.service.bring(pin)
    else:
        rollout.apply(staged=pin)
    status = rollout.service.status()
    other_code = status is not None and bool(code) and any(worker.code != code for worker in status.workers)
    other_size = status is not None and status.expected != rollout.context.spec.serving.workers * status.hosts
    # Of several hosts, one may be new.
    is_stopped = status is None or (status.hosts > 1 and rollout.service.state() == "stopped")
    if is_stopped or other_code or other_size:
        why = "is not running" if is_stopped else "runs other serving code or another number of workers"
        rollout.context.log(f"the service {why}; starting it from {pin.bundle}")
        rollout.service.start(rollout.service.bundle(pin))

    def settled(worker: WorkerStatus) -> bool:
        return any(slot is not None and slot.package_digest == pin.package_digest for slot in _slots(worker))

    status = rollout.service.wait(settled, f"load version {pin.version}")
    failed = [
        slot.reason or "it does not load"
        for worker in status.workers
        for slot in _slots(worker)
        if slot is not None and slot.package_digest == pin.package_digest and slot.state == "failed"
    ]
    if failed:
        reason, next_step = f"the service cannot load it: {failed[0]}", "look at the service's log"
        raise _refusal("load", reason, next_step, limit="it loads in every worker")
    seconds = round(time.monotonic() - begun, 2)
    rollout.record("staged", workers=len(status.workers), **facts_of_hosts(status), seconds=seconds)


def prove(rollout: Rollout, candidate: VerifiedVersion) -> None:
    """The golden examples through the endpoint that production uses.

    Raises:
        Refused: the service's answers differ from the training process's.
    """
    begun = time.monotonic()
    tolerance = rollout.context.spec.gates.parity.tolerance
    try:
        worst = rollout.service.check_golden_examples(
            candidate.package, tolerance, rollout.context.spec.serving.workers
        )
    except ServingError as error:
        if rollout.service.status() is None:
            raise
        next_step, limit = "compare the package with its training", f"each number within {tolerance:g} in every worker"
        raise _refusal("parity", _sentence(error), next_step, limit) from error
    rollout.record("proven", worst_difference=worst, tolerance=tolerance, seconds=round(time.monotonic() - begun, 2))


def switch(rollout: Rollout, pin: Pin) -> None:
    """Decide that the version serves in its role, record it, and have every worker follow.

    What served before stays warm.

    Raises:
        Superseded: the registry asks for another version by now, or production was rolled back.
    """
    if "switching" not in rollout.done and not rollout.is_still_desired():
        raise Superseded
    begun = time.monotonic()
    facts: dict[str, float] = {}
    if rollout.role == "champion":
        beside = rollout.pinned().production.challenger
        if beside is not None and beside.package_digest == pin.package_digest:
            challenger.compare(rollout)
        rollout.pin("switching", lambda now: now.with_champion(pin))
        outlasting.left_behind(rollout, "switching")  # its time counts from here
        rollout.apply()
        status = rollout.service.wait(
            lambda worker: _serves(worker.champion, pin) and not worker.lease_is_over, f"serve version {pin.version}"
        )
    else:
        beside = rollout.pinned().production.challenger
        if beside is not None and beside.package_digest != pin.package_digest:
            challenger.compare(rollout)
        policy = rollout.context.spec.release.policy()
        facts = {"canary_percent": policy.canary_percent}
        rollout.pin("switching", lambda now: now.with_challenger(pin, policy))
        outlasting.left_behind(rollout, "switching")
        rollout.apply()
        status = rollout.service.wait(
            lambda worker: _serves(worker.challenger, pin) and worker.policy is not None,
            f"take version {pin.version} as challenger",
        )
    rollout.record("switched", **facts, **facts_of_hosts(status), seconds=round(time.monotonic() - begun, 3))


def watch(rollout: Rollout) -> dict[str, float]:
    """Watch a new champion for a while.

    Returns:
        Its figures meanwhile.

    Raises:
        Refused: it failed too many requests, or the service went away.
        Superseded: the registry asks for another version by now.
    """
    spec = rollout.context.spec.release
    seconds = spec.watch_seconds if rollout.role == "champion" else 0.0
    end = time.monotonic() + seconds
    last_seen = time.monotonic()
    stats = RequestStats()
    while True:
        status = rollout.service.status()
        now = time.monotonic()
        if status is not None and len(status.workers) >= status.expected:
            last_seen = now
            stats = challenger.total(
                [worker.champion_stats if rollout.role == "champion" else RequestStats() for worker in status.workers]
            )
        rate = stats.errors / stats.requests if stats.requests else 0.0
        if stats.requests >= spec.min_requests and rate > spec.max_error_rate:
            raise _failed(f"{stats.errors} of {stats.requests} requests failed", rate, spec.max_error_rate)
        if now - last_seen > GONE_SECONDS:
            raise _failed(f"the service did not answer for {GONE_SECONDS:.0f} s", 1.0, spec.max_error_rate)
        if now >= end and now - last_seen < 2 * POLL_SECONDS + 1:
            break
        if not rollout.is_still_desired():
            raise Superseded
        time.sleep(min(POLL_SECONDS, max(0.01, end - now)))
    return {
        "watched_seconds": seconds,
        "requests": stats.requests,
        "errors": stats.errors,
        "p99_ms": stats.p99_ms or 0.0,
    }


def leave(rollout: Rollout) -> None:
    """Have the service hold what is pinned and nothing staged; stop one that has nothing to serve."""
    pinned = rollout.apply().production
    if pinned.champion is None and rollout.service.url is not None:
        rollout.service.stop()


def withdraw(rollout: Rollout) -> None:
    """No version is champion any more: the service answers what it is answering, and stops."""
    rollout.pin("withdrawing", lambda _: Production())
    outlasting.left_behind(rollout, "withdrawing")
    rollout.service.stop()
    rollout.record("withdrawn", **outlasting.outlast(rollout, "withdrawing"))


def unloadable(reason: str) -> Refused:
    """The refusal of a champion that no worker can load any more."""
    return _refusal(
        "load",
        f"no worker can load it any more: {reason}",
        "look at the service's log; promote another version, or this one again: its bundle is built anew",
        limit="it loads in every worker",
    )


def _failed(what: str, rate: float, limit: float) -> Refused:
    return Refused(
        [
            GateResult(
                gate="watch",
                passed=False,
                figures={"error_rate": rate},
                limit=f"release.max_error_rate {limit}",
                reason=f"after the switch {what}",
                next_step="look at the service's log and at /metrics, then promote another version",
            )
        ]
    )


def _slots(worker: WorkerStatus) -> tuple[SlotStatus | None, ...]:
    return (worker.champion, worker.champion_failed, worker.challenger, worker.previous, worker.staged)


def _serves(slot: SlotStatus | None, pin: Pin) -> bool:
    return slot is not None and slot.package_digest == pin.package_digest and slot.state == "ready"


def _is_loaded(rollout: Rollout, pin: Pin) -> bool:
    status = rollout.service.status()
    return (
        status is not None
        and len(status.workers) >= status.expected
        and all(any(_serves(slot, pin) for slot in _slots(worker)) for worker in status.workers)
    )


def _refusal(gate: Gate, reason: str, next_step: str, limit: str) -> Refused:
    return Refused([GateResult(gate=gate, passed=False, figures={}, limit=limit, reason=reason, next_step=next_step)])


def _sentence(error: ModelyardError) -> str:
    facts = [error.what, error.where, f"got {error.got}" if error.got else None]
    return ", ".join(fact for fact in facts if fact)[:800]
