"""What hosts say of a model, judged: whether it answers, what it has loaded, whether it follows production."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from components.contracts.serving_spec import ServiceStatus, ServingSpec, SlotSpec, WorkerStatus
from components.core.errors import ModelyardError
from components.release.production import Pin, Production
from flows.serving_targets.host_protocol import ModelObservation
from flows.serving_targets.local_target import LocalServingTarget


def combined(model: str, answers: Mapping[str, ServiceStatus | None], absent: list[str]) -> ServiceStatus | None:
    """The status of all hosts together.

    Args:
        answers: of the hosts that answer, by name; None: the host's service does not.
    """
    known = [status for status in answers.values() if status is not None]
    if not known:
        return None
    return ServiceStatus(
        model=model,
        expected=sum(1 if status is None else status.expected for status in answers.values()),
        workers=[worker for status in known for worker in status.workers],
        hosts=len(answers),
        absent=absent,
        unleased=[
            name
            for name, status in answers.items()
            if status is not None and any(worker.lease_is_over for worker in status.workers)
        ],
    )


def told(answer: ServiceStatus | ModelyardError | None) -> str:
    """What a host answers, for people."""
    if isinstance(answer, ModelyardError):
        return "does not answer"
    if answer is None:
        return "its service does not answer"
    workers = [_told(worker) for worker in answer.workers]
    counted = ", ".join(f"{count} x {text}" if count > 1 else text for text, count in Counter(workers).items())
    return f"{len(workers)} of {answer.expected} workers: {counted or 'none'}"


def _told(worker: WorkerStatus) -> str:
    slots = {name: getattr(worker, name) for name in ("champion", "champion_failed", "challenger", "staged")}
    held = [
        f"{name.partition('_')[0]} {slot.version}"
        + (f" {slot.state}" if slot.state != "ready" else "")
        + (f" ({slot.reason[:200]})" if slot.reason else "")
        for name, slot in slots.items()
        if slot is not None
    ]
    return " and ".join([*held, *(["lease over"] if worker.lease_is_over else [])]) or "nothing"


def is_ready(worker: WorkerStatus) -> bool:
    """Whether a worker has a champion, and a lease."""
    return worker.champion is not None and not worker.lease_is_over


def is_whole(one: ModelObservation) -> bool:
    """Whether every worker of a host's service answers requests."""
    return (
        one.state == "running"
        and one.status is not None
        and len(one.status.workers) >= one.status.expected
        and all(map(is_ready, one.status.workers))
    )


def follows(spec: ServingSpec | None, production: Production, local: LocalServingTarget) -> bool:
    """Whether a host's spec names what production is made of."""
    if spec is None:
        return production == Production()
    roles = ((spec.champion, production.champion), (spec.previous, production.previous))
    policy = spec.challenger.policy if spec.challenger is not None else None
    beside = production.challenger if production.policy is not None else None
    return all(_is(slot, pin, local) for slot, pin in (*roles, (spec.challenger, beside))) and policy == (
        production.policy if beside is not None else None
    )


def loaded_packages(observation: ModelObservation) -> set[str]:
    """The packages that every worker of a host has ready, by their digests."""
    workers = observation.status.workers if observation.status is not None else []
    ready = [
        {
            slot.package_digest
            for slot in (worker.champion, worker.previous, worker.challenger, worker.staged)
            if slot is not None and slot.state == "ready"
        }
        for worker in workers
    ]
    return set.intersection(*ready) if ready else set()


def _is(slot: SlotSpec | None, pin: Pin | None, local: LocalServingTarget) -> bool:
    if slot is None or pin is None:
        return slot is None and pin is None
    return (slot.version, slot.package_digest, slot.tolerance) == (pin.version, pin.package_digest, pin.tolerance) and (
        local.bundle(pin).folder.name in Path(slot.bundle).parts
    )
