"""`python -m components.evaluation REQUEST.json`: evaluate the trained parts and seal the model package."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.contracts.evaluation_request import EvaluationRequest
from components.contracts.training_request import TrainRequest
from components.core import atomic
from components.core.errors import CorruptArtifactError, NotFiniteError
from components.core.progress import Progress
from components.core.stage_process import die_with_parent
from components.evaluation import baselines, choices, quantization, report, scorer
from components.evaluation.card import card
from components.evaluation.quantization import Quantized
from components.evaluation.scorer import Scored
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest
from components.identity.package import EXTERNAL_DATA, Package, PackageFacts
from components.inference.predictor import Predictor

TRAINED_ONLY = ("manifest.json", "history.json")


def main(arguments: list[str]) -> None:
    """Evaluate the trained parts of a request and seal the package.

    Raises:
        UsageError: not called with one readable request file.
        NotFoundError, CorruptArtifactError: the trained parts or the data are missing, damaged or of another request.
        NotFiniteError: the exported graph gives NaN or infinity.
    """
    die_with_parent()
    request = EvaluationRequest.read(arguments)
    trained, prepared = Path(request.run_folder) / "trained", Path(request.prepared)
    parts, data = _verify_input(trained, "trained", request), _verify_input(prepared, "prepared", request)
    frozen = FrozenSplit.open(prepared, data.facts)
    facts = PackageFacts(
        pipeline=request.pipeline,
        task=data.facts["task"],
        train_fingerprint=request.train_fingerprint,
        data_digest=request.data_digest,
        lineage={**request.lineage, **parts.facts.get("lineage", {})},
        parameters=parts.facts.get("parameters"),
        calibration=parts.facts.get("calibration"),
    )
    package = Package(trained, parts.model_copy(update={"facts": facts.model_dump(mode="json")}))

    def decide(candidate: Package) -> Package:
        """A candidate for serving with the decision that its own graphs get."""
        return choices.with_facts(candidate, choices.decided(request, candidate, facts, frozen))

    scored = score(decide(package), frozen)
    outcome: Quantized | None = None
    with _scratch(Path(request.run_folder) / "int8") as folder:
        if request.quantize == "int8":
            outcome = quantization.quantized(package, scored, frozen, request.quantize_max_loss, folder, decide)
            quantization.log(outcome)
            facts = facts.model_copy(update={"quantization": outcome.facts})
            scored = outcome.scored or scored
        final = package if outcome is None or outcome.folder is None else Package(outcome.folder, package.manifest)
        facts = choices.chosen(request, final, facts, frozen)
        known = baselines.of(frozen)
        comparison = baselines.compare(scored.figures(), known, frozen)
        document = {**report.document("test", scored), **report.rounded(baselines.document(known, comparison))}
        document |= report.rounded(choices.document(facts))
        text = card(request, scored, frozen, data.facts, parts.facts, known, facts)
        int8_parts = None if outcome is None else outcome.folder
        sealed = _seal(request, document, text, facts, int8_parts)
    plots = Path(request.run_folder) / "plots"
    _draw(scored, trained, plots)
    (plots / "quantization.json").unlink(missing_ok=True)  # of another package of this training
    if outcome is not None:
        figures_of_both = {**outcome.facts.model_dump(mode="json"), "times_ms": outcome.times_ms}
        manifest.write_json(plots / "quantization.json", figures_of_both)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in document["overall"].items())
    print(f"evaluated on {scored.samples:,} test samples: {figures}", file=sys.stderr)
    if comparison is not None:
        print(comparison.sentence(), file=sys.stderr)
    print(f"package {sealed.digest[:12]} in {request.package}", file=sys.stderr)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for what is tried; also what a killed evaluation left there is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def score(package: Package, frozen: FrozenSplit) -> Scored:
    """Score the package's graphs on a frozen split with `Predictor`, the class that predicts in the bundle.

    Raises:
        NotFiniteError: predictions are NaN or infinite.
    """
    predictor = Predictor(package, threads=os.cpu_count() or 1)
    task_scorer = scorer.load_scorer(frozen.task)
    with Progress("evaluating", scorer.expected_samples(task_scorer, frozen)) as progress:
        scored = task_scorer.score(predictor, frozen, progress.advance)
    if scored.not_finite:
        raise NotFiniteError(
            "the exported model gives NaN or infinity",
            where=f"{frozen.name} split",
            got=f"{scored.not_finite:,} of {scored.samples:,} samples",
            next_step="lower train.learning_rate, or set train.clip_norm, and train again",
        )
    return scored


def _seal(
    request: TrainRequest, metrics: dict[str, Any], text: str, facts: PackageFacts, int8_parts: Path | None
) -> manifest.Manifest:
    """Write trained parts, with int8 graphs if there are any, figures and model card to the package; atomic."""
    source = Path(request.run_folder) / "trained"
    with atomic.folder(Path(request.package)) as fresh:
        others = () if int8_parts is None else ("*.onnx", f"*.onnx{EXTERNAL_DATA}")  # the float graphs
        shutil.copytree(source, fresh, ignore=shutil.ignore_patterns(*TRAINED_ONLY, *others), dirs_exist_ok=True)
        if int8_parts is not None:
            ignored = shutil.ignore_patterns(*TRAINED_ONLY)
            shutil.copytree(int8_parts, fresh, ignore=ignored, dirs_exist_ok=True)
        manifest.write_json(fresh / "metrics.json", metrics)
        (fresh / "README.md").write_text(text, encoding="utf-8")
        choices.rewrite_golden(fresh, facts)
        return manifest.seal(fresh, "package", facts.model_dump(mode="json"))


def _verify_input(folder: Path, kind: manifest.Kind, request: TrainRequest) -> manifest.Manifest:
    """Verify the manifest of an input and that the input is the one of the request."""
    sealed = manifest.verify(folder, kind)
    actual = sealed.facts.get("train_fingerprint") if kind == "trained" else sealed.digest
    expected = request.train_fingerprint if kind == "trained" else request.data_digest
    if actual != expected:
        raise CorruptArtifactError(
            f"the {kind} artifact is not that of the request",
            where=str(folder),
            got=actual,
            expected=expected,
            next_step="run the pipeline again",
        )
    return sealed


def _draw(scored: Scored, trained: Path, folder: Path) -> None:
    # Plots are last, and their library is imported here: the package is sealed even if plotting fails.
    from components.evaluation.plots import draw_training

    history = json.loads((trained / "history.json").read_bytes())
    curves = (history["epochs"], history["kept_epoch"], folder / "training.png")
    # On another core: a figure takes a third of a second, and a registration waits for all of them.
    child = multiprocessing.get_context("fork").Process(target=_draw_in_child, args=curves, daemon=True)
    gc.disable()
    try:
        child.start()
    finally:
        gc.enable()
    scored.draw(folder)
    child.join()
    if child.exitcode:
        draw_training(*curves)  # raises here what it raised there


def _draw_in_child(*curves: Any) -> None:
    """Draw in a forked process, which collects nothing that it inherited.

    A session of onnxruntime among it would wait for the end of threads that the fork did not take along, for ever.
    """
    from components.evaluation.plots import draw_training

    gc.freeze()
    gc.enable()
    draw_training(*curves)
