"""The default model of a family for a dataset, which `modelyard compare --families` trains.

Each task names its model of each family. All use the same optimizer, learning rate, schedule and batch size.
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import TypeAdapter

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.contracts.model_spec import ModelSpec
from components.contracts.pipeline import PipelineSpec
from components.contracts.train_spec import TrainSpec
from components.core import located_yaml
from components.core.errors import UsageError
from components.core.project import Project

_MODEL: TypeAdapter[Any] = TypeAdapter(ModelSpec)


def pipelines(project: Project, dataset: str, families: list[str]) -> list[PipelineSpec]:
    """One pipeline for each family on a dataset, without a pipeline file.

    Raises:
        NotFoundError: there is no such dataset.
        UsageError: there is no such family, or the dataset's task has no model of the family.
    """
    spec = located_yaml.read(project.dataset(dataset) / "dataset.yaml", DatasetSpec)
    models = getattr(tasks.find(spec.task), "family_models", {})
    available = ", ".join(models) or "none"
    for family in families:
        if family not in models:
            message = f"no {family} for {spec.task}" if family in known_families() else "no such family"
            raise UsageError(message, where=f"dataset {dataset}", got=family, expected=available)
    return [_pipeline(dataset, spec.task, {"family": family, **models[family]}) for family in families]


def known_families() -> set[str]:
    """The families of all architectures."""
    specs = get_args(get_args(ModelSpec)[0])
    return {family for spec in specs for family in get_args(spec.model_fields["family"].annotation)}


def model(settings: dict[str, Any]) -> Any:
    """`model:` of a pipeline from its keys."""
    return _MODEL.validate_python(settings)


def _pipeline(dataset: str, task: str, settings: dict[str, Any]) -> PipelineSpec:
    chosen = model(settings)
    name = f"{dataset}-{chosen.family}-{chosen.name}"
    train = TrainSpec(batch_size=64, learning_rate=1e-3, schedule="onecycle", clip_norm=1.0)
    return PipelineSpec(name=name, task=task, dataset=dataset, model=chosen, train=train)
