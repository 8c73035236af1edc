"""The status of a service whose versions are Deployments, in the words of one whose workers hold all versions.

Each worker process of the pods that answer requests is reported as one worker. Its champion is what its own process
says. The other slots are those of the other Deployments: ready once every worker of theirs says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from components.contracts.serving_spec import (
    ChallengerLimits,
    RequestStats,
    ServiceStatus,
    SlotStatus,
    WorkerStatus,
)
from components.release.production import Pin
from flows.serving_targets.cluster_observation import ClusterObservation, DeploymentObservation
from flows.serving_targets.cluster_traffic import key_of

NO_GATEWAY = "a challenger gets its requests from a Gateway, and [kubernetes] of modelyard.toml names none any more"
Answers = Mapping[str, Sequence[WorkerStatus]]  # of each Deployment, by the bundle's key


def status(model: str, observed: ClusterObservation, answers: Answers) -> ServiceStatus | None:
    """The status of a model's service; None: no worker answers."""
    base, traffic = observed.base, observed.traffic
    if base is None:
        return None
    if not answers.get(base.key):
        return _failed(model, observed, base)
    production = traffic.production
    is_serving = traffic.champion == base.key and observed.pending is None
    due = production.champion
    challenger = production.challenger if traffic.challenger is not None else None
    beside = _beside(observed, challenger, answers)
    if beside is not None and beside.state == "ready" and production.policy is not None and challenger is not None:
        ours = answers.get(key_of(challenger), ())
        broken = broken_limit(ours, answers[base.key], production.policy.limits)
        if broken is not None:
            beside = beside.model_copy(update={"state": "removed", "reason": broken})
    if production.challenger is not None and not traffic.is_divided:
        beside = _taken_out(production.challenger, NO_GATEWAY)
    failed = None if due is None or key_of(due) == base.key else _beside(observed, due, answers)
    slots = {
        "generation": traffic.decision,
        "decision": traffic.decision,
        "champion_failed": failed if failed is not None and failed.state == "failed" else None,
        "challenger": beside,
        "policy": production.policy if challenger is not None else None,
        "previous": _beside(observed, production.previous, answers),
        "staged": _beside(observed, traffic.staged, answers),
        "challenger_stats": RequestStats(),
    }
    workers = [
        worker.model_copy(update={**slots, "champion": worker.champion if is_serving else None})
        for worker in answers[base.key]
    ]
    if challenger is not None:
        stats = _total([worker.champion_stats for worker in answers.get(key_of(challenger), ())])
        workers[0] = workers[0].model_copy(update={"challenger_stats": stats})
    return ServiceStatus(model=model, expected=base.workers, workers=workers, hosts=base.replicas)


def _taken_out(pin: Pin, reason: str) -> SlotStatus:
    return SlotStatus(version=pin.version, package_digest=pin.package_digest, state="removed", reason=reason, since=0.0)


def _failed(model: str, observed: ClusterObservation, base: DeploymentObservation) -> ServiceStatus | None:
    """One worker that could load nothing, where the cluster says that no pod will become ready; else None."""
    traffic = observed.traffic
    champion = traffic.production.champion
    is_champion = champion is not None and key_of(champion) == base.key
    pin = champion if is_champion else traffic.staged
    slot = _beside(observed, pin, {}) if base.failure is not None else None
    if slot is None:
        return None
    worker = WorkerStatus(
        worker=0,
        generation=traffic.decision,
        decision=traffic.decision,
        code="",
        champion_failed=slot if is_champion else None,
        staged=None if is_champion else slot,
    )
    return ServiceStatus(model=model, expected=1, workers=[worker])


def _beside(observed: ClusterObservation, pin: Pin | None, answers: Answers) -> SlotStatus | None:
    """A slot that is a Deployment of its own; None: it is empty, or its pods are not all ready yet."""
    deployment = observed.deployments.get(key_of(pin)) if pin is not None else None
    if pin is None or deployment is None:
        return None
    if deployment.failure is not None:
        return SlotStatus(
            version=pin.version,
            package_digest=pin.package_digest,
            state="failed",
            reason=deployment.failure,
            since=0.0,
        )
    found = answers.get(deployment.key, ())
    return _common(deployment, pin, found)


def _common(deployment: DeploymentObservation, pin: Pin, workers: Sequence[WorkerStatus]) -> SlotStatus | None:
    held = [worker.champion for worker in workers]
    if len(held) < deployment.workers or any(
        slot is None or slot.package_digest != pin.package_digest or slot.state != "ready" for slot in held
    ):
        return None
    since = max(slot.since for slot in held if slot is not None)
    return SlotStatus(version=pin.version, package_digest=pin.package_digest, state="ready", since=since)


def broken_limit(
    challenger: Sequence[WorkerStatus], champion: Sequence[WorkerStatus], limits: ChallengerLimits
) -> str | None:
    """The limit that a challenger broke, with figures; None if it broke none.

    Rates are over all answers since its pods started. Latency is the median over pods of each pod's median.
    """
    ours, theirs = (_total([worker.champion_stats for worker in workers]) for workers in (challenger, champion))
    if ours.requests < limits.min_requests:
        return None
    rate = ours.errors / ours.requests if ours.requests else 0.0
    if rate > limits.max_error_rate:
        return (
            f"{rate:.1%} of its {ours.requests} answers failed or were not finite, "
            f"more than max_error_rate {limits.max_error_rate:.1%}"
        )
    own, other = _typical(challenger), _typical(champion)
    if theirs.requests < limits.min_requests or not own or not other:
        return None
    if own > limits.max_latency_ratio * other:
        return (
            f"its median answer takes {own:.2f} ms, the champion's {other:.2f}: "
            f"more than max_latency_ratio {limits.max_latency_ratio:g}"
        )
    return None


def _typical(workers: Sequence[WorkerStatus]) -> float | None:
    """Milliseconds of a median answer."""
    known = [worker.champion_stats.p50_ms for worker in workers if worker.champion_stats.p50_ms is not None]
    return median(known) if known else None


def _total(stats: Sequence[RequestStats]) -> RequestStats:
    """Counts of several workers together; of the percentiles the worst."""
    slowest = [one.p50_ms for one in stats if one.p50_ms is not None]
    tails = [one.p99_ms for one in stats if one.p99_ms is not None]
    return RequestStats(
        requests=sum(one.requests for one in stats),
        errors=sum(one.errors for one in stats),
        not_finite=sum(one.not_finite for one in stats),
        p50_ms=max(slowest, default=None),
        p99_ms=max(tails, default=None),
    )
