"""The step that goes through the gates, or finds that they were gone through with these very things."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

from components.contracts.gate_request import Candidate, Gate, GateEvidence, GateRequest
from components.contracts.serving_spec import SPEC_FILE
from components.core.errors import ServingError
from components.gates import evidence
from components.packaging.bundle import Bundle
from flows.pipelines import stage_runner
from flows.releases.rollout import Proven, Refused, Rollout


def gates(change: Rollout, proven: Proven) -> GateEvidence | None:
    """Go through the gates, or find that they were gone through with these very things.

    Raises:
        Refused: holds what refused.
    """
    asked_entry = change.entry("asked")
    if asked_entry is not None and asked_entry.facts.get("going_back"):
        change.record("gated", reused="it served well before: going back asks for integrity and parity alone")
        return None
    if change.before is not None and change.before.package_digest == proven.package.digest:
        change.record("gated", reused="it is what serves")
        return None
    request = _gate_request(change, proven)
    key = evidence.key(request, change.work.project.root)
    folder = change.work.project.gates(change.name, key)
    found = _evidence(folder / "evidence.json", key)
    reused = found is not None and found.passed
    if not reused:
        folder.parent.mkdir(parents=True, exist_ok=True)
        stage_runner.call(
            "gates",
            request.model_copy(update={"folder": str(folder)}).model_dump_json(),
            folder=change.work.project.root,
            request_file=change.work.project.state / "requests" / f"gates-{key[:16]}.json",
            on_line=change.work.say,
            on_words=change.work.say,
        )
        found = _evidence(folder / "evidence.json", key)
    if found is None:
        raise ServingError("the gates left no evidence", where=str(folder))
    refused = [result for result in found.results if not result.passed]
    if refused:
        raise Refused(refused, str(folder))
    figures = {result.gate: {"reason": result.reason, **result.figures} for result in found.results}
    change.record("gated", evidence=key, reused=reused, figures=figures)
    return found


def _gate_request(change: Rollout, proven: Proven) -> GateRequest:
    spec, project = change.work.spec, change.work.project
    asked: list[Gate] = ["integrity"]
    asked += ["floors"] if spec.gates.floors else []
    asked += ["champion"] if spec.gates.champion is not None and change.role == "champion" else []
    asked += ["parity"]
    asked += ["latency"] if spec.gates.latency is not None else []
    return GateRequest(
        pipeline=spec.name,
        role=change.role,
        candidate=_candidate(change, proven.version.version, proven.package.digest, proven.bundle),
        champion=_champion(change),
        asked=asked,
        gates=spec.gates,
        dataset=str(project.dataset(spec.dataset).relative_to(project.root)),
        folder="",
    )


def _champion(change: Rollout) -> Candidate | None:
    slot = change.service.order().champion
    if slot is None:
        return None
    digits = slot.bundle.rstrip("/").split("/")[-2]
    if re.fullmatch(r"[0-9a-f]{12}", digits) is None:
        raise ServingError(
            "the champion's bundle was not built by Modelyard",
            where=str(change.service.folder / SPEC_FILE),
            got=slot.bundle,
            expected=str(change.work.project.bundles / "bentos" / change.name / "12 hex digits" / "src"),
        )
    bundle = Bundle(change.work.project.bundles, change.name, digits)
    return _candidate(change, slot.version, slot.package_digest, bundle)


def _candidate(change: Rollout, version: str, digest: str, bundle: Bundle) -> Candidate:
    return Candidate(
        name=change.name, version=version, package_digest=digest, bundle=str(bundle.folder), bundle_key=bundle.key
    )


def _evidence(path: Path, key: str) -> GateEvidence | None:
    try:
        found = GateEvidence.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return found if found.key == key else None
