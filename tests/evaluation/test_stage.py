"""From what a real training left to the sealed package."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.contracts.training_request import TrainRequest
from components.core.errors import CorruptArtifactError, NotFoundError
from components.evaluation import report, stage
from components.evaluation.classification import ClassificationScores
from components.identity import manifest
from components.identity.package import Package
from components.inference.predictor import Predictor
from components.training import stage as training
from components.training.sinks import EventStream
from tests.training.prepared_digits import CLASSES, prepare, request

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    prepare(folder / "prepared")
    asked = request(folder / "prepared", folder / "run")
    training.train(asked, EventStream(io.StringIO()))
    _evaluate(folder, asked)
    return folder


def _evaluate(folder: Path, asked: TrainRequest) -> None:
    (folder / "request.json").write_text(asked.model_dump_json())
    stage.main([str(folder / "request.json")])


def test_the_package_opens_and_says_what_it_is(place: Path) -> None:
    package = Package.open(place / "run" / "package")
    assert package.facts.pipeline == "digits"
    assert package.facts.train_fingerprint == "ab" * 32
    assert package.facts.data_digest == manifest.load(place / "prepared", "prepared").digest
    assert package.facts.lineage == {"code": "1" * 64}
    assert package.signature().classes == CLASSES
    golden = package.golden()
    assert len(golden) == 10
    assert all(sum(row.answer["probabilities"].values()) == pytest.approx(1.0, abs=1e-5) for row in golden)
    assert "history.json" not in package.manifest.files


def test_its_figures_are_those_of_the_graph_on_the_test_split(place: Path) -> None:
    metrics = Package.open(place / "run" / "package").metrics()
    assert (metrics["split"], metrics["samples"]) == ("test", 160)
    images = np.load(place / "prepared" / "test" / "images.npy")
    truth = np.load(place / "prepared" / "test" / "labels.npy")
    package = Package.open(place / "run" / "package")
    probabilities = Predictor(package).run("model", {"images": images})["probabilities"]
    right = float((probabilities.argmax(axis=1) == truth).mean())
    assert metrics["overall"]["accuracy"] == pytest.approx(right, abs=1e-6)
    assert set(metrics["overall"]) == {"accuracy", "macro_f1", "ece", "nll"}
    assert [row["class"] for row in metrics["per_class"]] == CLASSES
    assert int(np.trace(np.array(metrics["confusion"]))) == round(right * 160)


def test_the_card_tells_figures_data_and_limits(place: Path) -> None:
    package = Package.open(place / "run" / "package")
    card = (package.folder / "README.md").read_text()
    assert f"| accuracy | {package.metrics()['overall']['accuracy']:.4f} |" in card
    assert package.facts.data_digest in card
    assert "- seed: 0" in card
    assert "## Limits" in card
    assert str(place) not in card


def test_the_pictures_are_pictures(place: Path) -> None:
    for name in ("confusion", "reliability", "training"):
        with Image.open(place / "run" / "plots" / f"{name}.png") as picture:
            assert min(picture.size) > 400
            assert len(picture.convert("L").getcolors(256) or []) > 20


def test_evaluated_again_the_package_is_the_same(place: Path, tmp_path: Path) -> None:
    before = Package.open(place / "run" / "package").digest
    asked = request(place / "prepared", place / "run").model_copy(update={"package": str(tmp_path / "elsewhere")})
    _evaluate(tmp_path, asked)
    assert Package.open(tmp_path / "elsewhere").digest == before


@pytest.mark.parametrize("name", ["model.onnx", "metrics.json", "golden/000.png"])
def test_a_corrupt_byte_of_the_package_is_named(place: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(place / "run" / "package", tmp_path / "package")
    path = tmp_path / "package" / name
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    with pytest.raises(CorruptArtifactError) as caught:
        Package.open(tmp_path / "package")
    assert caught.value.where == str(path)


def test_another_training_than_asked_for_is_refused(place: Path, tmp_path: Path) -> None:
    asked = request(place / "prepared", place / "run").model_copy(
        update={"train_fingerprint": "cd" * 32, "package": str(tmp_path / "package")}
    )
    with pytest.raises(CorruptArtifactError, match="trained artifact is not that of the request"):
        _evaluate(tmp_path, asked)
    assert not (tmp_path / "package").exists()


def test_nothing_trained_is_said(place: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        _evaluate(tmp_path, request(place / "prepared", tmp_path / "run"))


def test_the_margin_is_wilsons() -> None:
    """From 80 right of 100: 0.711 to 0.867, as in Wilson's interval of any table."""
    probabilities = np.tile(np.array([[0.9, 0.1, 0.0]], np.float32), (100, 1))
    truth = np.array([0] * 80 + [1] * 20)
    result = ClassificationScores(probabilities, truth, probabilities.argmax(axis=1), ["a", "b"])
    assert result.margin == pytest.approx((0.8666 - 0.7112) / 2, abs=1e-3)
    document = json.loads(json.dumps(report.document("test", result)))
    assert document["confusion"] == [[80, 0], [20, 0]]
    assert list(document) == ["split", "samples", "overall", "per_class", "confusion", "slices", "reliability"]
