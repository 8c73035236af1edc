"""Plots are drawn in a forked process, whatever the process that forks holds."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.evaluation import stage
from components.evaluation.scorer import Scored
from components.inference.predictor import Predictor
from tests import small_package


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_session_that_nobody_holds_any_more_does_not_keep_the_child(tmp_path: Path) -> None:
    rows = [{"epoch": epoch, "train/loss": 1.0 / epoch, "validation/loss": 1.0 / epoch, "learning_rate": 0.1}
            for epoch in (1, 2, 3)]  # fmt: skip
    (tmp_path / "history.json").write_text(json.dumps({"epochs": rows, "kept_epoch": 3}))
    package = small_package.build(tmp_path / "package")
    cycle: list[Any] = [Predictor(package, threads=2)]  # with threads of its own
    cycle.append(cycle)
    gc.collect()
    thresholds = gc.get_threshold()
    gc.set_threshold(10, 1, 1)  # the child collects at once
    try:
        gc.disable()
        del cycle
        stage._draw(cast(Scored, SimpleNamespace(draw=lambda folder: None)), tmp_path, tmp_path)
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
    assert (tmp_path / "training.png").stat().st_size > 1000
