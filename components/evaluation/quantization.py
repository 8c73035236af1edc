"""`serving.quantize: int8`: derive a package with int8 graphs, and decide whether it replaces the float one.

    float package ──► recipe by recipe: int8 graphs, calibrated on train ──► figure on validation ──► the first that is
    as good ──► figures on test, sizes, times, golden answers ──► kept, or the reason why not

Weights for continuing, processor and classes are those of the float package; graphs, golden answers and figures are
int8's own. Everything that is sealed follows from the inputs alone. Milliseconds do not: they can refuse int8 graphs
that are clearly slower, and are reported beside the package (`times_ms`), not in it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import InferenceError, ModelyardError, NotFiniteError
from components.evaluation import int8, recorded_feeds, report, scorer
from components.evaluation.scorer import Scored
from components.evaluation.test_split import FrozenSplit
from components.identity import manifest
from components.identity.package import EXTERNAL_DATA, GoldenExample, Package, QuantizationFacts, QuantizationTrial
from components.inference import body, latency, postprocessing
from components.inference.difference import difference
from components.inference.predictor import Predictor

SMALLER = 0.9  # int8 graphs have at most this share of the bytes,
FASTER = 0.95  # or answer a golden example in at most this share of the time;
SLOWER = 1.25  # and never in more than this, a margin that other load of the machine does not reach
TIMING_SECONDS = 0.5  # for each package
BATCH_TOLERANCE = 1e-4  # of an answer alone against the same in a batch, as of the gate parity
MAX_PIXELS = 1_000_000_000  # golden examples are samples of the dataset, within its own limit


Decide = Callable[[Package], Package]


def _undecided(package: Package) -> Package:
    """Without a decision of the pipeline, a package answers as its task does."""
    return package


@dataclass(frozen=True)
class Quantized:
    """The outcome.

    Args:
        folder: the parts with int8 graphs; None: the float ones stay.
        scored: int8's on the test split.
        times_ms: median time of a golden example alone, float and int8; empty if no recipe was chosen.
    """

    facts: QuantizationFacts
    folder: Path | None
    scored: Scored | None
    times_ms: dict[str, float]


def quantized(
    package: Package, scored: Scored, frozen: FrozenSplit, max_loss: float, folder: Path, decide: Decide = _undecided
) -> Quantized:
    """Try the recipes of `int8` on a package.

    Args:
        package: with float graphs.
        scored: the package on the test split, with its decision.
        frozen: the test split.
        max_loss: as `ServingOptions.quantize_max_loss`.
        folder: an empty folder for what is made.
        decide: a package with the decision that its own graphs get: both kinds of graphs are compared as they answer.
    """
    package = decide(package)
    metric = next(iter(frozen.task.metrics))
    facts = QuantizationFacts(
        kept=False,
        reason="",
        metric=metric,
        float_figures=report.rounded(scored.figures()),
        float_bytes=_bytes(package),
        max_loss=max_loss,
    )
    higher = frozen.task.metrics[metric].higher_is_better
    data = {"task": frozen.task.name, "classes": frozen.classes, "overlap": frozen.overlap}
    data["arrays"] = [spec.model_dump(mode="json") for spec in frozen.specs]
    try:
        validation = FrozenSplit.open(frozen.folder, data, "validation")
        reference = _score(package, validation).figures()[metric]
        feeds = recorded_feeds.record(package, frozen, os.cpu_count() or 1)
    except ModelyardError as error:  # a task whose other splits cannot be scored as the test split is
        reason = f"train or validation samples cannot be predicted: {error.what} ({error.got or error.where})"
        return Quantized(facts.model_copy(update={"reason": reason}), None, None, {})
    trials: list[QuantizationTrial] = []
    chosen: Package | None = None
    for recipe in int8.RECIPES:
        derived, trial = _try(package, feeds, recipe, folder / recipe, validation, metric, decide)
        if trial.problem is None and trial.figure is not None:
            lost = loss(reference, trial.figure, higher)
            if lost > max_loss:
                trial = trial.model_copy(update={"problem": f"loses {lost:.4f} on validation, over {max_loss:g}"})
            else:
                chosen = derived
        trials.append(trial)
        if chosen is not None:
            break
    reason = "no recipe is good enough: " + "; ".join(f"{one.recipe}: {one.problem}" for one in trials)
    update = {"validation": round(reference, report.DIGITS), "trials": trials, "reason": reason}
    facts = facts.model_copy(update=update)
    if chosen is None:
        return Quantized(facts, None, None, {})
    return _judged(package, scored, chosen, frozen, facts, higher)


def loss(reference: float, figure: float, higher_is_better: bool) -> float:
    """How much worse a figure is: absolute where higher is better, else relative; below 0 it is better."""
    if not math.isfinite(figure):
        return math.inf
    if higher_is_better:
        return reference - figure
    return (figure - reference) / abs(reference) if reference else (0.0 if figure == reference else math.inf)


def _judged(
    package: Package, scored: Scored, derived: Package, frozen: FrozenSplit, facts: QuantizationFacts, higher: bool
) -> Quantized:
    """Compare the chosen int8 graphs with the float ones on the test split, by size and by time."""
    try:
        own = _score(derived, frozen)
        agree, distance = _write_golden(package, derived)
    except InferenceError as error:
        reason = f"the int8 graphs fail on the test split: {error.what}"
        return Quantized(facts.model_copy(update={"reason": reason}), None, None, {})
    times = dict(zip(("float", "int8"), latency.medians([package, derived], seconds=TIMING_SECONDS), strict=True))
    figure, reference = own.figures()[facts.metric], scored.figures()[facts.metric]
    lost, size = loss(reference, figure, higher), _bytes(derived)
    share, ratio = size / facts.float_bytes, times["int8"] / times["float"]
    name = facts.metric.replace("_", " ")
    cost = f"{name} {figure:.4f} against {reference:.4f}, graphs of {_size(size)} against {_size(facts.float_bytes)}"
    if lost > facts.max_loss:
        problem = f"it loses {lost:.4f} on the test split, over {facts.max_loss:g}"
    elif ratio > SLOWER:
        problem = f"it answers more slowly: more than {SLOWER} times as long"
    elif share > SMALLER and ratio > FASTER:
        problem = "it is neither smaller nor faster"
    else:
        problem = None
    found = facts.model_copy(
        update={
            "kept": problem is None,
            "reason": cost if problem is None else f"{problem} ({cost})",
            "int8_figures": report.rounded(own.figures()),
            "int8_bytes": size,
            "loss": round(lost, report.DIGITS),
            "golden_agree": agree,
            "golden_difference": distance,
        }
    )
    kept = problem is None
    return Quantized(found, derived.folder if kept else None, own if kept else None, times)


def _try(
    package: Package,
    feeds: dict[str, list[int8.Feed]],
    recipe: str,
    folder: Path,
    validation: FrozenSplit,
    metric: str,
    decide: Decide,
) -> tuple[Package | None, QuantizationTrial]:
    """Make the int8 graphs of one recipe and score them on the validation split."""
    shutil.copytree(
        package.folder, folder, ignore=shutil.ignore_patterns("*.onnx", f"*.onnx{EXTERNAL_DATA}", "*.safetensors")
    )
    derived = Package(folder, package.manifest)
    try:
        for graph in package.signature().graphs:
            if not feeds[graph]:
                raise InferenceError("the graph is not used for samples of train", where=graph)
            int8.write(package.graph(graph), derived.graph(graph), feeds[graph], recipe)
        derived = decide(derived)
        figure = _score(derived, validation).figures()[metric]
        apart = _batch_difference(derived)
    except InferenceError as error:
        text = f"{error.what} ({error.got or error.where})"
        return None, QuantizationTrial(recipe=recipe, figure=None, problem=text)
    problem = None if apart <= BATCH_TOLERANCE else f"answers depend on the rest of a batch, by {apart:.1e}"
    return derived, QuantizationTrial(recipe=recipe, figure=round(figure, report.DIGITS), problem=problem)


def _score(package: Package, frozen: FrozenSplit) -> Scored:
    """As the stage scores, without a progress line.

    Raises:
        InferenceError: a graph fails, or gives NaN.
    """
    predictor = Predictor(package, threads=os.cpu_count() or 1)
    scored = scorer.load_scorer(frozen.task).score(predictor, frozen, lambda _: None)
    if scored.not_finite:
        raise NotFiniteError("the answers are not finite", got=f"{scored.not_finite} of {scored.samples}")
    return scored


def _batch_difference(derived: Package) -> float:
    """The largest difference between answers to golden examples alone and in one batch; 0 for a task that the service
    answers one by one, since its requests have parameters."""
    predictor = Predictor(derived, max_pixels=MAX_PIXELS)
    if predictor.endpoint.parameters is not None:
        return 0.0
    samples = [sample for example in derived.golden() for sample in predictor.read(_body(predictor, example).items)]
    together = predictor.answer(samples)
    return max(
        (difference(predictor.answer([sample])[0], answer) for sample, answer in zip(samples, together, strict=True)),
        default=0.0,
    )


def _body(predictor: Predictor, example: GoldenExample) -> body.Body:
    content = (predictor.package.folder / "golden" / example.file).read_bytes()
    return body.read(predictor.processor, predictor.endpoint, content, example.media)


def _write_golden(package: Package, derived: Package) -> tuple[str, float | None]:
    """Write the int8 graphs' own golden answers; how many agree with the float ones, and the largest difference.

    What is written is without a decision, as the training process writes it; what is compared is with both decisions.
    """
    plain = derived.facts.model_copy(update={"decision": None})
    predictor = Predictor(
        Package(derived.folder, derived.manifest.model_copy(update={"facts": plain.model_dump(mode="json")})),
        max_pixels=MAX_PIXELS,
    )
    examples, agree, distances = list[GoldenExample](), 0, list[float]()
    for example in package.golden():
        parsed = _body(predictor, example)
        (answer,) = predictor.predict(parsed.items, parsed.parameters)
        ours, theirs = (
            postprocessing.answer(facts, one)
            for facts, one in ((package.facts, example.answer), (derived.facts, answer))
        )
        agree += predictor.task.agree(ours, theirs)
        distances.append(difference(example.answer, answer))
        examples.append(example.model_copy(update={"answer": answer}))
    path = derived.folder / "golden" / "outputs.json"
    document = {**json.loads(path.read_bytes()), "examples": [one.model_dump(mode="json") for one in examples]}
    manifest.write_json(path, document)
    finite = [distance for distance in distances if math.isfinite(distance)]
    return f"{agree} of {len(examples)}", round(max(finite), report.DIGITS) if finite else None


def _bytes(package: Package) -> int:
    return sum(path.stat().st_size for name in package.signature().graphs for path in package.graph_files(name))


def _size(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def describe(outcome: Quantized) -> str:
    """The outcome in a sentence."""
    facts, times = outcome.facts, outcome.times_ms
    speed = f"; {times['int8']:.2f} ms a golden example against {times['float']:.2f} ms" if times else ""
    return f"int8: {'kept' if facts.kept else 'not kept, the graphs stay float'}: {facts.reason}{speed}"


def log(outcome: Quantized) -> None:
    """Say the outcome on stderr."""
    print(describe(outcome), file=sys.stderr)
