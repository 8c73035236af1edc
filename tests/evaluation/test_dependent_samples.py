"""Samples that overlap or belong to groups are not taken for independent ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.comparison import quality
from components.contracts.dataset_layout import WindowsLayout
from components.core.errors import CorruptArtifactError
from components.evaluation import paired_bootstrap, paired_proportions, test_split
from components.evaluation.classification import ClassificationScores
from components.evaluation.comparison import compare

GROUPS, SIZE = 30, 20
CLUSTERS = np.repeat(np.arange(GROUPS), SIZE)


def scores(correct: np.ndarray, overlap: int = 1, clusters: np.ndarray | None = None) -> ClassificationScores:
    """Of two classes; every sample is of the first."""
    truth = np.zeros(len(correct), np.int64)
    answers = np.where(correct, 0, 1)
    probabilities = np.eye(3, dtype=np.float32)[answers]
    return ClassificationScores(probabilities, truth, answers, ["a", "b"], 0, overlap, clusters)


def errors(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two models that are exactly as good; their errors are of whole groups, or of runs."""
    rng = np.random.default_rng(seed)
    one, other = (np.repeat(rng.random(GROUPS) < 0.7, SIZE) for _ in range(2))
    return one, other


@pytest.mark.parametrize("grouped", [True, False])
def test_a_candidate_that_is_no_better_passes_as_seldom_as_stated(grouped: bool) -> None:
    """Taken for independent, one in three passes."""
    passed, taken_for_independent, count = 0, 0, 60
    for seed in range(count):
        one, other = errors(seed)
        b, c = int((one & ~other).sum()), int((other & ~one).sum())
        taken_for_independent += paired_proportions.score_interval(b, c, len(one), 0.95).lower > 0
        pair = [scores(correct, 1 if grouped else SIZE, CLUSTERS if grouped else None) for correct in (one, other)]
        passed += paired_bootstrap.interval(*pair, "accuracy", 0.95, resamples=400).lower > 0
    assert taken_for_independent > 0.2 * count
    assert passed <= 0.05 * count + 4  # and two standard deviations


def test_a_true_gain_passes_and_no_p_value_is_given() -> None:
    rng = np.random.default_rng(0)
    champion = rng.random(GROUPS * SIZE) < 0.6
    candidate = champion | (rng.random(GROUPS * SIZE) < 0.4)
    found = compare(
        scores(candidate, 1, CLUSTERS), scores(champion, 1, CLUSTERS), "accuracy", min_effect=0.0, confidence=0.95
    )
    assert found.passed
    assert found.p_value is None
    assert 0 < found.lower < found.gain < found.upper
    macro = compare(
        scores(candidate, 1, CLUSTERS), scores(champion, 1, CLUSTERS), "macro_f1", min_effect=0.0, confidence=0.95
    )
    assert macro.lower < macro.gain < macro.upper


def test_intervals_and_the_card_know_of_groups() -> None:
    correct = np.repeat(np.random.default_rng(1).random(GROUPS) < 0.7, SIZE)
    alone, grouped, runs = scores(correct), scores(correct, 1, CLUSTERS), scores(correct, SIZE)
    widths = [
        found.upper - found.lower for found in (quality.quality(one, "accuracy") for one in (alone, grouped, runs))
    ]
    assert widths[1] > 3 * widths[0]
    assert widths[2] > 3 * widths[0]
    assert quality.method(alone, "accuracy") == "Wilson's score interval"
    assert quality.method(grouped, "accuracy") == "bootstrap of 30 groups of test samples (2,000 resamples, seeded)"
    assert "as good as 30 independent ones" in grouped.card_lines().limits[1]
    assert grouped.margin > 3 * alone.margin


def test_groups_are_read_with_the_split(tmp_path: Path) -> None:
    assert test_split._clusters(tmp_path, 4) is None
    np.save(tmp_path / "clusters.npy", np.array([0, 0, 1, 2]))
    found = test_split._clusters(tmp_path, 4)
    assert found is not None
    assert found.tolist() == [0, 0, 1, 2]
    with pytest.raises(CorruptArtifactError, match="not those of the test split"):
        test_split._clusters(tmp_path, 5)
    np.save(tmp_path / "clusters.npy", np.arange(4))
    assert test_split._clusters(tmp_path, 4) is None  # each sample by itself


def test_windows_say_how_many_neighbours_share_rows() -> None:
    layout = WindowsLayout.model_validate(
        {"kind": "windows", "file": "x", "values": ["a"], "rising": "a", "look_back": 100, "horizon": 12, "stride": 2,
         "rows": {"train": 500, "validation": 500, "test": 500}}
    )  # fmt: skip
    assert layout.overlap == 56
