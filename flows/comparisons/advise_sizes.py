"""The parameters of the networks that an advice may train: narrower and wider ones, and the task's other models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from components import tasks, versioning
from components.contracts.advice import SizesRequest
from components.contracts.architectures import scaling
from components.contracts.dataset import DatasetSpec
from components.contracts.model_spec import ModelSpec
from components.core import located_yaml
from components.identity import manifest as manifests
from flows.comparisons import families
from flows.pipelines import stage_requests
from flows.pipelines.stages import RunContext

WIDTH_FACTORS = tuple(2 ** (exponent / 4) for exponent in range(-14, 8) if exponent)  # 0.09 to 3.4 times


class CountedModels(NamedTuple):
    """Networks of other widths with their parameters, those of the pipeline's, and why there are no other widths.

    Args:
        candidates: parameters of the other models that the task names for data like this; None: one does not fit.
    """

    scaled: list[tuple[ModelSpec, int]]
    parameters: int
    obstacle: str | None
    candidates: dict[str, int | None]


def counted_models(context: RunContext) -> CountedModels:
    """Count the pipeline's network, narrower and wider ones, and the task's other models, in one process."""
    model = context.spec.model
    scaled = [found for factor in WIDTH_FACTORS if (found := scaling.scaled(model, factor)) is not None]
    others = _candidates(context)
    own = [] if scaling.obstacle(model) else [model, *scaled]
    counts = _count_parameters(context, [*own, *others.values()])
    candidates = dict(zip(others, counts[len(own) :], strict=True))
    obstacle = scaling.obstacle(model) or (None if scaled else "the widths are at their limits")
    if obstacle is not None or counts[0] is None:
        return CountedModels([], 0, obstacle or "the network does not fit the data", candidates)
    pairs = [(one, count) for one, count in zip(own, counts, strict=False) if count is not None]
    return CountedModels(pairs[1:], counts[0], None, candidates)


def _count_parameters(context: RunContext, models: Sequence[ModelSpec]) -> list[int | None]:
    """The number of parameters of networks for the pipeline's data; None where one does not fit it."""
    if not models:
        return []
    project, spec = context.project, context.spec
    folder = project.state / "staging" / f"sizes-{spec.name}"
    document = SizesRequest(
        prepared=str((project.dataset(spec.dataset) / "prepared").relative_to(project.root)),
        data_digest=versioning.data_digest(project, spec.dataset),
        models=list(models),
        target=str(folder.relative_to(project.root)),
    )
    context.run(stage_requests.advice(project, f"sizes-{spec.name}", document))
    counts: list[int | None] = json.loads((folder / "parameters.json").read_bytes())
    return counts


def _candidates(context: RunContext) -> dict[str, ModelSpec]:
    """The other models that the task names for data like this, without those of pretrained weights."""
    spec, project = context.spec, context.project
    folder = project.dataset(spec.dataset)
    settings = located_yaml.read(folder / "dataset.yaml", DatasetSpec).input
    samples = int(manifests.load(folder / "prepared", "prepared").facts["counts"]["train"])
    offered = [families.model(one["model"]) for one in tasks.find(spec.task).draft_candidates(samples, settings)]
    others = [model for model in offered if model.name != spec.model.name and model.pretrained is None]
    return {f"{model.family} {model.name}": model for model in others}
