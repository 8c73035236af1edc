"""The training settings of a pipeline."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.contracts.augment_spec import AugmentSpec as AugmentSpec
from components.core.strict import Strict


class EarlyStoppingSpec(Strict):
    """Stop when the validation metric has not improved by `min_delta` for `patience_epochs`."""

    patience_epochs: int = Field(ge=1)
    min_delta: float = Field(default=0.0, ge=0)


class TrainSpec(Strict):
    """Settings of the training loop.

    Args:
        learning_rate: peak learning rate.
        schedule: `constant`; `cosine` to zero; `onecycle` (Smith, arXiv:1708.07120); `step` divides by ten after
            half and after three quarters of the epochs. The rate changes after every batch.
        clip_norm: largest L2 norm of all gradients together, or null.
        precision: `auto` is bf16 on a GPU that supports it, else fp32; fp16 uses gradient scaling.
        compile: `auto` compiles only on a GPU, and only if the training is long enough to gain from it.
        keep: which weights go into the package: of the `best` validation epoch or of the `last` epoch.
        class_weights: `balanced` gives each class the same total weight in the loss of a classification.
        forecast_loss: `pinball` for every quantile of a forecast; `mse` uses the squared error for the quantile 0.5,
            the point forecast, instead.
        samples: number of samples of the train split that are learnt: the first of a seeded order that keeps the
            shares of the classes, whole groups if the data has groups, the most recent windows of a forecast. A smaller
            number is part of a larger one. Null: all.
        calibrate: `auto` divides the logits of a classifier by one temperature, fitted on the validation split, where
            that makes its probabilities better there (`components.training.calibration`); `none` leaves them.
        threads: number of CPU threads, or null for all cores of the machine.
    """

    epochs: int = Field(default=10, ge=1, le=100_000)
    batch_size: int = Field(default=64, ge=1, le=1_048_576)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Literal["constant", "cosine", "onecycle", "step"] = "onecycle"
    clip_norm: float | None = Field(default=None, gt=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    early_stopping: EarlyStoppingSpec | None = None
    keep: Literal["best", "last"] = "best"
    class_weights: Literal["none", "balanced"] = "none"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    forecast_loss: Literal["pinball", "mse"] = "pinball"
    augment: AugmentSpec = AugmentSpec()
    samples: int | None = Field(default=None, ge=2, exclude_if=lambda samples: samples is None)
    calibrate: Literal["auto", "none"] = Field(default="auto", exclude_if=lambda choice: choice == "auto")
    seed: int = Field(default=0, ge=0, lt=2**32)
    deterministic: bool = True
    threads: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.early_stopping and self.schedule == "onecycle":
            raise ValueError("early_stopping does not go with schedule: onecycle; use constant, cosine or step")
        return self
