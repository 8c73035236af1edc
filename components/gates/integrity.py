"""Gate integrity: every byte is the one that was sealed, and what the seals say fits together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from components.contracts.gate_request import GateRequest, GateResult
from components.core.errors import CorruptArtifactError, NotFoundError
from components.evaluation.scorer import Scored
from components.gates.bundle_integrity import Finding, Held
from components.gates.scoring import Unfit
from components.identity import digest
from components.identity import manifest as manifests
from components.identity.manifest import Manifest
from components.identity.package import Package

LIMIT = "every digest as sealed, green expectations, metrics.json as scored afresh"
SAME = 2e-6  # metrics.json is rounded to 1e-6; sums of float32 are a little different with other threads


class Data(NamedTuple):
    """The dataset as it is on disk: whether it is the one that the package was made from."""

    prepared: Manifest | None
    own: bool
    findings: list[Finding]
    notes: list[str]


def look_at_data(request: GateRequest, package: Package) -> Data:
    """Recompute the digests of the data on disk and read the verdict of its expectations."""
    folder = Path(request.dataset)
    findings: list[Finding] = []
    notes: list[str] = []
    again = f"`modelyard run {request.pipeline}` makes the data again"
    prepared = None
    try:
        prepared = manifests.verify(folder / "prepared", "prepared")
    except CorruptArtifactError as error:
        findings.append(Finding("; ".join(line.strip() for line in error.lines()), again))
    except NotFoundError:
        notes.append("the prepared data is not on this machine")
    own = prepared is not None and prepared.digest == package.facts.data_digest
    if prepared is not None and not own:
        notes.append(f"the data is another version by now: {digest.short(prepared.digest)} instead of "
                     f"{digest.short(package.facts.data_digest)}")  # fmt: skip
    try:
        validated = manifests.verify(folder / "validated", "validated")
    except CorruptArtifactError as error:
        findings.append(Finding("; ".join(line.strip() for line in error.lines()), again))
    except NotFoundError:
        notes.append("the report of its expectations is not on this machine")
    else:
        if validated.digest != package.facts.lineage.get("validated_digest"):
            notes.append("the expectations on this machine are of other data")
        elif validated.facts.get("success") is not True:
            findings.append(Finding("the data that it was trained on did not meet its expectations",
                                    "correct the data, then train again"))  # fmt: skip
    return Data(prepared, own, findings, notes)


def look_at_metrics(package: Package, scored: Scored | Unfit) -> list[Finding]:
    """Whether metrics.json says what the graphs answer on the package's own test split, figure by figure."""
    if isinstance(scored, Unfit):
        return [Finding(f"it cannot be scored on its own test split: {scored.reason}", "train again")]
    sealed = package.metrics()["overall"]
    fresh = scored.figures()
    wrong = [
        f"{name} {sealed[name]:.6f}, scored afresh it is {fresh.get(name, float('nan')):.6f}"
        for name in sorted(sealed)
        if not math.isclose(sealed[name], fresh.get(name, float("nan")), rel_tol=SAME, abs_tol=SAME)
    ]
    wrong += [f"no {name}" for name in sorted(fresh.keys() - sealed.keys())]
    if not wrong:
        return []
    return [Finding(f"metrics.json says {'; '.join(wrong)}", "do not trust this version; train it again")]


def result(held: Held, data: Data | None, findings: list[Finding]) -> GateResult:
    """What the gate found in all."""
    figures = dict(held.figures)
    notes = data.notes if data else []
    if data is not None:
        figures["data"] = "its own" if data.own else "another version" if data.prepared else "not here"
    reason = "; ".join(finding.what for finding in findings) or "every byte of bundle, package and data is as sealed"
    if notes:
        reason += f" ({'; '.join(notes)})"
    return GateResult(
        gate="integrity",
        passed=not findings,
        figures=figures,
        limit=LIMIT,
        reason=reason,
        next_step=findings[0].next_step if findings else None,
    )
