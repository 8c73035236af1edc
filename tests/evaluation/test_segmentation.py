"""Figures of masks against counts one by one, and against scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import MaskOutput
from components.evaluation import baselines
from components.evaluation.comparison import compare
from components.evaluation.segmentation import SCORER
from components.evaluation.test_split import FrozenSplit
from tests.evaluation.stub_package import Answers, frozen, quiet, stored

RNG = np.random.default_rng(0)
CLASSES = ["car", "ground", "sky", "tree"]
TRUTH = RNG.choice([0, 1, 3, 255], (12, 6, 5), p=[0.2, 0.5, 0.2, 0.1]).astype(np.uint8)  # no sky
ANSWERS = np.where(RNG.random(TRUTH.shape) < 0.7, np.where(TRUTH == 255, 0, TRUTH), 1).astype(np.int64)
SPECS = [ArraySpec(name="images", type="uint8", shape=(6, 5, 1)), ArraySpec(name="masks", type="uint8", shape=(6, 5))]


class Fitted:
    """What scorer and baselines ask of a processor."""

    def inputs(self) -> tuple[str, ...]:
        return ("images",)

    def output_spec(self) -> MaskOutput:
        return MaskOutput(classes=4)


def split(folder: Path) -> FrozenSplit:
    samples = [{"images": np.full((6, 5, 1), row), "masks": numbers} for row, numbers in enumerate(TRUTH)]
    stored(folder / "train", SPECS, samples)
    return frozen(folder, SPECS, samples, CLASSES, Fitted(), "semantic-segmentation")


def package(answers: np.ndarray, order: list[str] = CLASSES, broken: int = -1) -> Answers:
    """A package that answers with these masks, its classes in another order."""

    def network(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = feed["images"][:, 0, 0, 0]
        places = np.array([order.index(name) if name in order else 0 for name in CLASSES])
        found = np.eye(len(order), dtype=np.float32)[places[answers[rows]]].transpose(0, 3, 1, 2).copy()
        found[rows == broken] = np.nan
        return {"probabilities": found}

    return Answers(network, order, inputs=Fitted().inputs)


def test_all_figures_are_those_of_scikit_learn_over_the_classes_that_occur(tmp_path: Path) -> None:
    found = SCORER.score(package(ANSWERS, CLASSES[::-1]), split(tmp_path), quiet)
    counted = TRUTH != 255
    truth, answers = TRUTH[counted], ANSWERS[counted]
    assert found.figures() == {
        "mean_iou": pytest.approx(jaccard_score(truth, answers, average="macro")),
        "mean_dice": pytest.approx(f1_score(truth, answers, average="macro")),
        "pixel_accuracy": pytest.approx(accuracy_score(truth, answers)),
    }
    document = found.document()
    assert document["per_class"][2] == {
        "class": "sky",
        "iou": None,
        "dice": None,
        "pixels": 0,
        "answered": 0,
        "images": 0,
    }
    assert np.array(document["confusion"]).sum() == counted.sum()
    assert [part.name for part in found.slices()] == ["car", "ground", "tree"]
    assert any("sky: no pixel" in line for line in found.card_lines().limits)
    rows = np.bincount(RNG.integers(0, 12, 12), minlength=12)
    drawn = np.repeat(np.arange(12), rows)
    kept = TRUTH[drawn] != 255
    expected = jaccard_score(TRUTH[drawn][kept], ANSWERS[drawn][kept], average="macro")
    assert found.resampled("mean_iou", rows[None].astype(float)) == pytest.approx(expected)


def test_classes_that_only_the_package_has_and_answers_that_are_not_finite_are_wrong(tmp_path: Path) -> None:
    data = split(tmp_path)
    perfect = np.where(TRUTH == 255, 0, TRUTH).astype(np.int64)
    assert SCORER.score(package(perfect), data, quiet).figures() == dict.fromkeys(
        ("mean_iou", "mean_dice", "pixel_accuracy"), 1.0
    )
    broken = SCORER.score(package(perfect, broken=3), data, quiet)
    assert broken.not_finite == 1
    assert broken.figures()["pixel_accuracy"] < 1
    other = SCORER.score(package(perfect, ["car", "ground", "spam"]), data, quiet)
    assert other.figures()["mean_iou"] < 1
    invented = SCORER.score(package(np.full_like(ANSWERS, 2)), data, quiet)
    assert any("sky: no pixel in the test split, but answered" in line for line in invented.card_lines().limits)


def test_the_commonest_class_everywhere_is_the_baseline(tmp_path: Path) -> None:
    data = split(tmp_path)
    (known,) = baselines.of(data)
    assert "ground" in known.name
    everywhere = SCORER.score(package(np.ones_like(ANSWERS)), data, quiet)
    assert known.figures == pytest.approx(everywhere.figures())
    comparison = baselines.compare(everywhere.figures(), [known], data)
    assert comparison is not None
    assert not comparison.is_better


@pytest.mark.slow
def test_a_better_model_is_told_from_an_equal_one_and_drawn(tmp_path: Path) -> None:
    data = split(tmp_path)
    better, worse = (SCORER.score(package(answers), data, quiet) for answers in (ANSWERS, np.ones_like(ANSWERS)))
    assert compare(better, worse, "mean_iou", min_effect=0.0, confidence=0.95).passed
    assert not compare(better, better, "mean_iou", min_effect=0.0, confidence=0.95).passed
    better.draw(tmp_path / "plots")
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"confusion.png", "masks.png"}
    ious = [example.iou for example in better.view.examples]  # type: ignore[attr-defined]
    assert ious == sorted(ious)
    assert len(ious) == 8
