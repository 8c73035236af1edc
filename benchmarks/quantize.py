"""What int8 costs and wins: pipelines of this project, trained once, evaluated with float and with int8 graphs.

    python -m benchmarks.quantize digits fashion sst2-minilm [--set train.epochs=2 ...] [--json]

The data is prepared and the networks are trained where they are not yet; `--set` makes a training short. Figures are of
the frozen test split; milliseconds are medians of golden examples alone on one thread, from body to answer, measured in
turns in the process that evaluates.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks import figure
from benchmarks.figure import Figure
from components import versioning
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.project import Project
from components.identity import manifest
from components.identity.package import QuantizationFacts
from flows.pipelines import fingerprints, stage_requests
from flows.runners import stage_runner
from flows.runners.local_runner import LocalProcessRunner

NAME = "quantize"
INT8 = {"serving.quantize": "int8"}


def measure(pipelines: list[str], overrides: dict[str, Any]) -> list[Figure]:
    """The figures of each pipeline."""
    return [one for name in pipelines for one in _of_pipeline(name, {**overrides, **INT8})]


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
    facts = manifest.load(project.package(found.package.digest), "package").facts["quantization"]
    times = json.loads((folder / "plots" / "quantization.json").read_bytes())["times_ms"]
    return _figures(name, QuantizationFacts.model_validate(facts), times)


def _figures(name: str, facts: QuantizationFacts, times_ms: dict[str, float]) -> list[Figure]:
    recipe = next((trial.recipe for trial in facts.trials if trial.problem is None), "none")
    kept = "kept" if facts.kept else "not kept"
    rows = [Figure(NAME, f"{name}: {facts.metric}, float", facts.float_figures[facts.metric])]
    if facts.int8_figures is None or facts.int8_bytes is None:
        return [*rows, Figure(NAME, f"{name}: int8 {kept}: {facts.reason}", 0.0)]
    return [
        *rows,
        Figure(NAME, f"{name}: {facts.metric}, int8 ({recipe}, {kept})", facts.int8_figures[facts.metric]),
        Figure(NAME, f"{name}: graphs, float", facts.float_bytes / 1e6, "MB"),
        Figure(NAME, f"{name}: graphs, int8", facts.int8_bytes / 1e6, "MB"),
        Figure(NAME, f"{name}: a golden example, float", times_ms["float"], "ms"),
        Figure(NAME, f"{name}: a golden example, int8", times_ms["int8"], "ms"),
    ]


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ignore(_: str) -> None:
    """Events of a training."""


if __name__ == "__main__":
    sys.exit(figure.pipelines_command(measure, __doc__))
