"""The model card: README.md of a package. The same facts give the same text; no times, no paths."""

from __future__ import annotations

from typing import Any

from components.contracts.training_request import TrainRequest
from components.evaluation.report import Evaluation


def card(request: TrainRequest, evaluation: Evaluation, data: dict[str, Any], trained: dict[str, Any]) -> str:
    """Markdown in the order of Mitchell et al. 2019, arXiv:1810.03993.

    Args:
        data: facts of the prepared dataset's manifest.
        trained: facts of the trained parts' manifest.
    """
    counts, processor = data["counts"], data["processor"]
    model = ", ".join(f"{key} {value}" for key, value in request.model.model_dump(mode="json").items())
    overall = evaluation.overall
    weakest = evaluation.slices[0]
    shape = f"{processor['height']}x{processor['width']}x{processor['channels']}"
    lines = [
        f"# {request.pipeline}",
        "",
        f"{data['task']} into {len(data['classes'])} classes: {', '.join(data['classes'])}.",
        "",
        "## Model",
        f"- architecture: {model}",
        f"- input: images, decoded to {shape} uint8 (height, width, channels); standardised inside the graph",
        f"- output: probabilities of the {len(data['classes'])} classes",
        f"- train key: `{request.train_key}`",
        "",
        "## Data",
        f"- dataset: {data['dataset']}, digest `{request.data_digest}`",
        f"- samples: {', '.join(f'{name} {number:,}' for name, number in counts.items())}",
        "",
        "## Training",
        f"- {trained['epochs']} epochs, weights of epoch {trained['kept_epoch']} ({_kept(request)})",
        *(f"- {name}: {_plain(value)}" for name, value in request.train.model_dump(mode="json").items()),
        "",
        f"## Results on the frozen test split ({evaluation.samples:,} samples)",
        "| metric | value |",
        "|---|---|",
        f"| accuracy | {overall['accuracy']:.4f} |",
        f"| macro F1 | {overall['macro_f1']:.4f} |",
        f"| expected calibration error (15 bins) | {overall['ece']:.4f} |",
        f"| negative log likelihood (nats) | {overall['nll']:.4f} |",
        "",
        "| class | precision | recall | F1 | samples |",
        "|---|---|---|---|---|",
        *(
            f"| {row['class']} | {row['precision']:.4f} | {row['recall']:.4f} | {row['f1']:.4f} | {row['support']:,} |"
            for row in evaluation.per_class
        ),
        "",
        "## Limits",
        f"- Measured on images like those of {data['dataset']} only; others get an answer too, and it means nothing.",
        f"- Weakest class: {weakest['name']}, {weakest['accuracy']:.1%} right{_instead(weakest['taken_for'])}.",
        f"- With {evaluation.samples:,} test samples the accuracy is known to about ±{evaluation.margin:.2%} (95 %).",
        "- Images are resized to the input's shape; detail below that resolution is lost.",
        "",
        "## Lineage",
        *([f"- {name}: `{value}`" for name, value in sorted(request.lineage.items())] or ["- none given"]),
        "",
    ]
    return "\n".join(lines)


def _kept(request: TrainRequest) -> str:
    return "the best on the validation split" if request.train.keep == "best" else "the last"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items() if inner) or "none"
    return "none" if value is None else str(value)


def _instead(name: str | None) -> str:
    return f", most often taken for {name}" if name else ""
