"""The fingerprint of a gate request, computed before the gates run; imports no heavy library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components import tasks
from components.contracts.gate_request import Candidate, GateRequest
from components.core.errors import NotFoundError
from components.core.project import Project
from components.identity import digest, user_source
from components.identity import manifest as manifests
from components.identity.manifest import Kind

ENTRY = "components.gates.stage"


def key(request: GateRequest, root: Path | None = None) -> str:
    """The digest of candidate, champion, requested gates, data and the gates' code, without the output folder.

    Args:
        root: root of the project; the request's paths are relative to it; default: the working directory.

    Raises:
        CorruptArtifactError: a manifest of the data cannot be read.
    """
    dataset = (root or Path()) / request.dataset
    return digest.of_value(
        {
            "pipeline": request.pipeline,
            "role": request.role,
            "candidate": _identity(request.candidate),
            "champion": _identity(request.champion),
            "best_served": None if request.best_served is None else request.best_served.model_dump(mode="json"),
            "asked": sorted(request.asked),
            "gates": request.gates.model_dump(mode="json"),
            "budget": None if request.budget is None else request.budget.model_dump(mode="json"),
            "chosen": None if request.chosen is None else request.chosen.model_dump(mode="json"),
            "data": {kind: _manifest_digest(dataset / kind, kind) for kind in ("prepared", "validated")},
            "code": user_source.identity(_modules(dataset), Project(Path()).source_root).digest,
        }
    )


def _modules(dataset: Path) -> list[str]:
    """Entry modules of the code: the gates, and the modules of the task, which the gates import by name."""
    try:
        name = str(manifests.load(dataset / "prepared", "prepared").facts["task"])
        return [ENTRY, tasks.module(name), tasks.find(name).scorer.partition(":")[0]]
    except (NotFoundError, KeyError):
        return [ENTRY]


def _identity(candidate: Candidate | None) -> dict[str, Any] | None:
    return None if candidate is None else candidate.model_dump(mode="json", exclude={"bundle"})


def _manifest_digest(folder: Path, kind: Kind) -> str | None:
    try:
        return manifests.load(folder, kind).digest
    except NotFoundError:
        return None
