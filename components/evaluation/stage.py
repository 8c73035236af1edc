"""`python -m components.evaluation REQUEST.json`: the trained parts, evaluated, become the sealed model package."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from components.contracts import atomic, manifest
from components.contracts.errors import CorruptArtifactError, UsageError
from components.contracts.package import PackageFacts
from components.contracts.stage_process import die_with_parent
from components.contracts.training_request import TrainRequest
from components.evaluation.answers import answers
from components.evaluation.card import card
from components.evaluation.report import Evaluation, bins_of, evaluate

TRAINED_ONLY = ("manifest.json", "history.json")


def main(arguments: list[str]) -> None:
    """Evaluate what a request's training left and seal the package.

    Raises:
        UsageError: not one readable request file.
        NotFoundError, CorruptArtifactError: the trained parts or the data are missing, damaged or of another request.
    """
    die_with_parent()
    request = TrainRequest.read(arguments)
    trained, prepared = Path(request.run_folder) / "trained", Path(request.prepared)
    parts, data = _open(trained, "trained", request), _open(prepared, "prepared", request)
    probabilities, truth = answers(trained, prepared / "test")
    if len(truth) == 0:
        raise UsageError("the test split is empty", where=str(prepared / "test"), next_step="raise split.test")
    evaluation = evaluate("test", probabilities, truth, data.facts["classes"])
    sealed = seal(request, evaluation, data.facts, parts.facts)
    _draw(evaluation, data.facts["classes"], trained, Path(request.run_folder) / "plots")
    figures = ", ".join(f"{name} {value:.4f}" for name, value in evaluation.overall.items())
    print(f"evaluated on {evaluation.samples:,} test samples: {figures}", file=sys.stderr)
    print(f"package {sealed.digest[:12]} in {request.package}", file=sys.stderr)


def seal(
    request: TrainRequest, evaluation: Evaluation, data: dict[str, Any], trained: dict[str, Any]
) -> manifest.Manifest:
    """Put the trained parts, the figures and the card into the package's folder, at once."""
    facts = PackageFacts(
        pipeline=request.pipeline,
        task=data["task"],
        train_key=request.train_key,
        data_digest=request.data_digest,
        lineage=request.lineage,
    )
    source = Path(request.run_folder) / "trained"
    with atomic.folder(Path(request.package)) as fresh:
        shutil.copytree(source, fresh, ignore=shutil.ignore_patterns(*TRAINED_ONLY), dirs_exist_ok=True)
        text = json.dumps(evaluation.document(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (fresh / "metrics.json").write_text(text + "\n", encoding="utf-8")
        (fresh / "README.md").write_text(card(request, evaluation, data, trained), encoding="utf-8")
        return manifest.seal(fresh, "package", facts.model_dump(mode="json"))


def _open(folder: Path, kind: manifest.Kind, request: TrainRequest) -> manifest.Manifest:
    """Verify an input; it must be the one that the request names."""
    sealed = manifest.verify(folder, kind)
    found = sealed.facts.get("train_key") if kind == "trained" else sealed.digest
    expected = request.train_key if kind == "trained" else request.data_digest
    if found != expected:
        raise CorruptArtifactError(
            f"the {kind} artifact is not the one that was asked for",
            where=str(folder),
            got=found,
            expected=expected,
            next_step="run the pipeline again",
        )
    return sealed


def _draw(evaluation: Evaluation, classes: list[str], trained: Path, folder: Path) -> None:
    # Drawing comes last and its library late: the figures stand even where no picture can be drawn.
    from components.evaluation.plots import draw_confusion, draw_reliability, draw_training

    history = json.loads((trained / "history.json").read_bytes())
    draw_confusion(np.array(evaluation.confusion), classes, folder / "confusion.png")
    draw_reliability(bins_of(evaluation), folder / "reliability.png")
    draw_training(history["epochs"], history["kept_epoch"], folder / "training.png")
