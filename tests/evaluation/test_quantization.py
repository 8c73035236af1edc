"""int8 packages: from a trained network to a package that answers the same alone and in a batch."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from components.contracts.evaluation_request import EvaluationRequest
from components.evaluation import quantization, stage
from components.identity.package import Package
from components.inference.predictor import Predictor
from components.training import stage as training
from components.training.sinks import EventStream
from tests.training.prepared_digits import prepare, request

NETWORK = {"family": "cnn", "name": "textbook", "depth": 2, "width": 24, "convolutions": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantization")
    prepare(folder / "prepared")
    training.train(request(folder / "prepared", folder / "run", model=NETWORK, epochs=3), EventStream(io.StringIO()))
    return folder


def evaluate(folder: Path, name: str, **options: object) -> Package:
    asked = request(folder / "prepared", folder / "run", model=NETWORK, epochs=3)
    document = {**asked.model_dump(mode="json"), "package": str(folder / name), **options}
    (folder / "request.json").write_text(EvaluationRequest.model_validate(document).model_dump_json())
    stage.main([str(folder / "request.json")])
    return Package.open(folder / name)


@pytest.mark.slow
def test_int8_graphs_are_smaller_as_good_and_answer_for_themselves(trained: Path) -> None:
    plain = evaluate(trained, "plain")
    package = evaluate(trained, "int8", quantize="int8", quantize_max_loss=0.02)
    facts = package.facts.quantization
    assert plain.facts.quantization is None
    assert facts is not None
    assert facts.kept, facts.reason
    assert facts.int8_bytes == package.graph().stat().st_size < 0.6 * plain.graph().stat().st_size
    assert facts.float_figures == plain.metrics()["overall"]
    assert facts.int8_figures == package.metrics()["overall"]
    assert facts.loss is not None
    assert facts.loss <= 0.02
    assert package.signature() == plain.signature()
    assert package.manifest.files["model.safetensors"] == plain.manifest.files["model.safetensors"]
    golden, own = plain.golden(), package.golden()
    assert [one.file for one in golden] == [one.file for one in own]
    assert any(one.answer != other.answer for one, other in zip(golden, own, strict=True))
    assert facts.golden_difference is not None
    assert 0 < facts.golden_difference < 0.2
    assert f"| accuracy | {facts.float_figures['accuracy']:.4f} | {facts.int8_figures['accuracy']:.4f} |" in (
        (package.folder / "README.md").read_text()
    )
    times = json.loads((trained / "run" / "plots" / "quantization.json").read_text())["times_ms"]
    assert set(times) == {"float", "int8"}
    # The service batches: an answer must not depend on what else is in the batch.
    images = np.load(trained / "prepared" / "test" / "images.npy")[:64]
    predictor = Predictor(package)
    together = predictor.answer([{"images": image} for image in images])
    assert together == [predictor.answer([{"images": image}])[0] for image in images]
    assert evaluate(trained, "again", quantize="int8", quantize_max_loss=0.02).digest == package.digest
    assert not [name for name in os.listdir(trained / "run") if name.startswith(("int8", "tmp"))]


@pytest.mark.slow
def test_what_loses_too_much_stays_float_and_says_why(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Calibrated on black images, the integers hold nothing of a digit.
    record = quantization.recorded_feeds.record

    def black(*arguments: object) -> object:
        feeds = record(*arguments)  # type: ignore[arg-type]
        return {name: [{key: value * 0 for key, value in one.items()} for one in of] for name, of in feeds.items()}

    monkeypatch.setattr(quantization.recorded_feeds, "record", black)
    package = evaluate(trained, "refused", quantize="int8")
    facts = package.facts.quantization
    assert facts is not None
    assert not facts.kept
    assert [one.recipe for one in facts.trials] == ["whole", "layers"]
    assert all("on validation, over 0.005" in str(one.problem) for one in facts.trials)
    assert package.graph().read_bytes() == (trained / "run" / "trained" / "model.onnx").read_bytes()
    assert f"- float graphs; int8 was not kept: {facts.reason}" in (package.folder / "README.md").read_text()


def test_the_loss_is_absolute_for_gains_and_relative_for_errors() -> None:
    assert quantization.loss(0.9, 0.88, True) == pytest.approx(0.02)
    assert quantization.loss(2.0, 2.1, False) == pytest.approx(0.05)
    assert quantization.loss(2.0, 1.9, False) < 0
    assert quantization.loss(0.0, 0.0, False) == 0
    assert quantization.loss(0.5, float("nan"), True) == float("inf")
