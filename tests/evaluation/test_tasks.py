"""A small training of every kind of output, evaluated, scored afresh by the gates, and compared with itself."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from components.contracts import manifest
from components.contracts.package import Package
from components.evaluation import stage
from components.evaluation.comparison import compare
from components.evaluation.frozen import Frozen
from components.gates.integrity import look_at_metrics
from components.gates.scoring import Unfit, score
from components.training import stage as training
from components.training.sinks import EventStream
from tests.training.prepared_task import prepare
from tests.training.test_tasks import CASES, _request

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=list(CASES))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `prepared` and `run`, trained for an epoch and evaluated."""
    folder = tmp_path_factory.mktemp(str(request.param))
    prepare(folder / "prepared", *CASES[str(request.param)][:2])
    asked = _request(folder / "prepared", folder / "run", str(request.param), epochs=1)
    before = torch.get_num_threads()
    training.train(asked, EventStream(io.StringIO()))
    torch.set_num_threads(before)
    (folder / "request.json").write_text(asked.model_dump_json())
    stage.main([str(folder / "request.json")])
    return folder


def test_the_package_has_every_metric_of_its_task_pictures_and_a_card(place: Path) -> None:
    package = Package.open(place / "run" / "package")
    frozen = Frozen.open(place / "prepared", manifest.load(place / "prepared", "prepared").facts)
    metrics = package.metrics()
    assert metrics["overall"].keys() >= frozen.task.metrics.keys()
    assert metrics["samples"] > 0
    assert len(list((place / "run" / "plots").glob("*.png"))) >= 2
    card = (package.folder / "README.md").read_text()
    for name, value in metrics["overall"].items():
        assert f"| {name.replace('_', ' ')} | {value:.4f} |" in card
    assert json.loads((package.folder / "metrics.json").read_bytes()) == metrics


def test_scored_afresh_it_is_as_it_says_and_no_worse_than_itself(place: Path) -> None:
    package = Package.open(place / "run" / "package")
    frozen = Frozen.open(place / "prepared", manifest.load(place / "prepared", "prepared").facts)
    first, second = score(package, frozen, "one"), score(package, frozen, "the same")
    assert not isinstance(first, Unfit), first.reason
    assert not isinstance(second, Unfit)
    assert look_at_metrics(package, first) == []
    for metric, facts in frozen.task.metrics.items():
        higher = facts.higher_is_better
        found = compare(first, second, metric, higher_is_better=higher, min_effect=-0.9, confidence=0.95)
        assert found.gain == 0
        assert found.passed
        again = compare(first, second, metric, higher_is_better=higher, min_effect=0.0, confidence=0.95)
        assert not again.passed
