"""Gate integrity: every byte is the one that was sealed, and what the seals say fits together."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from components.contracts import digest
from components.contracts import manifest as manifests
from components.contracts.errors import CorruptArtifactError, NotFoundError
from components.contracts.gate_request import Candidate, GateRequest, GateResult
from components.contracts.manifest import Manifest
from components.contracts.package import Package
from components.evaluation.metrics import accuracy, confusion_matrix
from components.gates.scoring import FrozenSplit, Scored, Unfit
from components.packaging.bundle import BESIDE

LIMIT = "every digest as sealed, green expectations, metrics.json as scored afresh"
SAME = 1e-6  # metrics.json is rounded to as much


class Finding(NamedTuple):
    """Something that is not as it should be, and what a person can do."""

    what: str
    next_step: str


class Held(NamedTuple):
    """What a look at the digests gave: the opened package if its bytes are whole, findings if not all is well."""

    package: Package | None
    findings: list[Finding]
    figures: dict[str, float | int | str]


class Data(NamedTuple):
    """The dataset as it is on disk: whether it is the one that the package was made from."""

    prepared: Manifest | None
    own: bool
    findings: list[Finding]
    notes: list[str]


def source(candidate: Candidate) -> Path:
    """Our part of a bundle."""
    return Path(candidate.bundle) / "src"


def look_at_bundle(request: GateRequest) -> Held:
    """Recompute the digests of bundle and package; nothing of the bundle has run yet."""
    candidate, folder = request.candidate, source(request.candidate)
    figures: dict[str, float | int | str] = {}
    try:
        bundle = manifests.verify(folder, "bundle", BESIDE)
        package = Package.open(folder / "package")
        metrics = package.metrics()["overall"]
    except (CorruptArtifactError, NotFoundError, ValidationError) as error:
        lines = error.lines() if isinstance(error, CorruptArtifactError | NotFoundError) else [str(error)]
        what = "; ".join(line.strip() for line in lines)
        return Held(None, [Finding(what, "build the bundle again from the registry's package")], figures)
    figures |= {"bundle": digest.short(bundle.digest), "package": digest.short(package.digest)}
    figures |= {"files": len(bundle.files), "accuracy_sealed": metrics.get("accuracy", float("nan"))}
    findings = []
    if package.digest != candidate.package_digest:
        found = f"{digest.short(package.digest)} instead of {digest.short(candidate.package_digest)}"
        findings.append(Finding(f"the bundle holds another package than the version names: {found}",
                                "build the bundle again"))  # fmt: skip
    if package.facts.pipeline != request.pipeline:
        findings.append(
            Finding(
                f"another pipeline's package: it is of {package.facts.pipeline}, not of {request.pipeline}",
                f"set the alias on a version that `modelyard run {request.pipeline}` registered",
            )
        )
    said = {"package_digest": candidate.package_digest, "version": candidate.version}
    for name, expected in said.items():
        if bundle.facts.get(name) != expected:
            findings.append(
                Finding(f"the bundle says {name} {bundle.facts.get(name)}, not {expected}", "build the bundle again")
            )
    return Held(package, findings, figures)


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


def look_at_metrics(package: Package, scored: Scored | Unfit, split: FrozenSplit) -> list[Finding]:
    """Whether metrics.json says what the graph answers on the package's own test split."""
    if isinstance(scored, Unfit):
        return [Finding(f"it cannot be scored on its own test split: {scored.reason}", "train again")]
    sealed = package.metrics()["overall"].get("accuracy", float("nan"))
    found = fresh_accuracy(scored, split)
    if abs(sealed - found) <= SAME:
        return []
    what = f"metrics.json says accuracy {sealed:.6f}, scored afresh it is {found:.6f}"
    return [Finding(what, "do not trust this version; train it again")]


def fresh_accuracy(scored: Scored, split: FrozenSplit) -> float:
    """The accuracy of answers on a split."""
    return accuracy(confusion_matrix(split.truth, scored.answers, len(split.classes) + 1))


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
