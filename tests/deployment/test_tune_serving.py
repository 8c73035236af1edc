"""tune-serving: what is chosen from figures, and a real measurement of a real bundle."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.contracts.pipeline import PipelineSpec, ServingOptions
from components.core import located_yaml
from components.core.project import Project
from components.deployment import serving_choice, serving_speed
from components.deployment.serving_choice import GraphSpeed, ServiceSpeed, ServingMeasurement
from flows.cli import tune_serving as command
from flows.deployment import tune_serving
from flows.platform.environment import QUIET
from tests.packaging import test_bundle

PIPELINE = """\
name: sample   # kept
task: image-classification
dataset: digits

model: {family: cnn, name: textbook}
serving: {workers: 4, max_batch_size: 16}  # ours
"""


def service(workers: int, threads: int, rate: float, **others: Any) -> ServiceSpeed:
    figures = {"p50_ms": 1.0, "p99_ms": 2.0, "lone_ms": 1.0, "errors": 0, "memory_mb": 100.0, **others}
    return ServiceSpeed(workers=workers, threads=threads, rate=rate, **figures)


def measured(services: list[ServiceSpeed], milliseconds: dict[int, float]) -> ServingMeasurement:
    graphs = [GraphSpeed(threads=1, samples=size, milliseconds=value) for size, value in milliseconds.items()]
    return ServingMeasurement(
        package_digest="a" * 64, code="c" * 64, cores=2, processor="any", day="2026-11-29", seconds=60, connections=32,
        graphs=graphs, services=services,
    )  # fmt: skip


def test_the_pairs_use_no_more_threads_than_cores() -> None:
    assert serving_choice.combinations(1) == [(1, 1)]
    assert serving_choice.combinations(2) == [(1, 1), (1, 2), (2, 1)]
    assert (3, 1) in serving_choice.combinations(3)
    assert all(workers * threads <= 16 for workers, threads in serving_choice.combinations(16))


def test_the_most_requests_win_and_of_near_ones_the_fewest_processes() -> None:
    times = {1: 1.0, 2: 1.2, 4: 1.6, 8: 3.0, 16: 6.0}
    choice = serving_choice.choose(measured([service(1, 1, 1000), service(2, 1, 1900)], times), 64)
    assert (choice.workers, choice.threads, choice.batch_size) == (2, 1, 8)
    assert "batch size 8: 2.7 times" in choice.reasons[1]
    near = [service(1, 1, 1850, lone_ms=2.0), service(1, 2, 1860, lone_ms=1.5), service(2, 1, 1900)]
    choice = serving_choice.choose(measured(near, times), 4)
    assert (choice.workers, choice.threads) == (1, 2)
    assert "with fewer processes" in choice.reasons[0]
    assert choice.batch_size is None  # no graph was measured with 2 threads
    failing = [service(1, 1, 1000), service(2, 1, 5000, errors=3)]
    assert serving_choice.choose(measured(failing, times), 4).workers == 1
    assert serving_choice.choose(measured(failing, times), 4).batch_size == 4
    assert serving_choice.choose(measured(failing, {1: 1.0, 2: 2.0}), 4).batch_size == 1


@pytest.mark.slow
def test_a_bundle_is_measured_once_and_the_choice_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec_file = tmp_path / "pipelines" / "sample.yaml"
    spec_file.parent.mkdir()
    spec_file.write_text(PIPELINE)
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    bundle = test_bundle.request(tmp_path, ServingOptions())
    subprocess.run(test_bundle.command(tmp_path), cwd=test_bundle.ROOT, env={**os.environ, **QUIET}, check=True)
    project, said = Project(tmp_path), list[str]()
    spec = located_yaml.read(spec_file, PipelineSpec)
    monkeypatch.setattr(serving_speed, "cores", lambda: 2)
    monkeypatch.setattr(serving_speed, "combinations", lambda _: [(1, 2), (2, 1)])  # two starts of a service are enough
    advice = tune_serving.run(project, spec, bundle, 1.5, said.append)
    assert said == [
        "measuring graphs with 1 thread",
        "measuring graphs with 2 threads",
        "measuring the service with 1 worker, 2 threads",
        "measuring the service with 2 workers, 1 thread",
    ]
    assert [(one.workers, one.threads, one.errors) for one in advice.measurement.services] == [
        (1, 2, 0),
        (2, 1, 0),
    ]
    assert all(one.rate > 20 and one.memory_mb > 20 for one in advice.measurement.services)
    assert {one.samples for one in advice.measurement.graphs} == {1, 2, 4, 8, 16, 32, 64}
    bundle.verify()  # it stays as it is sealed
    assert [path.name for path in (tmp_path / ".modelyard" / "cache").iterdir()] == [
        tune_serving._cache_file(project, bundle).name
    ]
    again = tune_serving.run(project, spec, bundle, None, said.append)
    assert (again.cached, again.measurement, len(said)) == (True, advice.measurement, 4)
    assert "serving.workers" in again.changes
    tune_serving.apply(spec_file, again)
    changed = located_yaml.read(spec_file, PipelineSpec).serving
    assert (changed.workers, changed.threads) == (again.choice.workers, again.choice.threads)
    assert changed.max_batch_size == 16
    lines = spec_file.read_text().splitlines()
    assert lines[0].startswith(tune_serving.HEAD)
    assert [line for line in lines if "serving:" not in line and not line.startswith("#")] == (
        PIPELINE.splitlines()[:-1]
    )
    assert lines[-1].endswith("# ours")
    assert not tune_serving.run(project, located_yaml.read(spec_file, PipelineSpec), bundle, 1.5, said.append).changes
    command.show(again, "sample")
    table = capsys.readouterr().out
    assert table.count("recommended") == 1 + (again.choice.batch_size is not None)
    assert json.loads(json.dumps(command.document(again)))["choice"]["workers"] == again.choice.workers
