"""The training loop.

Legend: N batch, H height, W width, C channels, K classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.errors import Interrupted
from components.contracts.train_spec import TrainSpec
from components.preprocessing.augmentation import augment
from components.training.batches import Split, derive_seed, epoch_order, steps_per_epoch
from components.training.optimizer import set_learning_rate
from components.training.precision import Precision
from components.training.report import Report, not_finite
from components.training.saver import Saver
from components.training.schedule import learning_rate
from components.training.state import EpochTotals, State

EVALUATION_BATCH = 256

Forward = Callable[[Tensor], Tensor]


class Setting(NamedTuple):
    """What stays the same through a training.

    Args:
        forward: images to logits: the network itself, or its compiled form.
        class_weights: (K,) on the device, or None.
        saver: writes checkpoints of the state.
        stopping: whether someone asked to stop.
    """

    spec: TrainSpec
    train: Split
    validation: Split
    forward: Forward
    precision: Precision
    class_weights: Tensor | None
    saver: Saver
    stopping: Callable[[], bool]

    @property
    def steps_per_epoch(self) -> int:
        """Batches an epoch."""
        return steps_per_epoch(len(self.train), self.spec.batch_size)

    @property
    def total_steps(self) -> int:
        """Batches of the whole training."""
        return self.spec.epochs * self.steps_per_epoch


def fit(state: State, setting: Setting, report: Report) -> Literal["epochs", "early_stopping"]:
    """Train from wherever `state` stands until the epochs are done or patience is.

    Raises:
        Interrupted: someone asked to stop; the checkpoint is written.
        TrainingError: a loss is not finite, or a checkpoint cannot be written.
    """
    spec = setting.spec
    while state.epoch < spec.epochs:
        if out_of_patience(spec, [row["validation/accuracy"] for row in state.history]):
            return "early_stopping"
        train_epoch(state, setting, report)
        _finish_epoch(state, setting, report)
        setting.saver.after_epoch()
    return "epochs"


def out_of_patience(spec: TrainSpec, accuracies: list[float]) -> bool:
    """Whether the validation accuracy has not grown by `min_delta` for `patience_epochs`."""
    rule = spec.early_stopping
    if rule is None:
        return False
    best, waited = -math.inf, 0
    for accuracy in accuracies:
        if accuracy > best + rule.min_delta:
            best, waited = accuracy, 0
        else:
            waited += 1
    return waited >= rule.patience_epochs


def train_epoch(state: State, setting: Setting, report: Report) -> None:
    """The batches of one epoch, or what is left of them.

    Raises:
        Interrupted: someone asked to stop; the checkpoint is written.
        TrainingError: a loss is not finite, or a checkpoint cannot be written.
    """
    spec, device = setting.spec, setting.precision.device
    order = epoch_order(len(setting.train), spec.seed, state.epoch)
    generator = torch.Generator()
    setting_steps, total_steps = setting.steps_per_epoch, setting.total_steps
    begin = time.monotonic()
    before = state.seconds
    state.network.train()
    while state.batch < setting_steps:
        index = order[state.batch * spec.batch_size : (state.batch + 1) * spec.batch_size]
        images, labels = setting.train.batch(index, device)  # uint8 (N, H, W, C), int64 (N,)
        if spec.augment.active:
            generator.manual_seed(derive_seed(spec.seed, "augment", state.step))
            images = augment(images, spec.augment, generator)
        rate = learning_rate(spec.schedule, spec.learning_rate, state.step, total_steps)
        loss, correct = _train_step(state, setting, images, labels, rate)
        state.batch += 1
        state.step += 1
        report.batch(loss, correct, len(index), rate)
        now = time.monotonic()
        state.seconds = before + now - begin
        if setting.stopping():
            report.flush()
            setting.saver.save()
            raise Interrupted("training stopped", where=f"epoch {state.epoch + 1}, step {state.step}")
        if setting.saver.due_within_epoch(now) and state.batch < setting_steps:
            report.flush()
            setting.saver.save()
    report.flush()


def _train_step(state: State, setting: Setting, images: Tensor, labels: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """One step on images (N, H, W, C) and labels (N,); its mean loss () and number of right answers ()."""
    spec, optimizer, scaler = setting.spec, state.optimizer, state.scaler
    optimizer.zero_grad()
    with setting.precision.autocast():
        logits = setting.forward(images)  # (N, K)
        loss = functional.cross_entropy(
            logits.float(), labels, weight=setting.class_weights, label_smoothing=spec.label_smoothing
        )
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    if spec.clip_norm is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(state.network.parameters(), spec.clip_norm)
    set_learning_rate(optimizer, rate)
    scaler.step(optimizer)  # left out where a scaled gradient overflowed
    scaler.update()
    return loss.detach(), (logits.detach().argmax(dim=1) == labels).sum()


def _finish_epoch(state: State, setting: Setting, report: Report) -> None:
    """Evaluate, note the epoch's figures, keep its weights if they are the best so far."""
    spec, totals = setting.spec, state.totals
    loss, accuracy = evaluate(state, setting, setting.validation)
    if not math.isfinite(loss):
        raise not_finite("the validation loss", state.step, loss)
    values = {
        "train/loss": totals.loss_sum / totals.samples,
        "train/accuracy": totals.correct / totals.samples,
        "validation/loss": loss,
        "validation/accuracy": accuracy,
        "learning_rate": learning_rate(spec.schedule, spec.learning_rate, state.step - 1, setting.total_steps),
    }
    state.history.append({"epoch": float(state.epoch + 1), **values})
    state.epoch, state.batch, state.totals = state.epoch + 1, 0, EpochTotals()
    if spec.keep == "last" or (accuracy, -loss) > state.best:
        state.best = (accuracy, -loss)
        state.keep()
    report.epoch(values)


def evaluate(state: State, setting: Setting, split: Split) -> tuple[float, float]:
    """Mean negative log likelihood (nats) and accuracy on a whole split, without augmentation."""
    state.network.eval()
    loss_sum = torch.zeros((), dtype=torch.float64, device=setting.precision.device)
    correct = torch.zeros((), dtype=torch.int64, device=setting.precision.device)
    with torch.inference_mode(), setting.precision.autocast():
        for begin in range(0, len(split), EVALUATION_BATCH):
            index = np.arange(begin, min(begin + EVALUATION_BATCH, len(split)))
            images, labels = split.batch(index, setting.precision.device)
            logits = setting.forward(images).float()  # (N, K)
            loss_sum += functional.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(dim=1) == labels).sum()
    return float(loss_sum) / len(split), int(correct) / len(split)
