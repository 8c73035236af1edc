"""Decision and conformal prediction of a real package, from the evaluation to the answers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.contracts.evaluation_request import EvaluationRequest
from components.evaluation import stage
from components.identity.package import Package
from components.inference import body
from components.inference.difference import difference
from components.inference.predictor import Predictor
from components.training import stage as training
from components.training.sinks import EventStream
from tests.training.prepared_digits import prepare, request
from tests.training.prepared_task import prepare as prepare_task

pytestmark = pytest.mark.slow

CONFORMAL = {"coverage": 0.9}


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def evaluated(folder: Path, asked: Any, **options: Any) -> Package:
    """Train and evaluate with further keys of the evaluation's request."""
    training.train(asked, EventStream(io.StringIO()))
    full = EvaluationRequest.model_validate({**asked.model_dump(mode="json"), **options})
    (folder / "request.json").write_text(full.model_dump_json())
    stage.main([str(folder / "request.json")])
    return Package.open(Path(asked.package))


def golden_answers(package: Package) -> list[dict[str, Any]]:
    """The package's answers to its golden examples, which are checked against those of the training process."""
    predictor, answers = Predictor(package), []
    for example in package.golden():
        content = (package.folder / "golden" / example.file).read_bytes()
        parsed = body.read(predictor.processor, predictor.endpoint, content, example.media)
        (answer,) = predictor.predict(parsed.items, parsed.parameters)
        assert difference(example.answer, answer) < 1e-5
        assert set(answer) == set(predictor.endpoint.prediction["required"])
        answers.append(answer)
    return answers


def test_sets_and_rejection_of_digits(tmp_path: Path) -> None:
    prepare(tmp_path / "prepared", 320, 160, 160)
    asked = request(tmp_path / "prepared", tmp_path / "run", epochs=3)
    package = evaluated(tmp_path, asked, conformal=CONFORMAL, decision={"reject_below": 0.5})
    metrics = package.metrics()
    facts = package.facts.conformal
    assert facts is not None
    assert facts.method == "lac"
    assert metrics["conformal"]["test_coverage"] == pytest.approx(0.9, abs=0.08)
    assert metrics["rejection"]["accuracy_of_accepted"] > metrics["overall"]["accuracy"]
    for answer in golden_answers(package):
        assert answer["label"] == answer["set"][0]
        kept = [name for name, value in answer["probabilities"].items() if value >= 1 - facts.quantiles[0][0]]
        assert set(answer["set"]) == {answer["label"], *kept}
        assert answer["rejected"] == (max(answer["probabilities"].values()) < 0.5)
    card = (package.folder / "README.md").read_text()
    assert "- coverage: 0.9 stated" in card
    assert "Rejected, as no class has a probability of 0.5: " in card


def test_a_threshold_decides_the_figures_too(tmp_path: Path) -> None:
    settings = {"tokenizer": {"kind": "words", "min_frequency": 1}, "max_length": 24}
    digest = prepare_task(tmp_path / "prepared", "text-classification", settings, (160, 60, 60))
    asked = request(tmp_path / "prepared", tmp_path / "run", model={"family": "cnn", "name": "kim", "embedding": 8})
    assert asked.data_digest == digest
    package = evaluated(tmp_path, asked, decision={"threshold": {"bad": 0.0}})
    assert package.facts.decision is not None
    assert package.facts.decision.thresholds == {"bad": 0.0}
    assert {answer["label"] for answer in golden_answers(package)} == {"bad"}  # every probability is at least 0
    truth = np.load(tmp_path / "prepared" / "test" / "labels.npy")
    assert package.metrics()["overall"]["accuracy"] == pytest.approx((truth == 0).mean(), abs=1e-6)

    # What int8 costs is the cost of its answers, with the threshold: here there is none, whatever the graphs give.
    quantized = evaluated(tmp_path, asked, decision={"threshold": {"bad": 0.0}}, quantize="int8", quantize_max_loss=0.0)
    facts = quantized.facts.quantization
    assert facts is not None
    validation = np.load(tmp_path / "prepared" / "validation" / "labels.npy")
    assert facts.validation == pytest.approx((validation == 0).mean(), abs=1e-6)
    assert facts.trials[0].figure == facts.validation
    assert facts.float_figures["accuracy"] == pytest.approx((truth == 0).mean(), abs=1e-6)
    assert facts.int8_figures is None or facts.int8_figures["accuracy"] == facts.float_figures["accuracy"]
    assert facts.golden_agree == "8 of 8"


def test_intervals_of_forecasts(tmp_path: Path) -> None:
    prepare_task(tmp_path / "prepared", "forecasting", {"look_back": 24, "horizon": 6}, (200, 120, 120))
    model = {"family": "rnn", "name": "gru", "width": 8, "instance_norm": False}
    asked = request(tmp_path / "prepared", tmp_path / "run", model=model)
    package = evaluated(tmp_path, asked, conformal=CONFORMAL)
    facts = package.facts.conformal
    assert facts is not None
    assert np.array(facts.quantiles).shape == (6, 2)
    assert facts.test_coverage == pytest.approx(0.9, abs=0.08)
    for answer in golden_answers(package):
        lower, upper = (np.array(answer["interval"][name]) for name in ("lower", "upper"))
        assert (lower <= upper).all()
        np.testing.assert_allclose(lower, np.array(answer["quantiles"]["0.1"]) - facts.quantiles)
