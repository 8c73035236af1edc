"""The training settings of a pipeline."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.contracts.augment_spec import AugmentSpec as AugmentSpec
from components.contracts.loop_spec import EmaSpec, KeepMetric, Optimizer, PlateauSpec, Schedule, conflicts, optional
from components.core.strict import Strict


class EarlyStoppingSpec(Strict):
    """Stop when the validation metric has not improved by `min_delta` for `patience_epochs`."""

    patience_epochs: int = Field(ge=1)
    min_delta: float = Field(default=0.0, ge=0)


class TrainSpec(Strict):
    """Settings of the training loop.

    Args:
        batch_size: samples of an optimizer step.
        accumulation_steps: number of parts that each batch is computed in, one after another, in less memory. The
            gradients of the parts are added up, so that the step is that of the whole batch; only batch normalisation
            and losses that are no mean over samples or tokens (Dice) see the parts.
        optimizer: `muon` updates the matrices of the hidden layers by torch's Muon (Jordan et al. 2024; the update has
            the size of AdamW's, Liu et al. 2025, arXiv:2502.16982) and all other weights by AdamW. `lion` moves every
            weight by the sign of its momentum (Chen et al. 2023, arXiv:2302.06675): a third to a tenth of AdamW's rate.
        learning_rate: peak learning rate.
        weight_decay: of matrices and kernels; biases, normalisations and tables of positions have none.
        weight_decay_by_name: weight decay by regular expression, searched in the names of the weights; the first one
            that matches a name replaces `weight_decay` for it.
        momentum: of SGD and Muon.
        betas, eps: of AdamW; betas of Lion.
        schedule: `constant`; `cosine` to zero; `onecycle` (Smith, arXiv:1708.07120); `step` divides by ten after
            half and after three quarters of the epochs; `wsd` (warm-up, stable, decay: Hu et al., arXiv:2404.06395)
            falls in the last `decay_ratio` of the steps; `plateau` falls when validation does not improve. The rate
            changes after every batch, that of `plateau` after an epoch.
        warmup_steps, warmup_ratio: optimizer steps, or their share of all, in which the rate rises linearly to its
            peak before the schedule begins; with `onecycle`, the length of its own rise (by default 0.3).
        clip_norm: largest L2 norm of all gradients together, or null.
        clip_value: largest absolute value of each gradient, or null.
        ema: exponential moving average of the weights, which is then evaluated and kept; null: none.
        precision: `auto` is bf16 on a GPU that supports it, else fp32; fp16 uses gradient scaling.
        compile: `auto` compiles only on a GPU, and only if the training is long enough to gain from it.
        gradient_checkpointing: keep only the inputs of the network's blocks, and compute the blocks again in the
            backward pass: less memory, about a third more time, the same training.
        prefetch: prepare batches in a thread beside the training, to the same training; `auto`: on a GPU, or on a CPU
            with a core that the training does not use.
        keep: which weights go into the package: of the `best` validation epoch or of the `last` epoch.
        keep_metric: the figure of the validation that decides which epoch is the best, when `early_stopping` applies
            and what `plateau` follows; null: the one that the task is judged by.
        class_weights: `balanced` gives each class the same total weight in the loss of a classification; or weights by
            name of the class, 1 for a class that is not named.
        sampling: `balanced` draws as many samples of each class in an epoch, those of rare classes several times.
        forecast_loss: `pinball` for every quantile of a forecast; `mse` uses the squared error for the quantile 0.5,
            the point forecast, instead.
        samples: number of samples of the train split that are learnt: the first of a seeded order that keeps the
            shares of the classes, whole groups if the data has groups, the most recent windows of a forecast. A smaller
            number is part of a larger one. Null: all.
        calibrate: `auto` divides the logits of a classifier by one temperature, fitted on the validation split, where
            that makes its probabilities better there (`components.training.calibration`); `none` leaves them.
        threads: number of CPU threads, or null for all cores of the machine; shared out among the processes.
        processes: processes that train together, each with a GPU of its own or its share of the cores; each computes
            its share of every batch, so that `batch_size` samples make a step whatever their number.
        sharding: `fsdp2` splits every weight and its optimizer state over the processes, for a network that does not
            fit one; `none` gives each process all of them.
    """

    epochs: int = Field(default=10, ge=1, le=100_000)
    batch_size: int = Field(default=64, ge=1, le=1_048_576)
    accumulation_steps: int = optional(1, ge=1, le=65_536)
    optimizer: Optimizer = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    weight_decay_by_name: dict[str, Annotated[float, Field(ge=0, le=1)]] = optional({})
    momentum: float = Field(default=0.9, ge=0, lt=1)
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = optional([0.9, 0.999], min_length=2, max_length=2)
    eps: float = optional(1e-8, gt=0, le=1)
    schedule: Schedule = "onecycle"
    warmup_steps: int = optional(0, ge=0)
    warmup_ratio: float = optional(0.0, ge=0, le=1)
    decay_ratio: float = optional(0.1, gt=0, le=1)
    plateau: PlateauSpec | None = optional(None)
    clip_norm: float | None = Field(default=None, gt=0)
    clip_value: float | None = optional(None, gt=0)
    ema: EmaSpec | None = optional(None)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    gradient_checkpointing: bool = optional(False)
    prefetch: Literal["auto", "always", "never"] = optional("auto")
    early_stopping: EarlyStoppingSpec | None = None
    keep: Literal["best", "last"] = "best"
    keep_metric: KeepMetric | None = optional(None)
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = "none"
    sampling: Literal["shuffled", "balanced"] = optional("shuffled")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    forecast_loss: Literal["pinball", "mse"] = "pinball"
    augment: AugmentSpec = AugmentSpec()
    samples: int | None = Field(default=None, ge=2, exclude_if=lambda samples: samples is None)
    calibrate: Literal["auto", "none"] = Field(default="auto", exclude_if=lambda choice: choice == "auto")
    seed: int = Field(default=0, ge=0, lt=2**32)
    deterministic: bool = True
    threads: int | None = Field(default=None, ge=1)
    processes: int = Field(default=1, ge=1, le=1024, exclude_if=lambda processes: processes == 1)
    sharding: Literal["none", "fsdp2"] = Field(default="none", exclude_if=lambda sharding: sharding == "none")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if found := conflicts(self):
            raise ValueError("; ".join(found))
        if self.processes > self.batch_size:
            raise ValueError(
                f"{self.processes} processes cannot share a batch_size of {self.batch_size}; lower processes"
            )
        if self.sharding != "none" and self.processes == 1:
            raise ValueError("sharding needs several processes; set processes, or leave sharding out")
        if self.sharding != "none" and self.precision == "fp16":
            raise ValueError("sharding does not go with precision: fp16; use bf16, which needs no gradient scaling")
        if self.sharding != "none" and self.optimizer == "muon":
            raise ValueError("sharding does not go with optimizer: muon, which needs whole matrices; use adamw")
        if self.sharding != "none" and self.optimizer == "lion":
            raise ValueError("sharding does not go with optimizer: lion, which is not tested so; use adamw")
        if self.sharding != "none" and self.ema is not None:
            raise ValueError("sharding does not go with ema; leave one of them out")
        return self
