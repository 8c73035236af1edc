"""Settings of the training loop that are off by default: moving averages of the weights, plateaus, sampling."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from components.core.strict import Strict

if TYPE_CHECKING:
    from components.contracts.train_spec import TrainSpec

Optimizer = Literal["adamw", "sgd", "muon", "lion"]
KeepMetric = Literal["accuracy", "bleu", "entity_f1", "loss", "macro_f1", "map_50", "mean_iou", "mse", "wer"]
Schedule = Literal["constant", "cosine", "onecycle", "step", "wsd", "plateau"]


def optional(default: Any, **limits: Any) -> Any:
    """A field that is left out of dumps at its default, so that it changes no fingerprint of a training without it."""
    return Field(default=default, exclude_if=lambda value: value == default, **limits)


class EmaSpec(Strict):
    """An exponential moving average (EMA) of the weights; the averaged weights are evaluated and kept.

    After each optimizer step: average = d average + (1 - d) weights.

    Args:
        decay: d. The average reaches back about 1 / (1 - d) steps.
        warmup: whether step t, counted from 0, uses d = min(decay, (1 + t) / (10 + t)), so that the first weights do
            not stay in the average of a short training (TensorFlow's `ExponentialMovingAverage` with `num_updates`).
    """

    decay: float = Field(default=0.999, ge=0, lt=1)
    warmup: bool = True


class PlateauSpec(Strict):
    """`schedule: plateau`: torch's `ReduceLROnPlateau` on the validation metric that `keep: best` follows.

    Args:
        factor: the learning rate is multiplied by it at a plateau.
        patience_epochs: epochs without improvement before that.
        threshold: smallest relative improvement that counts.
        cooldown_epochs: epochs after a reduction in which none is counted.
        min_rate_ratio: the learning rate never falls below this share of `learning_rate`.
    """

    factor: float = Field(default=0.1, gt=0, lt=1)
    patience_epochs: int = Field(default=10, ge=0)
    threshold: float = Field(default=1e-4, ge=0, lt=1)
    cooldown_epochs: int = Field(default=0, ge=0)
    min_rate_ratio: float = Field(default=0.0, ge=0, lt=1)


def conflicts(spec: TrainSpec) -> list[str]:
    """Settings of a train spec that exclude each other or have no effect beside each other, one sentence each."""
    found = []
    if spec.early_stopping and spec.schedule in ("onecycle", "wsd"):
        found.append(
            f"early_stopping does not go with schedule: {spec.schedule}; use constant, cosine, step or plateau"
        )
    if spec.warmup_steps and spec.warmup_ratio:
        found.append("give warmup_steps or warmup_ratio, not both")
    if spec.clip_norm is not None and spec.clip_value is not None:
        found.append("give clip_norm or clip_value, not both")
    if spec.schedule != "wsd" and "decay_ratio" in spec.model_dump():
        found.append(f"decay_ratio has no effect with schedule: {spec.schedule}; it is of schedule: wsd")
    if spec.schedule == "wsd" and spec.warmup_ratio + spec.decay_ratio > 1:
        found.append("warmup_ratio and decay_ratio are together more than 1")
    if spec.schedule != "plateau" and spec.plateau is not None:
        found.append(f"plateau has no effect with schedule: {spec.schedule}; it is of schedule: plateau")
    if spec.optimizer == "sgd" and {"betas", "eps"} & spec.model_dump().keys():
        found.append("betas and eps have no effect with optimizer: sgd; they are AdamW's")
    if spec.optimizer == "lion" and "betas" not in spec.model_dump():
        found.append("optimizer: lion needs betas, which are others than AdamW's; its paper has betas: [0.9, 0.99]")
    if spec.optimizer == "lion" and "eps" in spec.model_dump():
        found.append("eps has no effect with optimizer: lion; it is AdamW's")
    if spec.optimizer == "lion" and spec.momentum != type(spec).model_fields["momentum"].default:
        found.append("momentum has no effect with optimizer: lion, which has betas")
    if spec.optimizer == "adamw" and spec.momentum != type(spec).model_fields["momentum"].default:
        found.append("momentum has no effect with optimizer: adamw; it is of sgd and muon, and AdamW has betas")
    if spec.keep == "last" and spec.keep_metric and not spec.early_stopping and spec.schedule != "plateau":
        found.append("keep_metric has no effect with keep: last, without early_stopping or schedule: plateau")
    for expression in spec.weight_decay_by_name:
        try:
            re.compile(expression)
        except re.error as error:
            found.append(f"weight_decay_by_name: {expression!r} is not a regular expression: {error}")
    if spec.accumulation_steps > spec.batch_size:
        found.append(
            f"accumulation_steps ({spec.accumulation_steps}) is more than batch_size ({spec.batch_size}): a batch is "
            "computed in that many parts"
        )
    if spec.sampling == "balanced" and spec.class_weights == "balanced":
        found.append("sampling: balanced and class_weights: balanced both make up for rare classes; give one of them")
    return found
