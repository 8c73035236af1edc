"""What is chosen on the validation split after the training: the decision, and the conformal quantile of a package."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from components.contracts.evaluation_request import EvaluationRequest
from components.evaluation import conformal, decision
from components.evaluation.test_split import FrozenSplit
from components.evaluation.validation_outputs import ValidationOutputs, collect
from components.identity import manifest
from components.identity.package import Package, PackageFacts
from components.inference import postprocessing
from components.inference.predictor import Predictor


def chosen(request: EvaluationRequest, package: Package, facts: PackageFacts, frozen: FrozenSplit) -> PackageFacts:
    """The facts of a package with the decision and the conformal quantile that the request asks for.

    Args:
        package: with the graphs that will serve.

    Raises:
        UsageError: the request does not fit the classes, or the validation split is too small.
        NotFiniteError, InferenceError: the graph fails on the validation split.
    """
    if request.decision is None and request.conformal is None:
        return facts
    predictor = Predictor(package, threads=os.cpu_count() or 1)
    outputs = collect(predictor, frozen.other("validation"))
    facts = _decided(request, predictor, outputs, facts)
    own = facts.decision
    if own is not None and own.figure is not None:
        name = str(own.optimise).replace("_", " ")
        _log(f"decision: {name} {own.figure:.4f} on validation; {own.default_figure:.4f} at 0.5")
    if request.conformal is not None:
        fitted = conformal.measured(conformal.fit(request.conformal, outputs), collect(predictor, frozen.split))
        facts = facts.model_copy(update={"conformal": fitted})
        _log(f"conformal: {fitted.test_coverage:.4f} of the test split covered, {fitted.coverage:g} stated")
    return facts


def decided(request: EvaluationRequest, package: Package, facts: PackageFacts, frozen: FrozenSplit) -> PackageFacts:
    """The facts of a package with the decision that the request asks for, chosen by the package's own graphs.

    Raises:
        UsageError, NotFiniteError, InferenceError: as of `chosen`.
    """
    if request.decision is None:
        return facts
    predictor = Predictor(package, threads=os.cpu_count() or 1)
    return _decided(request, predictor, collect(predictor, frozen.other("validation")), facts)


def _decided(
    request: EvaluationRequest, predictor: Predictor, outputs: ValidationOutputs, facts: PackageFacts
) -> PackageFacts:
    if request.decision is None:
        return facts
    own = decision.choose(request.decision, outputs, predictor.signature.classes, outputs.kind)
    return facts.model_copy(update={"decision": own})


def with_facts(package: Package, facts: PackageFacts) -> Package:
    """The package with other facts."""
    return Package(package.folder, package.manifest.model_copy(update={"facts": facts.model_dump(mode="json")}))


def document(facts: PackageFacts) -> dict[str, Any]:
    """Tables of metrics.json."""
    tables: dict[str, Any] = {}
    if facts.decision is not None:
        tables["decision"] = facts.decision.model_dump(mode="json")
    if facts.conformal is not None:
        tables["conformal"] = facts.conformal.model_dump(mode="json", exclude={"quantiles"})
    return tables


def card_lines(facts: PackageFacts) -> list[str]:
    """Sections of the model card."""
    lines = []
    if facts.decision is not None and facts.decision.thresholds:
        own = facts.decision
        names = ", ".join(f"{name} from {value:.4f}" for name, value in own.thresholds.items())
        how = "stated in the pipeline"
        if own.figure is not None:
            figures = f"{own.figure:.4f} there, {own.default_figure:.4f} at 0.5"
            how = f"chosen on the validation split by {str(own.optimise).replace('_', ' ')}: {figures}"
        lines += ["## Decision", f"- answered: {names}; {how}", ""]
    if facts.conformal is not None:
        fitted = facts.conformal
        kind = "classes in a set" if fitted.method in ("lac", "aps") else "width of an interval"
        lines += [
            "## Conformal prediction",
            f"- method {fitted.method}, on {fitted.samples:,} validation samples",
            f"- coverage: {fitted.coverage:g} stated, {fitted.test_coverage:.4f} on the test split",
            f"- mean {kind} on the test split: {fitted.test_size:.4g}",
            "- The coverage is an average over samples like those of the validation split, which also chose the epoch; "
            "samples that change with time, such as windows of a series, are alike only in part.",
            "",
        ]
    return lines


def rewrite_golden(folder: Path, facts: PackageFacts) -> None:
    """Apply decision and conformal prediction to the golden answers of the training process."""
    if facts.decision is None and facts.conformal is None:
        return
    path = folder / "golden" / "outputs.json"
    outputs = json.loads(path.read_bytes())
    for example in outputs["examples"]:
        example["answer"] = postprocessing.answer(facts, example["answer"])
    manifest.write_json(path, outputs)


def _log(text: str) -> None:
    print(text, file=sys.stderr)
