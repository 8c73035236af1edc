"""Gate integrity: every file matches its manifest, and the manifests match each other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from components.contracts.gate_request import GateRequest, GateResult
from components.core.errors import CorruptArtifactError, NotFoundError
from components.evaluation.scorer import Scored
from components.gates.bundle_integrity import BundleCheck, IntegrityProblem
from components.gates.scoring import ScoringFailure
from components.identity import digest
from components.identity import manifest as manifests
from components.identity.manifest import Manifest
from components.identity.package import Package

LIMIT = "every digest as sealed, green expectations, metrics.json as scored afresh"
SAME = 2e-6  # metrics.json is rounded to 1e-6; sums of float32 are a little different with other threads


class DataCheck(NamedTuple):
    """The result of `check_data`.

    Args:
        prepared: manifest of the prepared data; None if it is missing or damaged.
        own: whether the package was trained on this prepared data.
        notes: remarks that are no problem.
    """

    prepared: Manifest | None
    own: bool
    problems: list[IntegrityProblem]
    notes: list[str]


def check_data(request: GateRequest, package: Package) -> DataCheck:
    """Recompute the digests of the data on disk and read the verdict of its expectations."""
    folder = Path(request.dataset)
    problems: list[IntegrityProblem] = []
    notes: list[str] = []
    rerun = f"`modelyard run {request.pipeline}` makes the data again"
    prepared = None
    try:
        prepared = manifests.verify(folder / "prepared", "prepared")
    except CorruptArtifactError as error:
        problems.append(IntegrityProblem("; ".join(line.strip() for line in error.lines()), rerun))
    except NotFoundError:
        notes.append("the prepared data is not on this machine")
    own = prepared is not None and prepared.digest == package.facts.data_digest
    if prepared is not None and not own:
        notes.append(f"the data is another version by now: {digest.short(prepared.digest)} instead of "
                     f"{digest.short(package.facts.data_digest)}")  # fmt: skip
    try:
        validated = manifests.verify(folder / "validated", "validated")
    except CorruptArtifactError as error:
        problems.append(IntegrityProblem("; ".join(line.strip() for line in error.lines()), rerun))
    except NotFoundError:
        notes.append("the report of its expectations is not on this machine")
    else:
        if validated.digest != package.facts.lineage.get("validated_digest"):
            notes.append("the expectations on this machine are of other data")
        elif validated.facts.get("success") is not True:
            problems.append(IntegrityProblem("the data that it was trained on did not meet its expectations",
                                    "correct the data, then train again"))  # fmt: skip
    return DataCheck(prepared, own, problems, notes)


def check_metrics(package: Package, scored: Scored | ScoringFailure) -> list[IntegrityProblem]:
    """Compare metrics.json with the metrics computed on the package's own test split."""
    if isinstance(scored, ScoringFailure):
        return [IntegrityProblem(f"it cannot be scored on its own test split: {scored.reason}", "train again")]
    sealed = package.metrics()["overall"]
    fresh = scored.figures()
    differences = [
        f"{name} {sealed[name]:.6f}, scored afresh it is {fresh.get(name, float('nan')):.6f}"
        for name in sorted(sealed)
        if not math.isclose(sealed[name], fresh.get(name, float("nan")), rel_tol=SAME, abs_tol=SAME)
    ]
    differences += [f"no {name}" for name in sorted(fresh.keys() - sealed.keys())]
    if not differences:
        return []
    return [
        IntegrityProblem(f"metrics.json says {'; '.join(differences)}", "do not trust this version; train it again")
    ]


def result(bundle_check: BundleCheck, data: DataCheck | None, problems: list[IntegrityProblem]) -> GateResult:
    """The result of the gate from all its checks."""
    figures = dict(bundle_check.figures)
    notes = data.notes if data else []
    if data is not None:
        figures["data"] = "its own" if data.own else "another version" if data.prepared else "not here"
    reason = (
        "; ".join(problem.description for problem in problems) or "every byte of bundle, package and data is as sealed"
    )
    if notes:
        reason += f" ({'; '.join(notes)})"
    return GateResult(
        gate="integrity",
        passed=not problems,
        figures=figures,
        limit=LIMIT,
        reason=reason,
        next_step=problems[0].next_step if problems else None,
    )
