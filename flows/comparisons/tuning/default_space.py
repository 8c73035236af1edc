"""A search space for a pipeline without a section `tune:`: the usual keys, around the values that the file has."""

from __future__ import annotations

from typing import Any

from components import tasks
from components.contracts.pipeline import PipelineSpec
from components.contracts.tune_spec import TuneSpec
from components.core.errors import SpecError
from components.core.log import Log
from components.core.project import Project
from flows.comparisons.tuning import variants

WIDTHS = ("width", "filters", "embedding", "features")


def of(project: Project, spec: PipelineSpec, log: Log) -> TuneSpec:
    """The space; each key is logged, in the form in which it can be copied into the file."""
    space = {key: values for key, values in _offered(spec).items() if _is_possible(project, spec, key, values)}
    log(f"{spec.name} has no section tune:, so these keys are searched:")
    log("tune:")
    log("  space:")
    for key, values in space.items():
        text = ", ".join(f"{name}: {str(value).lower() if value is True else value}" for name, value in values.items())
        log(f"    {key}: {{{text}}}")
    return TuneSpec.model_validate({"space": space})


def _offered(spec: PipelineSpec) -> dict[str, dict[str, Any]]:
    train = spec.train
    rate, batch = train.learning_rate, train.batch_size
    offered: dict[str, dict[str, Any]] = {
        "train.learning_rate": {"float": [_digits(rate / 8), _digits(min(10.0, rate * 8))], "log": True},
        "train.batch_size": {"choice": sorted({max(1, batch // 2), batch, batch * 2})},
    }
    if train.optimizer == "adamw":
        offered["train.weight_decay"] = {"float": [1e-5, 0.3], "log": True}
    if "label_smoothing" in tasks.find(spec.task).output_type.loss_settings:
        offered["train.label_smoothing"] = {"float": [0.0, 0.2]}
    model = spec.model.model_dump(mode="json")
    if "dropout" in model:
        offered["model.dropout"] = {"float": [0.0, 0.6]}
    if spec.model.pretrained is not None:
        return offered
    for name in WIDTHS:
        if name == "embedding" and "numbers" in model:  # of a table's categories, which it may not have
            continue
        if isinstance(width := model.get(name), int):
            offered[f"model.{name}"] = {"choice": sorted({max(1, width // 2), width, width * 2})}
    if isinstance(depth := model.get("depth"), int):
        offered["model.depth"] = {"choice": sorted({max(1, depth - 1), depth, depth + 1})}
    return offered


def _is_possible(project: Project, spec: PipelineSpec, key: str, values: dict[str, Any]) -> bool:
    if len(values.get("choice", [1, 2])) < 2:
        return False
    try:
        variants.check_space(project, spec, TuneSpec.model_validate({"space": {key: values}}))
    except SpecError:
        return False
    return True


def _digits(value: float) -> float:
    return float(f"{value:.3g}")
