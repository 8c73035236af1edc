"""The specification of a comparison: models, dataset and training budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import UsageError
from components.core.project import Project
from components.tasks import compatibility
from flows.comparisons import families


@dataclass(frozen=True)
class Budget:
    """The training budget of each model: seconds, or epochs; with neither, the epochs of its pipeline file."""

    seconds: float | None = None
    epochs: int | None = None

    def label(self) -> str:
        """The budget as text for the report."""
        if self.epochs is not None:
            return f"{self.epochs} epochs"
        return "as each file says" if self.seconds is None else f"{self.seconds:g} s of training, in whole epochs"


@dataclass(frozen=True)
class Comparison:
    """The models to compare and their budget.

    Args:
        name: the name of the report and of the MLflow experiment.
        has_files: whether the models are pipelines with files; else each is the default model of its family.
    """

    name: str
    models: tuple[PipelineSpec, ...]
    has_files: bool
    budget: Budget

    def label(self, spec: PipelineSpec) -> str:
        """A model's display name."""
        return spec.name if self.has_files else f"{spec.model.family} {spec.model.name}"


def of_pipelines(project: Project, names: Sequence[str], budget: Budget) -> Comparison:
    """A comparison of pipelines.

    Raises:
        UsageError: fewer than two pipelines, a duplicate, or pipelines of different datasets or tasks.
        NotFoundError, SpecError: a pipeline file is missing or wrong.
    """
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise UsageError("a comparison needs two pipelines or more, each named once", got=" ".join(names) or "nothing")
    specs = tuple(located_yaml.read(project.pipeline_file(name), PipelineSpec) for name in names)
    for field in ("dataset", "task"):
        values = {spec.name: getattr(spec, field) for spec in specs}
        if len(set(values.values())) > 1:
            raise UsageError(
                f"only models of one {field} can be compared",
                got=", ".join(f"{name}: {value}" for name, value in values.items()),
                next_step="name pipelines of one dataset; `modelyard datasets` shows them",
            )
    _check_compatibility(project, specs)
    return Comparison(f"compare-{'-'.join(names)}", specs, True, budget)


def of_families(project: Project, chosen: Sequence[str], dataset: str, budget: Budget) -> Comparison:
    """A comparison of families on a dataset.

    Raises:
        UsageError: fewer than two families, a duplicate, or a family without a model for the dataset's task.
    """
    if len(set(chosen)) < 2 or len(set(chosen)) < len(chosen):
        raise UsageError("a comparison needs two families or more, each named once", got=",".join(chosen) or "nothing")
    specs = tuple(families.pipelines(project, dataset, list(chosen)))
    _check_compatibility(project, specs)
    return Comparison(f"compare-{dataset}-{'-'.join(chosen)}", specs, False, budget)


def _check_compatibility(project: Project, specs: Sequence[PipelineSpec]) -> None:
    for spec in specs:
        compatibility.check(spec, project.pipeline_file(spec.name), project.dataset(spec.dataset))
