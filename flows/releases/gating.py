"""The step that goes through the gates, or finds evidence that these very things went through them."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from components import tasks
from components.contracts.gate_request import Candidate, Gate, GateEvidence, GateRequest, ServedFigure
from components.contracts.selection import Chosen
from components.core.errors import NotFoundError, ServingError
from components.gates import evidence
from components.identity import manifest as manifests
from components.packaging.bundle import Bundle
from flows.pipelines import selections, stage_requests
from flows.releases import served_figures
from flows.releases.rollout import Refused, Rollout, VerifiedVersion

CANCEL_GRACE_SECONDS = 10.0  # for the endpoints that the gates have started to end


def gates(rollout: Rollout, candidate: VerifiedVersion) -> GateEvidence | None:
    """Go through the gates, unless evidence of the same key stands.

    Raises:
        Refused: holds the gates that refused.
    """
    if rollout.current is not None and rollout.current.package_digest == candidate.package.digest:
        rollout.record("gated", reused="it is what serves")
        return None
    request = _gate_request(rollout, candidate)
    key = evidence.key(request, rollout.context.project.root)
    folder = rollout.context.project.gates(rollout.name, key)
    found = _evidence(folder / "evidence.json", key)
    reused = found is not None and found.passed
    if not reused:
        folder.parent.mkdir(parents=True, exist_ok=True)
        placed = request.model_copy(update={"folder": str(folder)})
        context = rollout.context
        context.run(
            stage_requests.gates(context.project, f"gates-{key[:16]}", placed), grace_seconds=CANCEL_GRACE_SECONDS
        )
        found = _evidence(folder / "evidence.json", key)
    if found is None:
        raise ServingError("the gates left no evidence", where=str(folder))
    refused = [result for result in found.results if not result.passed]
    if refused:
        raise Refused(refused, str(folder))
    figures = {result.gate: {"reason": result.reason, **result.figures} for result in found.results}
    rollout.record("gated", evidence=key, reused=reused, figures=figures)
    return found


def _gate_request(rollout: Rollout, candidate: VerifiedVersion) -> GateRequest:
    spec, project = rollout.context.spec, rollout.context.project
    asked: list[Gate] = ["integrity"]
    asked += ["floors"] if spec.gates.floors else []
    asked += ["baseline"]
    chosen = _chosen(rollout, candidate)
    asked += ["selection"] if chosen is not None else []
    asked += ["champion"] if spec.gates.champion is not None and rollout.role == "champion" else []
    asked += ["parity"]
    asked += ["latency"] if spec.gates.latency is not None else []
    asked += ["budget"] if spec.budget is not None and spec.budget.applies_at_release else []
    return GateRequest(
        pipeline=spec.name,
        role=rollout.role,
        candidate=_candidate(rollout, candidate.version.version, candidate.package.digest, candidate.bundle),
        champion=_champion(rollout),
        best_served=_best_served(rollout) if "champion" in asked else None,
        asked=asked,
        gates=spec.gates,
        budget=spec.budget,
        chosen=chosen,
        dataset=str(project.dataset(spec.dataset).relative_to(project.root)),
        folder="",
    )


def _chosen(rollout: Rollout, candidate: VerifiedVersion) -> Chosen | None:
    """How a search chose the version; None if no search here did."""
    project, fingerprint = rollout.context.project, candidate.package.facts.train_fingerprint
    found = selections.find(project, rollout.context.spec.name, fingerprint)
    return None if found is None else selections.chosen(project, found, fingerprint)


def _champion(rollout: Rollout) -> Candidate | None:
    pin = rollout.pinned().production.champion
    if pin is None:
        return None
    return _candidate(rollout, pin.version, pin.package_digest, rollout.service.bundle(pin))


def _best_served(rollout: Rollout) -> ServedFigure | None:
    spec, project = rollout.context.spec, rollout.context.project
    metrics = tasks.find(spec.task).metrics
    metric = (spec.gates.champion.metric if spec.gates.champion is not None else None) or next(iter(metrics))
    try:
        test_data = manifests.load(project.dataset(spec.dataset) / "prepared", "prepared").digest
    except NotFoundError:
        return None
    if metric not in metrics:  # the gate says so
        return None
    entries = rollout.ledger.entries()
    return served_figures.best(entries, metric, higher_is_better=metrics[metric].higher_is_better, test_data=test_data)


def _candidate(rollout: Rollout, version: str, digest: str, bundle: Bundle) -> Candidate:
    return Candidate(
        name=rollout.name, version=version, package_digest=digest, bundle=str(bundle.folder), bundle_key=bundle.key
    )


def _evidence(path: Path, key: str) -> GateEvidence | None:
    try:
        found = GateEvidence.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return found if found.key == key else None
