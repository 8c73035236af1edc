"""A dataset with sets of labels and one with masks: drafted, trained for an epoch, evaluated, and answered."""

from __future__ import annotations

import base64
import io
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from components.contracts.pipeline import PipelineSpec
from components.contracts.serving_spec import SlotSpec
from components.contracts.training_request import TrainRequest
from components.core import located_yaml
from components.core.project import Project
from components.drafting import draft
from components.evaluation import stage as evaluation
from components.evaluation.comparison import compare
from components.evaluation.test_split import FrozenSplit
from components.gates.integrity import check_metrics
from components.gates.scoring import ScoringFailure, score
from components.identity import manifest
from components.identity.package import Package
from components.inference import body
from components.inference.difference import difference
from components.inference.predictor import Predictor
from components.ingestion import png
from components.ingestion import stage as ingestion
from components.preparation import stage as preparation
from components.training import stage as training
from components.training.sinks import EventStream
from flows.cli import prediction_client
from tests.serving.service import running

pytestmark = pytest.mark.slow
WORDS = ("river", "stone", "quiet", "paper", "window", "garden")
TAGS = ("good", "long", "sad")


def texts(folder: Path) -> Path:
    """Texts whose words are their labels, in the form of Kaggle's toxic comments."""
    rng = np.random.default_rng(0)
    lines = ["id,comment_text,good,long,sad"]
    for number in range(80):
        tags = [name for place, name in enumerate(TAGS) if number >> place & 1]
        words = [*rng.choice(WORDS, 4), *tags]
        rng.shuffle(words)
        lines.append(f'{number:04x},"{" ".join(words)}, {number}",' + ",".join(str(int(tag in tags)) for tag in TAGS))
    folder.mkdir()
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    return folder / "train.csv"


def masks(folder: Path) -> Path:
    """Bright rectangles on dark ground, and where they are."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(40):
        truth = np.zeros((32, 48), np.uint8)
        left, top = int(rng.integers(0, 30)), int(rng.integers(0, 16))
        truth[top : top + 14, left : left + 16] = 1
        levels = np.where(truth == 1, 200, 40) + rng.integers(-30, 30, truth.shape)
        (folder / "images" / f"{number:02d}.png").write_bytes(png.encode(levels.astype(np.uint8)))
        (folder / "masks" / f"{number:02d}_mask.png").write_bytes(png.encode(truth))
    return folder


def entered(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, as the working directory of its stages."""
    root.mkdir()
    monkeypatch.chdir(root)
    return root


def trained(
    source: Path,
    root: Path,
    settings: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    **train: object,
) -> tuple[draft.Draft, Package, FrozenSplit]:
    """All stages from the draft to the package, in a project of its own.

    Args:
        settings, model: in place of the drafted ones.
    """
    (root / "params.yaml").write_text("datasets:\n  - digits\n")
    for name in ("pipelines", "data"):
        (root / name).mkdir()
    made = draft.write(Project(root), "things", source)
    file = root / "data/things/dataset.yaml"
    if settings is not None:
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "input": settings}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Great Expectations imports
        from components.validation import stage as validation
    ingestion.main(["data/things"])
    validation.main(["raw", "data/things"])
    preparation.main(["data/things"])
    validation.main(["prepared", "data/things"])
    preparation.main(["data/things", "--accept"])
    prepared = root / "data/things/prepared"
    sealed = manifest.load(prepared, "prepared")
    pipeline = located_yaml.read(root / "pipelines/things.yaml", PipelineSpec)
    document = {
        "pipeline": "things", "train_fingerprint": "ab" * 32, "data_digest": sealed.digest, "prepared": str(prepared),
        "run_folder": str(root / "run"), "package": str(root / "run/package"), "lineage": {},
        "model": model or pipeline.model.model_dump(mode="json"),
        "train": {**pipeline.train.model_dump(mode="json"), "threads": 1, **train},
    }  # fmt: skip
    before = torch.get_num_threads()
    training.train(TrainRequest.model_validate_json(json.dumps(document)), EventStream(io.StringIO()))
    torch.set_num_threads(before)
    (root / "request.json").write_text(json.dumps(document))
    evaluation.main([str(root / "request.json")])
    return made, Package.open(root / "run/package"), FrozenSplit.open(prepared, sealed.facts)


def check_gates(package: Package, frozen: FrozenSplit) -> Predictor:
    """Golden examples, figures scored afresh, and the comparison with itself."""
    predictor = Predictor(package)
    for example in package.golden():
        content = (package.folder / "golden" / example.file).read_bytes()
        request = body.read(predictor.processor, predictor.endpoint, content, example.media)
        [answer] = predictor.predict(request.items)
        assert difference(example.answer, answer) < 1e-4
    first, second = score(package, frozen, "one"), score(package, frozen, "the same")
    assert not isinstance(first, ScoringFailure), first.reason
    assert not isinstance(second, ScoringFailure)
    assert check_metrics(package, first) == []
    metric = next(iter(frozen.task.metrics))
    assert compare(first, second, metric, min_effect=-0.5, confidence=0.95).passed
    assert not compare(first, second, metric, min_effect=0.0, confidence=0.95).passed
    return predictor


def ask_service(package: Package, folder: Path, content: bytes) -> dict[str, Any]:
    """The answers of a service to one picture: as JSON, as a file, and its page."""
    bundle = folder / "bundle"
    shutil.copytree(package.folder, bundle / "package")
    sizes = {"max_batch_size": 4, "max_request_bytes": 100_000, "max_image_pixels": 10_000, "workers": 1}
    manifest.write_json(bundle / "serving.json", {"model": "things", "version": "1", **sizes})
    manifest.seal(bundle, "bundle", {"code": "c" * 64})
    slot = SlotSpec(version="1", package_digest=package.digest, bundle=str(bundle))
    with running(bundle, folder / "service") as service:
        service.order(champion=slot)  # proves the golden answers
        media = {"content-type": "image/png"}
        response = service.client.post("/predict", content=content, headers=media)
        file = service.client.post("/predict", content=content, headers={**media, "accept": "image/png"})
        assert "Find the pixels of" in service.client.get("/").text
        return {"json": response.json()["predictions"][0], "file": file}


def test_texts_with_sets_of_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, package, frozen = trained(
        texts(tmp_path / "source"), entered(tmp_path / "project", monkeypatch), {"thresholds": "f1", "max_length": 16},
        {"family": "cnn", "name": "kim"}, epochs=1, learning_rate=1e-3,
    )  # fmt: skip
    assert made.task == "multi-label-text-classification"
    assert made.labels == 3
    assert "10 of 80 rows have no label" in made.why
    assert frozen.classes == sorted(TAGS)
    predictor = check_gates(package, frozen)
    [answer] = predictor.predict(["quiet stone good sad"])
    assert set(answer["scores"]) == set(TAGS)
    thresholds = dict(zip(sorted(TAGS), predictor.processor.chosen, strict=True))  # type: ignore[attr-defined]
    assert set(thresholds.values()) != {0.5}
    assert answer["labels"] == [name for name in sorted(TAGS) if answer["scores"][name] >= thresholds[name]]
    assert prediction_client.describe(answer, "v1").endswith("(v1)")
    card = (package.folder / "README.md").read_text()
    assert all(f"| {threshold:.4f} |" in card for threshold in thresholds.values())
    assert len(package.metrics()["baselines"]) == 3


def test_images_with_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = entered(tmp_path / "project", monkeypatch)
    made, package, frozen = trained(masks(tmp_path / "source"), root, epochs=2, batch_size=4)
    assert made.task == "semantic-segmentation"
    assert frozen.classes == ["background", "foreground"]
    predictor = check_gates(package, frozen)
    picture = (tmp_path / "source/images/03.png").read_bytes()
    [answer] = predictor.predict([picture])
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["mask"]))))
    assert found.shape == (32, 48) == (answer["height"], answer["width"])
    assert sum(row["share"] for row in answer["classes"]) == pytest.approx(1)
    assert "ground" in prediction_client.describe(answer, "v1")
    served = ask_service(package, root, picture)
    assert served["json"] == answer
    assert served["file"].content == base64.b64decode(answer["mask"])
    assert served["file"].headers["content-type"] == "image/png"
    assert {path.name for path in (root / "run/plots").iterdir()} == {"confusion.png", "masks.png", "training.png"}
    assert package.metrics()["better_than_baselines"]["metric"] == "mean_iou"
