import numpy as np
import pytest

from components.evaluation.calibration import expected_calibration_error, reliability, uncalibrated, uncalibrated_scores
from components.evaluation.classification import ClassificationScores
from components.evaluation.multi_label import MultiLabelScores


def _two_classes(confidences: list[float]) -> np.ndarray:
    return np.array([[value, 1 - value] for value in confidences], np.float32)


def test_by_hand() -> None:
    """Two bins: (0, 0.5] is empty; in (0.5, 1] confidence is 0.75 on average and half of the answers are right."""
    bins = reliability(_two_classes([0.6, 0.9, 0.7, 0.8]), np.array([0, 1, 1, 0]), bins=2)
    assert [part.samples for part in bins] == [0, 4]
    assert bins[1].confidence == pytest.approx(0.75)
    assert bins[1].accuracy == 0.5
    assert expected_calibration_error(bins) == pytest.approx(0.25)


def test_agrees_with_the_definition_bin_by_bin() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(500, 4)) * 2
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    truth = rng.integers(0, 4, 500)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    expected = 0.0
    for place in range(15):
        inside = (confidence > place / 15) & (confidence <= (place + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].astype(np.float64).mean())
    assert expected_calibration_error(reliability(probabilities, truth)) == pytest.approx(expected, abs=1e-9)


def test_as_sure_as_right_is_zero_and_the_edges_have_their_bin() -> None:
    bins = reliability(_two_classes([1.0, 1.0]), np.array([0, 0]))
    assert bins[-1].samples == 2
    assert expected_calibration_error(bins) == 0.0
    assert sum(part.samples for part in reliability(_two_classes([0.5, 2 / 3, 1.0]), np.array([0, 0, 0]))) == 3


def test_the_probabilities_before_the_temperature_come_back() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4)) * 3

    def softmax(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(values) / np.exp(values).sum(axis=1, keepdims=True))

    scaled = softmax(logits / 2.5).astype(np.float32)
    padded = np.concatenate([scaled, np.zeros((50, 1), np.float32)], axis=1)  # no other classes
    np.testing.assert_allclose(uncalibrated(padded, 2.5)[:, :4], softmax(logits), atol=1e-5)
    sigmoid = (1 / (1 + np.exp(-logits / 2.5))).astype(np.float32)
    np.testing.assert_allclose(uncalibrated_scores(sigmoid, 2.5), 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_scores_show_the_calibration_of_their_package() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(3000, 3)) * 2
    truth = (logits / 2 + rng.gumbel(size=logits.shape)).argmax(axis=1)  # too sure by a factor of two
    scaled = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
    probabilities = np.concatenate([scaled, np.zeros((3000, 1))], axis=1).astype(np.float32)
    classes = ["a", "b", "c"]
    scored = ClassificationScores(probabilities, truth, scaled.argmax(axis=1), classes, temperature=2.0)
    table = scored.document()["calibration"]
    assert table["ece"] == scored.figures()["ece"] < 0.03 < 0.1 < table["ece_before"]
    assert table["nll"] < table["nll_before"]
    assert any("divided by 2.000" in line for line in scored.card_lines().results)
    labels = rng.random((3000, 3)) < 1 / (1 + np.exp(-logits / 2))
    own = MultiLabelScores(
        (1 / (1 + np.exp(-logits / 2))).astype(np.float32), labels, np.zeros((3000, 4), np.bool_), classes,
        np.full(3, 0.5), temperature=2.0,
    )  # fmt: skip
    assert own.document()["calibration"]["ece"] < 0.03 < own.document()["calibration"]["ece_before"]
