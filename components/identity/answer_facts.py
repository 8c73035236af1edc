"""What a package's answers are made with: the chosen thresholds, and the quantiles of conformal prediction."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.core.strict import Strict


class DecisionFacts(Strict):
    """What was chosen.

    Args:
        thresholds: by class: of two classes of the positive one, of labels of each.
        optimise: the figure by which they were chosen; null: the pipeline states them.
        figure, default_figure: this figure on the validation split, and with the likeliest class or thresholds of 0.5.
        reject_below: where no class has this probability, the answer is marked as rejected.
    """

    thresholds: dict[str, float] = Field(default_factory=dict)
    optimise: str | None = None
    figure: float | None = None
    default_figure: float | None = None
    reject_below: float | None = None


class ConformalFacts(Strict):
    """What an answer's set or interval is made of.

    Args:
        method: as of `contracts.decision_spec.ConformalSpec`, never `auto`.
        quantiles: of the scores of the validation split: one for classes and numbers, for forecasts one for each step
            ahead and channel (H, C); in the units of the answer.
        samples: of the validation split.
        test_coverage, test_size: share of the truths of the test split within, and the mean number of classes in a set
            or the mean width of an interval.
    """

    method: Literal["lac", "aps", "absolute", "cqr"]
    coverage: float
    quantiles: list[list[float]]
    samples: int
    test_coverage: float | None = None
    test_size: float | None = None
