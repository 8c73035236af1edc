"""A training without the parts of a package, as a trial is: what it leaves, and what a later request makes of it."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path

import pytest

from components import tasks
from components.contracts.training_request import FIGURES_FILE, Started, TrainingFigures
from components.identity import manifest
from components.tasks.task import validation_metric
from components.training import stage
from components.training.sinks import EventStream
from tests.training.prepared_digits import prepare, request


def _train(place: Path, run_folder: Path, **changed: object) -> list[dict[str, object]]:
    stream = io.StringIO()
    stage.train(request(place / "prepared", run_folder).model_copy(update=changed), EventStream(stream))
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.slow
def test_it_leaves_figures_and_a_checkpoint_from_which_the_same_package_is_made(tmp_path: Path) -> None:
    prepare(tmp_path / "prepared")
    _train(tmp_path, tmp_path / "whole")
    _train(tmp_path, tmp_path / "run", parts=False, cores=1)
    assert not (tmp_path / "run" / "trained").exists()
    figures = TrainingFigures.model_validate_json((tmp_path / "run" / FIGURES_FILE).read_bytes())
    whole = json.loads((tmp_path / "whole" / "trained" / "history.json").read_text())
    assert (figures.history, figures.kept_epoch) == (whole["epochs"], whole["kept_epoch"])
    assert _train(tmp_path, tmp_path / "run", parts=False) == []  # nothing is done twice
    events = _train(tmp_path, tmp_path / "run")
    started = Started.model_validate(events[0])
    assert (started.resumed, started.epoch, started.history) == (True, 2, figures.history)
    digests = [manifest.load(tmp_path / name / "trained", "trained").digest for name in ("whole", "run")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", [name for name in tasks.MODULES if name != "token-classification"])
def test_a_tasks_validation_metric_is_what_its_objective_selects_epochs_by(name: str) -> None:
    # That of token-classification is made for each dataset: entity_f1, as test_objectives.py has it.
    module, _, attribute = tasks.find(name).objective.partition(":")
    objective = getattr(importlib.import_module(module), attribute)
    own = getattr(objective, "selection", None)
    expected = (own.metric, own.higher_is_better) if own else (objective.metric, objective.higher_is_better)
    assert tuple(validation_metric(tasks.find(name))) == expected
