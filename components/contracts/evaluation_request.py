"""The request of the evaluation stage: that of the training, and what only the package depends on."""

from __future__ import annotations

from typing import Literal

from components.contracts.decision_spec import ConformalSpec, DecisionSpec
from components.contracts.training_request import TrainRequest


class EvaluationRequest(TrainRequest):
    """Request file of `python -m components.evaluation REQUEST.json`.

    Args:
        quantize, quantize_max_loss, conformal: as of `ServingOptions`.
        decision: as of `PipelineSpec`.
    """

    quantize: Literal["none", "int8"] = "none"
    quantize_max_loss: float = 0.005
    decision: DecisionSpec | None = None
    conformal: ConformalSpec | None = None
