"""Labels of the digits flipped on purpose, and which of them `modelyard inspect` names: precision and recall.

python -m benchmarks.wrong_labels
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.datasets import load_digits

from benchmarks import figure
from benchmarks.figure import Figure
from components.inspection import label_issues, predictions

NAME = "wrong_labels"
SHARE = 0.05
SEEDS = range(10)


def measure() -> list[Figure]:
    """Means over the seeds."""
    images, truth = load_digits(return_X_y=True)
    count = round(SHARE * len(truth))
    rows = [_once(images, truth, count, seed) for seed in SEEDS]
    precision, recall, noise = np.mean(rows, axis=0).tolist()
    return [
        Figure(
            NAME, f"{SHARE:.0%} of the labels of digits flipped: named ones that are wrong", precision, at_least=0.8
        ),
        Figure(NAME, "... wrong ones that are named", recall, at_least=0.8),
        Figure(NAME, "... estimated share of wrong labels", noise),
    ]


def _once(images: np.ndarray, truth: np.ndarray, count: int, seed: int) -> tuple[float, float, float]:
    rng = np.random.default_rng(seed)
    flipped = rng.choice(len(truth), count, replace=False)
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + rng.integers(1, 10, count)) % 10
    probabilities = predictions.out_of_fold(images, labels, np.arange(len(labels)), f"seed {seed}")
    found = label_issues.find(probabilities, labels)
    right = int(np.isin(found.rows, flipped).sum())
    return right / max(1, len(found.rows)), right / count, found.noise


if __name__ == "__main__":
    sys.exit(figure.command(measure, figure.parser(__doc__)))
