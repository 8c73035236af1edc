"""Calibration error before and after temperature scaling: pipelines of this project, trained once.

    python -m benchmarks.calibration digits adult sst2 [--set train.epochs=2 ...] [--json]

The data is prepared and the networks are trained where they are not yet; `--set` makes a training short. The
temperature is fitted on the validation split; the figures are of the frozen test split.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks import figure
from benchmarks.figure import Figure
from components import versioning
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.project import Project
from components.identity.package import Package
from flows.pipelines import fingerprints, stage_requests
from flows.runners import stage_runner
from flows.runners.local_runner import LocalProcessRunner

NAME = "calibration"
TARGET = 0.03


def measure(pipelines: list[str], overrides: dict[str, Any]) -> list[Figure]:
    """The figures of each pipeline."""
    return [one for name in pipelines for one in _of_pipeline(name, overrides)]


def _of_pipeline(name: str, overrides: dict[str, Any]) -> list[Figure]:
    project = Project.find()
    spec = located_yaml.read(project.pipeline_file(name), PipelineSpec, overrides)
    for stage in ("ingest", "validate", "prepare"):
        versioning.reproduce(project, spec.dataset, stage, force=False, on_output=_log)
    found = fingerprints.of(spec, versioning.data_digest(project, spec.dataset), project.source_root)
    runner, folder = LocalProcessRunner(project.root), project.run_folder(found.train.digest)
    if not (folder / "trained" / "manifest.json").is_file():
        stage_runner.run(runner, stage_requests.training(project, spec, found, None), _ignore, _log)
    stage_runner.run(runner, stage_requests.evaluation(project, spec, found), _ignore, _log)
    package = Package.open(project.package(found.package.digest))
    metrics, facts = package.metrics(), package.facts.calibration
    overall = metrics["overall"]
    table = metrics.get("calibration", {})
    temperature = "not kept" if facts is None or not facts.kept else f"T {facts.temperature:.3f}"
    return [
        Figure(NAME, f"{name}: accuracy", overall["accuracy"]),
        Figure(NAME, f"{name}: expected calibration error without", table.get("ece_before", overall["ece"])),
        Figure(NAME, f"{name}: ... with ({temperature})", overall["ece"], "", TARGET),
    ]


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ignore(_: str) -> None:
    """Events of a training."""


if __name__ == "__main__":
    sys.exit(figure.pipelines_command(measure, __doc__))
