"""The training settings of a pipeline."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.core.strict import Strict


class AugmentSpec(Strict):
    """Random augmentation of training images, drawn in every epoch; not used in evaluation and serving.

    Args:
        flip: mirror left and right, with probability 1/2.
        flip_vertical: mirror top and bottom, with probability 1/2.
        shift_pixels: shift by up to this many pixels in each direction; the freed border is black.
        rotate_degrees: rotate by up to this angle.
        erase: probability that a rectangle of up to a third of each side is blanked (Zhong et al., arXiv:1708.04896).
    """

    flip: bool = False
    flip_vertical: bool = False
    shift_pixels: int = Field(default=0, ge=0, le=64)
    rotate_degrees: float = Field(default=0.0, ge=0, le=180)
    erase: float = Field(default=0.0, ge=0, le=1)

    @property
    def active(self) -> bool:
        """Whether any augmentation is set."""
        return self != AugmentSpec()


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
        threads: number of CPU threads, or null for all cores of the machine; shared out among the processes.
        processes: processes that train together, each with a GPU of its own or its share of the cores; each computes
            its share of every batch, so that `batch_size` samples make a step whatever their number.
        sharding: `fsdp2` splits every weight and its optimizer state over the processes, for a network that does not
            fit one; `none` gives each process all of them.
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
    seed: int = Field(default=0, ge=0, lt=2**32)
    deterministic: bool = True
    threads: int | None = Field(default=None, ge=1)
    processes: int = Field(default=1, ge=1, le=1024, exclude_if=lambda processes: processes == 1)
    sharding: Literal["none", "fsdp2"] = Field(default="none", exclude_if=lambda sharding: sharding == "none")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.early_stopping and self.schedule == "onecycle":
            raise ValueError("early_stopping does not go with schedule: onecycle; use constant, cosine or step")
        if self.processes > self.batch_size:
            raise ValueError(
                f"{self.processes} processes cannot share a batch_size of {self.batch_size}; lower processes"
            )
        if self.sharding != "none" and self.processes == 1:
            raise ValueError("sharding needs several processes; set processes, or leave sharding out")
        if self.sharding != "none" and self.precision == "fp16":
            raise ValueError("sharding does not go with precision: fp16; use bf16, which needs no gradient scaling")
        return self
