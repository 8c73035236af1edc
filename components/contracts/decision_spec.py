"""`decision:` of a pipeline, and `serving.conformal`: how probabilities become answers.

Both are chosen on the validation split by the evaluation, after the training, so a change of them trains nothing again.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.core.strict import Strict

# By the kind of the network's output; the first is `auto`.
CONFORMAL_METHODS = {"classes": ("lac", "aps"), "value": ("absolute",), "forecast": ("cqr",)}

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class DecisionSpec(Strict):
    """From which probability a class is answered.

    Args:
        threshold: of a task with two classes, from which probability of the class `positive` it is the answer; of a
            multi-label task, from which score a label is answered. `auto`: chosen on the validation split; a number:
            for all; a mapping: by class. Null: the likeliest class, or the thresholds of the dataset.
        optimise: what `auto` makes as high as possible on validation: of two classes the F1 of `positive`, the accuracy
            or the mean of both recalls; of labels, the F1 of each label.
        positive: the class of two that the threshold is for; null: the last in alphabetical order.
        reject_below: of one class for each sample: where no class has this probability, the answer is marked as
            rejected, whichever class a threshold answers. Such answers are counted apart in the evaluation, and still
            count as answers in all other figures.
    """

    threshold: Literal["auto"] | Share | dict[str, Share] | None = None
    optimise: Literal["f1", "accuracy", "balanced_accuracy"] = "f1"
    positive: str | None = None
    reject_below: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _decides(self) -> Self:
        if self.threshold is None and self.reject_below is None:
            raise ValueError("set threshold or reject_below")
        if self.threshold is None and (self.positive is not None or self.optimise != "f1"):
            raise ValueError("positive and optimise go with threshold")
        if self.threshold != "auto" and self.optimise != "f1":
            raise ValueError("optimise goes with threshold: auto")
        return self


class ConformalSpec(Strict):
    """Split conformal prediction: sets of classes, or intervals of numbers, that have the truth with a stated coverage.

    Vovk et al. 2005; Angelopoulos and Bates 2021, arXiv:2107.07511. The coverage is that of samples like those of the
    validation split, on average over all of them; it is not a promise for a single class or region.

    Args:
        coverage: share of the samples whose truth is in the set or interval.
        method: of classes: `lac`, least ambiguous sets (Sadinle et al. 2019, arXiv:1609.00451); `aps`, adaptive sets
            (Romano et al. 2020, arXiv:2006.02544), without its random last class. Of numbers `absolute`, the absolute
            error (Lei et al. 2018, arXiv:1604.04173); of forecasts `cqr`, by quantiles (Romano et al. 2019,
            arXiv:1905.03222). `auto`: lac, absolute or cqr.
    """

    coverage: float = Field(ge=0.5, lt=1)
    method: Literal["auto", "lac", "aps", "absolute", "cqr"] = "auto"

    def rank(self, samples: int) -> int:
        """The rank, from 1, of the score that is the quantile: ceil((n + 1) coverage) for n samples."""
        return math.ceil(round((samples + 1) * self.coverage, 9))

    def min_samples(self) -> int:
        """The smallest validation split that has such a score."""
        return math.ceil(round(self.coverage / (1 - self.coverage), 6))
