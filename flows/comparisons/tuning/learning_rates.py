"""`modelyard tune --learning-rates`: a learning-rate range test of a pipeline, its curve and its picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.contracts.pipeline import PipelineSpec
from components.contracts.training_request import RATES_FILE, RateCurve
from components.contracts.tune_report import RatePlotRequest
from components.core import located_yaml
from components.core.log import Log
from components.core.project import Project
from components.registry.api import Api
from components.tasks import compatibility
from flows.comparisons import compare
from flows.comparisons.tuning import variants
from flows.comparisons.tuning.variants import Recipe
from flows.pipelines import pretrained, prewarm, stage_requests
from flows.pipelines.stages import RunContext

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 120


@dataclass(frozen=True)
class Rates:
    """What a range test found.

    Args:
        present: the learning rate of the pipeline file.
        picture: PNG file of the curve.
    """

    curve: RateCurve
    present: float
    picture: Path


def find(project: Project, pipeline: str, api: Api, log: Log) -> Rates:
    """Run the test: some batches of training, which leave nothing but the curve.

    Raises:
        TrainingError: the loss is not finite from the beginning.
    """
    file = project.pipeline_file(pipeline)
    spec = located_yaml.read(file, PipelineSpec)
    compatibility.check(spec, file, project.dataset(spec.dataset))
    context = RunContext(project, spec, api, log)
    compare.bring_data_up_to_date(context)
    variant = variants.of(project, Recipe.read(project, spec), {}, api, log)
    folder = project.reports(f"tune-{pipeline}") / "learning-rates"
    start = pretrained.package(api, project, spec, variant.fingerprint)
    request = stage_requests.rate_range(
        project, spec, variant.fingerprint.digest, variant.data_digest, folder, start, (LOWEST, HIGHEST, STEPS)
    )
    with prewarm.prewarmed(["training"], project.root):
        context.run(request)
    picture = folder / "learning-rates.png"
    plot = RatePlotRequest(
        pipeline=pipeline,
        curve=str((folder / RATES_FILE).relative_to(project.root)),
        present=spec.train.learning_rate,
        target=str(picture.relative_to(project.root)),
    )
    context.run(stage_requests.rate_plot(project, f"rates-{pipeline}", plot))
    curve = RateCurve.model_validate_json((folder / RATES_FILE).read_bytes())
    return Rates(curve, spec.train.learning_rate, picture)
