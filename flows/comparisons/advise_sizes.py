"""The parameters of the networks that an advice may train: narrower and wider ones, and the task's other models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from components import tasks, versioning
from components.contracts.advice import CountedSteps, ModelSizes, SizesRequest
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
        step_cost: of the pipeline's network.
        candidates: parameters of the other models that the task names for data like this; None: one does not fit.
    """

    scaled: list[tuple[ModelSpec, int]]
    parameters: int
    obstacle: str | None
    candidates: dict[str, int | None]
    step_cost: CountedSteps | None


def counted_models(context: RunContext) -> CountedModels:
    """Count the pipeline's network, narrower and wider ones, and the task's other models, in one process."""
    model = context.spec.model
    scaled = [found for factor in WIDTH_FACTORS if (found := scaling.scaled(model, factor)) is not None]
    others = _candidates(context)
    sizes = _count(context, [model, *scaled, *others.values()])
    candidates = dict(zip(others, sizes.parameters[1 + len(scaled) :], strict=True))
    obstacle = scaling.obstacle(model) or (None if scaled else "the widths are at their limits")
    parameters = sizes.parameters[0]
    if obstacle is not None or parameters is None:
        return CountedModels([], 0, obstacle or "the network does not fit the data", candidates, sizes.step_cost)
    counts = sizes.parameters[1 : 1 + len(scaled)]
    pairs = [(one, count) for one, count in zip(scaled, counts, strict=True) if count is not None]
    return CountedModels(pairs, parameters, None, candidates, sizes.step_cost)


def _count(context: RunContext, models: Sequence[ModelSpec]) -> ModelSizes:
    project, spec = context.project, context.spec
    folder = project.state / "staging" / f"sizes-{spec.name}"
    document = SizesRequest(
        prepared=str((project.dataset(spec.dataset) / "prepared").relative_to(project.root)),
        data_digest=versioning.data_digest(project, spec.dataset),
        models=list(models),
        train=spec.train,
        target=str(folder.relative_to(project.root)),
    )
    context.run(stage_requests.advice(project, f"sizes-{spec.name}", document))
    return ModelSizes.model_validate_json((folder / "sizes.json").read_bytes())


def _candidates(context: RunContext) -> dict[str, ModelSpec]:
    """The other models that the task names for data like this, without those of pretrained weights."""
    spec, project = context.spec, context.project
    folder = project.dataset(spec.dataset)
    settings = located_yaml.read(folder / "dataset.yaml", DatasetSpec).input
    samples = int(manifests.load(folder / "prepared", "prepared").facts["counts"]["train"])
    offered = [families.model(one["model"]) for one in tasks.find(spec.task).draft_candidates(samples, settings)]
    others = [model for model in offered if model.name != spec.model.name and model.pretrained is None]
    return {f"{model.family} {model.name}": model for model in others}
