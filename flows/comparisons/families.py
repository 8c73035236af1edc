"""One small model of a family for a dataset: what `modelyard compare --families` trains.

They are small enough for a CPU, and alike in what is trained with: the same optimizer, rate, schedule and batches.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.contracts.model_spec import ModelSpec
from components.contracts.pipeline import PipelineSpec
from components.contracts.train_spec import TrainSpec
from components.core import located_yaml
from components.core.errors import UsageError
from components.core.project import Project
from components.tasks.task import Task

# Of each family, the first that takes and gives what the task has. What is not said is the architecture's default.
CANDIDATES: dict[str, tuple[dict[str, Any], ...]] = {
    "cnn": (
        {"name": "kim"},
        {"name": "center"},
        {"name": "textbook", "depth": 2, "width": 32},
        {"name": "series-cnn"},
    ),
    "rnn": (
        {"name": "gru", "bidirectional": True, "pooling": "max"},
        {"name": "seq2seq-gru"},
    ),
    "transformer": (
        {"name": "encoder"},
        {"name": "patchtst"},
        {"name": "seq2seq-transformer", "depth": 2, "width": 256, "inner": 512},
        {"name": "decoder"},
        {"name": "vit", "depth": 4, "width": 96},
        {"name": "yolos", "depth": 4, "width": 96},
    ),
    "state-space": ({"name": "mamba"},),
    "linear": ({"name": "dlinear"},),
    "diffusion": ({"name": "unet"},),
}
# Frames of sound are rows of a picture; elsewhere a series has no order among its channels.
OF_TASK: dict[str, dict[str, dict[str, Any]]] = {"sound-classification": {"cnn": {"name": "spectrogram-cnn"}}}
# A forecast goes on from the last state.
_LAST = {"forecast"}

_MODEL: TypeAdapter[Any] = TypeAdapter(ModelSpec)


def pipelines(project: Project, dataset: str, families: list[str]) -> list[PipelineSpec]:
    """One pipeline a family on a dataset; they stand in no file.

    Raises:
        NotFoundError: there is no such dataset.
        UsageError: no such family, or none of its models fits the dataset's task.
    """
    spec = located_yaml.read(project.dataset(dataset) / "dataset.yaml", DatasetSpec)
    task = tasks.find(spec.task)
    found = {family: _fitting(task, family) for family in CANDIDATES}
    there_are = ", ".join(family for family, model in found.items() if model is not None)
    for family in families:
        if family not in found:
            raise UsageError("no such family", got=family, expected=there_are)
        if found[family] is None:
            raise UsageError(f"no {family} for {spec.task}", where=f"dataset {dataset}", got=family, expected=there_are)
    return [_pipeline(dataset, spec.task, found[family]) for family in families]


def _pipeline(dataset: str, task: str, model: Any) -> PipelineSpec:
    name = f"{dataset}-{model.family}-{model.name}"
    train = TrainSpec(batch_size=64, learning_rate=1e-3, schedule="onecycle", clip_norm=1.0)
    return PipelineSpec(name=name, task=task, dataset=dataset, model=model, train=train)


def _fitting(task: Task, family: str) -> Any:
    """The model of a family for a task, or None."""
    own = OF_TASK.get(task.name, {}).get(family)
    for candidate in [own] if own else CANDIDATES[family]:
        said = dict(candidate)
        if task.output_kind in _LAST:
            said.pop("pooling", None)
            said.pop("bidirectional", None)
        model = _MODEL.validate_python({"family": family, **said})
        if model.supports_input(task.input_kind) and model.supports_output(task.output_kind):
            return model
    return None
