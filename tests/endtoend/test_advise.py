"""An advice from real trainings, through the command line."""

from __future__ import annotations

import json

import pytest

from components.contracts.advice import Advice
from components.identity import manifest
from tests.house import House

pytestmark = pytest.mark.long


def test_a_pipeline_is_advised(house: House) -> None:
    small = {"name": "textbook", "family": "cnn", "depth": 1, "width": 1, "convolutions": 1, "dropout": 0.0}
    house.pipeline("advised", model=small, train={"epochs": 1, "batch_size": 32, "samples": 128}, gates={})
    page = house.root / "page.html"
    done = house.run("advise", "advised", "--json", "--html", str(page))
    assert "training on 32 of 1,295 samples (a seeded choice)" in done.stderr
    found = json.loads(done.stdout)
    advice = Advice.model_validate({name: found[name] for name in Advice.model_fields})
    data, model, time = advice.levers
    assert [one.samples for one in advice.measurements if "data" in one.curves] == [128, 32, 64]
    assert advice.base.samples == 128
    assert data.law is not None
    assert data.predicted is not None
    assert data.predicted.lower <= data.predicted.value <= data.predicted.upper
    assert model.reason == "2 sizes were measured; a law with three parameters needs 3"
    assert model.measured is not None  # a network of about twice the parameters was trained
    assert time.reason == "1 size was measured; a law with three parameters needs 3"
    assert "nothing is known of twice the parameters and twice the steps" in advice.sentence
    assert advice.left_out["1/8 of the data"] == "16 samples are too few: at least 32"
    for one in advice.measurements:
        history = json.loads((house.root / one.trained / "history.json").read_text())["epochs"]
        assert history[one.kept_epoch - 1]["validation/accuracy"] == pytest.approx(one.quality.value, abs=1e-6)
        assert one.deviation > 0
        assert one.seconds is not None
        assert one.memory_mb is not None
        assert one.memory_mb > 50
    assert 0.8 < advice.baselines["a linear model on the levels"] < 1
    assert "It is no better than a baseline" in advice.sentence
    assert "this machine" in advice.machines
    assert "estimated" in advice.machines["one GPU"]
    text = page.read_text()
    assert text == (house.project.reports("advise-advised") / "report.html").read_text()
    assert "1/8 of the data" in text
    prepared = manifest.load(house.project.dataset("digits") / "prepared", "prepared")
    assert prepared.facts["counts"]["train"] == 1295
