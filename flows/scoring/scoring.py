"""Runs the stage `scoring` for a model and inputs."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import ValidationError

from components.contracts.dataset import NAME
from components.contracts.score_request import ScoreOutcome, ScoreRequest
from components.contracts.score_spec import ScoreOptions
from components.contracts.stage_request import StageRequest
from components.core.errors import ModelyardError
from components.core.log import Log
from components.core.project import Project
from components.identity import digest
from flows.runners import stage_runner
from flows.runners.local_runner import LocalProcessRunner
from flows.scoring import chosen_bundle, placement

GRACE_SECONDS = 15.0


def run(
    project: Project,
    model: str,
    inputs: list[str],
    out: Path,
    options: ScoreOptions,
    *,
    processes: int | None,
    force: bool,
    log: Log,
    unless_as: Path | None = None,
) -> ScoreOutcome:
    """Score inputs and seal the output.

    Args:
        processes: of this machine; None: as `run:` says, else one a processor.
        inputs: files and folders; or the name of a dataset of the project, where there is no such file.
        unless_as: a whole output; where model and input are as there, nothing is scored.

    Raises:
        ModelyardError: as of `chosen_bundle.find` and the stage.
    """
    chosen = chosen_bundle.find(project, model, log)
    is_dataset = len(inputs) == 1 and _is_dataset(project, inputs[0])
    dataset = project.dataset(chosen.spec.dataset)
    request = ScoreRequest(
        model=chosen.spec.name,
        version=chosen.version,
        bundle=str(chosen.bundle.source.absolute()),
        bundle_digest=chosen.digest,
        tolerance=chosen.tolerance,
        inputs=[str(project.dataset(inputs[0]))] if is_dataset else [str(Path(text).absolute()) for text in inputs],
        names=[Path(text).as_posix() for text in inputs],
        is_dataset=is_dataset,
        dataset=str(dataset) if (dataset / "dataset.yaml").is_file() else None,
        out=str(out.absolute()),
        options=options,
        cluster=placement.cluster(project, chosen.spec, processes),
        processes=processes or max(1, len(os.sched_getaffinity(0)) // chosen.spec.serving.threads),
        force=force,
        lock_file=str(project.lock_file) if project.lock_file.is_file() else None,
        unless_as=None if unless_as is None else str(unless_as.absolute()),
    )
    lines: list[str] = []
    document = request.model_dump_json()
    name = f"scoring-{digest.short(digest.of_value(document))}-{os.getpid()}.json"
    request_file = project.state / "requests" / name
    stage = StageRequest(
        stage="scoring", document=document, request_file=str(request_file.relative_to(project.root))
    )  # fmt: skip
    try:
        stage_runner.run(LocalProcessRunner(project.root), stage, lines.append, log, GRACE_SECONDS)
    finally:
        request_file.unlink(missing_ok=True)
    try:
        outcome = ScoreOutcome.model_validate_json(lines[-1] if lines else "")
    except ValidationError as error:
        raise ModelyardError("scoring ended without a result", got="\n".join(lines)[-500:]) from error
    return outcome.model_copy(update={"out": str(out)})


def _is_dataset(project: Project, text: str) -> bool:
    named = re.fullmatch(NAME, text) is not None and (project.dataset(text) / "dataset.yaml").is_file()
    return named and not Path(text).exists()
