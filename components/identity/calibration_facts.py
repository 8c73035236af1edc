"""What temperature scaling came to: facts of a trained model and of its package."""

from __future__ import annotations

from components.core.strict import Strict


class CalibrationFacts(Strict):
    """Temperature scaling (Guo et al. 2017, arXiv:1706.04599) of the logits, fitted on the validation split.

    The figures after calibration are cross-fitted: each fold is judged at the temperature of the other folds.

    Args:
        kept: whether the graphs divide the logits by the temperature.
        reason: why, or why not.
        temperature: by which the logits are divided; 1 if it is not kept.
        samples: number of decisions of the validation split: samples, tokens with a tag, or samples times labels.
        nll_before, nll_after: negative log likelihood in nats, the mean over the decisions.
        ece_before, ece_after: expected calibration error in 15 bins.
    """

    kept: bool
    reason: str
    temperature: float = 1.0
    samples: int = 0
    nll_before: float | None = None
    nll_after: float | None = None
    ece_before: float | None = None
    ece_after: float | None = None
