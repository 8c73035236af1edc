"""Check a bundle before its code runs: recompute its digests and compare its facts with the request."""

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
from components.packaging.bundle import BENTO_BESIDE, BESIDE


class IntegrityProblem(NamedTuple):
    """A failed integrity check, and what a person can do."""

    description: str
    next_step: str


class BundleCheck(NamedTuple):
    """The result of `check_bundle`.

    Args:
        package: the opened package; None if a digest does not match.
        problems: failed checks; [] if the bundle is intact.
        figures: digests and counts for the evidence, by name.
    """

    package: Package | None
    problems: list[IntegrityProblem]
    figures: dict[str, float | int | str]


def source_folder(candidate: Candidate) -> Path:
    """`src/` of a bundle: the serving code and the package."""
    return Path(candidate.bundle) / "src"


def check_bundle(request: GateRequest) -> BundleCheck:
    """Recompute the digests of bundle and package, and compare their facts with the request."""
    candidate, folder = request.candidate, source_folder(request.candidate)
    figures: dict[str, float | int | str] = {}
    rebuild = f"build the bundle again: `modelyard run {request.pipeline} --force bundle`"
    try:
        manifests.verify(Path(candidate.bundle), "bento", BENTO_BESIDE)  # BentoML's own files too
        bundle = manifests.verify(folder, "bundle", BESIDE)
        package = Package.open(folder / "package")
        metrics = package.metrics()["overall"]
        metric = next(iter(tasks.find(package.facts.task).metrics))
    except (CorruptArtifactError, NotFoundError, ValidationError) as error:
        lines = error.lines() if isinstance(error, CorruptArtifactError | NotFoundError) else [str(error)]
        reason = "; ".join(line.strip() for line in lines)
        return BundleCheck(None, [IntegrityProblem(reason, rebuild)], figures)
    figures |= {"bundle": digest.short(bundle.digest), "package": digest.short(package.digest)}
    figures |= {"files": len(bundle.files), f"{metric}_sealed": metrics.get(metric, float("nan"))}
    problems = []
    if package.digest != candidate.package_digest:
        actual = f"{digest.short(package.digest)} instead of {digest.short(candidate.package_digest)}"
        problems.append(IntegrityProblem(f"the bundle holds another package than the version names: {actual}",
                                rebuild))  # fmt: skip
    if package.facts.pipeline != request.pipeline:
        problems.append(
            IntegrityProblem(
                f"another pipeline's package: it is of {package.facts.pipeline}, not of {request.pipeline}",
                f"set the alias on a version that `modelyard run {request.pipeline}` registered",
            )
        )
    expected_facts = {"package_digest": candidate.package_digest, "version": candidate.version}
    for name, expected in expected_facts.items():
        if bundle.facts.get(name) != expected:
            problems.append(
                IntegrityProblem(f"the bundle says {name} {bundle.facts.get(name)}, not {expected}", rebuild)
            )
    return BundleCheck(package, problems, figures)
