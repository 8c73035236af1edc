"""Figures of sets of labels against scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import LabelsOutput
from components.evaluation import baselines, paired_bootstrap
from components.evaluation.comparison import compare
from components.evaluation.multi_label import SCORER, MultiLabelScores, average_precision
from components.tasks import find
from tests.evaluation.stub_package import Answers, frozen, quiet, stored

RNG = np.random.default_rng(0)
TRUTH = RNG.random((80, 3)) < (0.5, 0.2, 0.05)
SCORES = np.round(np.clip(0.6 * TRUTH + 0.5 * RNG.random((80, 3)), 0, 1), 2).astype(np.float32)  # with equal scores
LABELS = ["a", "b", "c"]


class Fitted:
    """What scorer and baselines ask of a processor."""

    def inputs(self) -> tuple[str, ...]:
        return ("images",)

    def output_spec(self) -> LabelsOutput:
        return LabelsOutput(classes=3)

    def label_thresholds(self) -> list[float]:
        return [0.5, 0.5, 0.4]


def scored(scores: np.ndarray = SCORES) -> MultiLabelScores:
    answers = np.concatenate([scores >= 0.5, np.zeros((len(scores), 1), bool)], axis=1)
    return MultiLabelScores(scores, TRUTH, answers, LABELS, np.full(3, 0.5))


def test_all_figures_are_those_of_scikit_learn() -> None:
    figures, answers = scored().figures(), SCORES >= 0.5
    assert figures == {
        "macro_f1": pytest.approx(f1_score(TRUTH, answers, average="macro")),
        "micro_f1": pytest.approx(f1_score(TRUTH, answers, average="micro")),
        "mean_average_precision": pytest.approx(average_precision_score(TRUTH, SCORES)),
        "subset_accuracy": pytest.approx(accuracy_score(TRUTH, answers)),
    }


def test_resampled_figures_are_those_of_the_drawn_samples() -> None:
    rows = RNG.integers(0, 80, 80)
    weights = np.bincount(rows, minlength=80)[None].astype(float)
    drawn = scored()
    answers = SCORES[rows] >= 0.5
    assert drawn.resampled("macro_f1", weights) == pytest.approx(f1_score(TRUTH[rows], answers, average="macro"))
    assert drawn.resampled("micro_f1", weights) == pytest.approx(f1_score(TRUTH[rows], answers, average="micro"))
    assert drawn.resampled("subset_accuracy", weights) == pytest.approx(accuracy_score(TRUTH[rows], answers))
    expected = average_precision_score(TRUTH[rows], SCORES[rows])
    assert drawn.resampled("mean_average_precision", weights) == pytest.approx(expected)
    with pytest.raises(KeyError):
        drawn.resampled("spam", weights)


def test_a_label_that_no_sample_has_is_in_no_mean_and_said() -> None:
    truth = TRUTH.copy()
    truth[:, 2] = False
    answers = np.concatenate([SCORES >= 0.5, np.zeros((80, 1), bool)], axis=1)
    found = MultiLabelScores(SCORES, truth, answers, LABELS, np.full(3, 0.5))
    assert found.figures()["mean_average_precision"] == pytest.approx(
        average_precision_score(truth[:, :2], SCORES[:, :2])
    )
    assert [part.name for part in found.slices()] == ["a", "b"]
    assert found.document()["per_label"][2]["average_precision"] is None
    assert any("No test sample has c" in line for line in found.card_lines().limits)
    assert np.isnan(average_precision(SCORES[:, 2], truth[:, 2], np.ones((1, 80))))


def test_labels_are_matched_by_name_and_thresholds_are_the_packages(tmp_path: Path) -> None:
    specs = [ArraySpec(name="images", type="uint8", shape=(1,)), ArraySpec(name="labels", type="bool", shape=(3,))]
    samples = [{"images": [i], "labels": row} for i, row in enumerate(TRUTH)]
    split = frozen(tmp_path, specs, samples, LABELS, Fitted(), "multi-label-image-classification")
    own = ["spam", "c", "a"]

    def network(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        row = feed["images"][:, 0]
        found = np.stack([np.full(len(row), 0.1), SCORES[row, 2], SCORES[row, 0]], axis=1).astype(np.float32)
        found[row == 5] = np.nan
        found[row == 6, 0] = 0.9
        return {"probabilities": found}

    package = Answers(network, own, **{name: getattr(Fitted(), name) for name in ("inputs", "label_thresholds")})
    found = SCORER.score(package, split, quiet)
    assert (found.not_finite, found.samples) == (1, 80)
    assert found.scores[7].tolist() == [SCORES[7, 0], 0, SCORES[7, 2]]
    assert np.array_equal(found.thresholds, [0.4, np.nan, 0.5], equal_nan=True)
    assert found.answers[:, 3].nonzero()[0].tolist() == [5, 6]
    stored(tmp_path / "train", specs, samples)
    known = baselines.of(split)
    assert len(known) == 3
    everything = known[1].figures
    assert everything["micro_f1"] == pytest.approx(f1_score(TRUTH, np.ones_like(TRUTH), average="micro"))
    assert everything["mean_average_precision"] == pytest.approx(TRUTH.mean(axis=0).mean())
    comparison = baselines.compare(found.figures(), known, split)
    assert comparison is not None
    assert comparison.metric == next(iter(find("multi-label-image-classification").metrics))


@pytest.mark.slow
def test_a_better_model_is_told_from_an_equal_one() -> None:
    better, worse = scored(), scored(np.where(RNG.random((80, 3)) < 0.3, 1 - SCORES, SCORES).astype(np.float32))
    for metric in ("macro_f1", "mean_average_precision"):
        assert compare(better, worse, metric, min_effect=0.0, confidence=0.95).passed
        assert not compare(better, better, metric, min_effect=0.0, confidence=0.95).passed
        assert not compare(worse, better, metric, min_effect=0.0, confidence=0.95).passed
    gains = paired_bootstrap.gains(better, worse, "micro_f1", resamples=50)
    assert gains.mean() == pytest.approx(better.figures()["micro_f1"] - worse.figures()["micro_f1"], abs=0.1)


@pytest.mark.slow
def test_pictures_and_a_card(tmp_path: Path) -> None:
    scored().draw(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"labels.png", "precision_recall.png"}
    lines = scored().card_lines()
    assert lines.results[0].startswith("| label | precision")
    assert any(line.startswith("- Weakest label") for line in lines.limits)
