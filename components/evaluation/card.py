"""The model card: README.md of a package. Equal facts give equal text, without times and paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.contracts.shapes import InputSpec, OutputSpec
from components.contracts.train_spec import TrainSpec
from components.contracts.training_request import TrainRequest
from components.evaluation import baselines, choices
from components.evaluation.baselines import Baseline
from components.evaluation.scorer import Scored
from components.evaluation.test_split import FrozenSplit
from components.identity.package import PackageFacts, QuantizationFacts


def card(
    request: TrainRequest,
    scored: Scored,
    frozen: FrozenSplit,
    data: dict[str, Any],
    trained: dict[str, Any],
    known: Sequence[Baseline] = (),
    facts: PackageFacts | None = None,
) -> str:
    """Markdown in the order of Mitchell et al. 2019, arXiv:1810.03993.

    Args:
        data: facts of the prepared dataset's manifest.
        trained: facts of the trained parts' manifest.
        known: baselines on the same split.
        facts: of the package: what quantization, decision and conformal prediction came to.
    """
    model = ", ".join(f"{key} {_as_text(value)}" for key, value in request.model.model_dump(mode="json").items())
    classes = f" into {len(frozen.classes)} classes: {', '.join(frozen.classes)}" if frozen.classes else ""
    task_lines, lineage = scored.card_lines(), {**request.lineage, **trained.get("lineage", {})}
    lines = [
        f"# {request.pipeline}",
        "",
        f"{data['task']}{classes}.",
        "",
        "## Model",
        f"- architecture: {model}",
        f"- input: {_kind_and_sizes(frozen.processor.input_spec())}",
        f"- output: {_kind_and_sizes(frozen.processor.output_spec())}",
        f"- train fingerprint: `{request.train_fingerprint}`",
        "",
        "## Data",
        f"- dataset: {data['dataset']}, digest `{request.data_digest}`",
        f"- samples: {', '.join(f'{name} {number:,}' for name, number in data['counts'].items())}",
        *_part(trained.get("samples"), data["counts"]["train"]),
        "",
        "## Training",
        f"- {trained['epochs']} epochs, weights of epoch {trained['kept_epoch']} ({_checkpoint_rule(request)})",
        *training_settings(request.train),
        "",
        *_transfer(trained.get("pretrained") or {}),
        f"## Results on the frozen test split ({scored.samples:,} samples)",
        "| metric | value | what it is |",
        "|---|---|---|",
        *(_metric_row(name, value, frozen) for name, value in scored.figures().items()),
        "",
        *_baselines(scored.figures(), known, frozen),
        *task_lines.results,
        "",
        *_quantization(None if facts is None else facts.quantization),
        *([] if facts is None else choices.card_lines(facts)),
        "## Limits",
        f"- Measured on samples like those of {data['dataset']} only; predictions for other samples are meaningless.",
        *task_lines.limits,
        "",
        "## Lineage",
        *([f"- {name}: `{value}`" for name, value in sorted(lineage.items())] or ["- none given"]),
        "",
    ]
    return "\n".join(lines)


def _part(samples: int | None, available: int) -> list[str]:
    """How much of the train split was learnt, if not all of it."""
    return [] if samples is None else [f"- learnt: {samples:,} of the {available:,} samples of train"]


def _metric_row(name: str, value: float, frozen: FrozenSplit) -> str:
    metric = frozen.task.metrics.get(name)
    better = (
        "" if metric is None else f"{metric.description}; {'higher' if metric.higher_is_better else 'lower'} is better"
    )
    return f"| {name.replace('_', ' ')} | {value:.4f} | {better} |"


def _baselines(figures: dict[str, float], known: Sequence[Baseline], frozen: FrozenSplit) -> list[str]:
    """A row for each baseline, and whether the model is better."""
    comparison = baselines.compare(figures, list(known), frozen)
    if comparison is None:
        return []
    better = f"The model is better than these by {comparison.metric.replace('_', ' ')}."
    return [
        "| without a network | " + " | ".join(name.replace("_", " ") for name in known[0].figures) + " |",
        "|---|" + "---|" * len(known[0].figures),
        *("| ".join(["", f"{one.name} ", *(f"{value:.4f} " for value in one.figures.values())]) + "|" for one in known),
        "",
        better if comparison.is_better else f"**The model is {comparison.sentence()}.**",
        "",
    ]


def _transfer(pretrained: dict[str, Any]) -> list[str]:
    """The facts of the pretrained weights, if there are any."""
    if not pretrained:
        return []
    return [
        "## Transfer",
        *(f"- {name.replace('_', ' ')}: {_as_text(value)}" for name, value in pretrained.items()),
        "",
    ]


def _quantization(facts: QuantizationFacts | None) -> list[str]:
    """What int8 cost and won, if it was asked for."""
    if facts is None:
        return []
    lines = [
        "## Quantization",
        f"- {'int8 graphs' if facts.kept else 'float graphs; int8 was not kept'}: {facts.reason}",
    ]
    if facts.int8_figures is not None:
        lines += ["", "| metric | float | int8 |", "|---|---|---|"]
        for name, value in facts.float_figures.items():
            lines.append(f"| {name.replace('_', ' ')} | {value:.4f} | {facts.int8_figures[name]:.4f} |")
        lines += ["", f"- golden examples with the same answer: {facts.golden_agree}"]
    return [*lines, ""]


def _kind_and_sizes(spec: InputSpec | OutputSpec) -> str:
    """Kind and sizes of a spec, without its statistics."""
    fields = spec.model_dump(mode="json").items()
    sizes = [f"{name} {value}" for name, value in fields if isinstance(value, int) and name != "pad"]
    return ", ".join([spec.kind, *sizes])


def _checkpoint_rule(request: TrainRequest) -> str:
    return "the best on the validation split" if request.train.keep == "best" else "the last"


def training_settings(train: TrainSpec) -> list[str]:
    """The lines of the training's settings. Of a mapping that the pipeline states, every value counts, 0 too."""
    lines = []
    for name, value in train.model_dump(mode="json").items():
        stated = getattr(train, name)
        by_key = ", ".join(f"{key}: {inner}" for key, inner in stated.items()) if isinstance(stated, dict) else None
        lines.append(f"- {name}: {by_key or _as_text(value)}")
    return lines


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_as_text(inner)}" for name, inner in value.items() if inner) or "none"
    if isinstance(value, list):
        return ", ".join(_as_text(inner) for inner in value) or "none"
    return "none" if value is None else str(value)
