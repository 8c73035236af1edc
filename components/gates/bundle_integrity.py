"""What a bundle says of itself, before anything of it runs: its digests, recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from components import tasks
from components.contracts.gate_request import Candidate, GateRequest
from components.core.errors import CorruptArtifactError, NotFoundError
from components.identity import digest
from components.identity import manifest as manifests
from components.identity.package import Package
from components.packaging.bundle import BESIDE, COMPILED


class Finding(NamedTuple):
    """Something that is not as it should be, and what a person can do."""

    what: str
    next_step: str


class Held(NamedTuple):
    """What a look at the digests gave: the opened package if its bytes are whole, findings if not all is well."""

    package: Package | None
    findings: list[Finding]
    figures: dict[str, float | int | str]


def source(candidate: Candidate) -> Path:
    """Our part of a bundle."""
    return Path(candidate.bundle) / "src"


def look_at_bundle(request: GateRequest) -> Held:
    """Recompute the digests of bundle and package; nothing of the bundle has run yet."""
    candidate, folder = request.candidate, source(request.candidate)
    figures: dict[str, float | int | str] = {}
    again = f"build the bundle again: `modelyard run {request.pipeline} --force bundle`"
    try:
        manifests.verify(Path(candidate.bundle), "bento", COMPILED)  # BentoML's own files too
        bundle = manifests.verify(folder, "bundle", BESIDE)
        package = Package.open(folder / "package")
        metrics = package.metrics()["overall"]
        first = next(iter(tasks.find(package.facts.task).metrics))
    except (CorruptArtifactError, NotFoundError, ValidationError) as error:
        lines = error.lines() if isinstance(error, CorruptArtifactError | NotFoundError) else [str(error)]
        what = "; ".join(line.strip() for line in lines)
        return Held(None, [Finding(what, again)], figures)
    figures |= {"bundle": digest.short(bundle.digest), "package": digest.short(package.digest)}
    figures |= {"files": len(bundle.files), f"{first}_sealed": metrics.get(first, float("nan"))}
    findings = []
    if package.digest != candidate.package_digest:
        found = f"{digest.short(package.digest)} instead of {digest.short(candidate.package_digest)}"
        findings.append(Finding(f"the bundle holds another package than the version names: {found}",
                                again))  # fmt: skip
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
            findings.append(Finding(f"the bundle says {name} {bundle.facts.get(name)}, not {expected}", again))
    return Held(package, findings, figures)
