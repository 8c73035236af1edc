"""The training loop, for any network and objective."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.contracts.loop_spec import PlateauSpec
from components.contracts.train_spec import TrainSpec
from components.core.errors import Interrupted
from components.preprocessing.stored import StoredSplit
from components.training.accumulation import accumulate, parts
from components.training.batches import Batch, Epoch, derive_seed, epoch_batches, on_device, steps_per_epoch
from components.training.objectives.objective import Forward, Objective, StepResult, selection
from components.training.optimizer import set_learning_rate
from components.training.precision import Precision
from components.training.prefetch import batches, choose_prefetch
from components.training.profiling import EVALUATION, LoopProfile, NoProfile
from components.training.ranks import ALONE, Ranks
from components.training.replication import align_buffers, without_gradients
from components.training.report import ProgressReporter, not_finite
from components.training.sampling import balanced_order
from components.training.saver import Saver
from components.training.schedule import plateau_factor, step_rate
from components.training.state import EpochTotals, State
from components.training.transfer import Transfer

EVALUATION_BATCH = 256


class TrainingContext(NamedTuple):
    """What does not change during a training.

    Args:
        sizes, validation_sizes: sizes of the samples for batching (`batches.sample_sizes`), or None.
        forward: the network itself, or its compiled form.
        transfer: which weights are trained in which epoch.
        saver: writes checkpoints of the state.
        stopping: whether the training should stop.
        classes: (samples,) the class of each training sample, if epochs are balanced over the classes.
        profile: times the parts of the steps.
        ranks: the processes of the training.
    """

    spec: TrainSpec
    train: StoredSplit
    validation: StoredSplit
    sizes: NDArray[np.int64] | None
    validation_sizes: NDArray[np.int64] | None
    objective: Objective
    forward: Forward
    precision: Precision
    transfer: Transfer
    saver: Saver
    stopping: Callable[[], bool]
    classes: NDArray[np.int64] | None = None
    profile: LoopProfile = NoProfile()
    ranks: Ranks = ALONE

    def epoch_batches(self, epoch: int) -> Epoch:
        """The batches of an epoch, counted from 0."""
        spec = self.spec
        order = None if self.classes is None else balanced_order(self.classes, spec.seed, epoch)
        return epoch_batches(len(self.train), spec.batch_size, spec.seed, epoch, self.sizes, order, spec.processes)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return steps_per_epoch(len(self.train), self.spec.batch_size, self.spec.processes)

    @property
    def total_steps(self) -> int:
        """Number of batches in the whole training."""
        return self.spec.epochs * self.steps_per_epoch


def fit(state: State, setting: TrainingContext, report: ProgressReporter) -> Literal["epochs", "early_stopping"]:
    """Train from `state` on until all epochs are done or early stopping applies.

    Raises:
        Interrupted: the training was stopped; the checkpoint is written.
        TrainingError: a loss is not finite, or a checkpoint cannot be written.
    """
    spec, chosen = setting.spec, selection(setting.objective)
    while state.epoch < spec.epochs:
        validated = [row[f"validation/{chosen.metric}"] for row in state.history]
        if out_of_patience(spec, validated, higher_is_better=chosen.higher_is_better):
            return "early_stopping"
        train_epoch(state, setting, report)
        averaged = nullcontext() if state.average is None else state.average.applied()
        with setting.profile.section(EVALUATION), averaged:
            _finish_epoch(state, setting, report)
        setting.saver.after_epoch()
    return "epochs"


def out_of_patience(spec: TrainSpec, values: list[float], *, higher_is_better: bool) -> bool:
    """Whether the validation metric has not improved by `min_delta` for `patience_epochs`."""
    rule = spec.early_stopping
    if rule is None:
        return False
    best, waited = -math.inf, 0
    for value in values:
        gain = value if higher_is_better else -value
        if gain > best + rule.min_delta:
            best, waited = gain, 0
        else:
            waited += 1
    return waited >= rule.patience_epochs


def train_epoch(state: State, setting: TrainingContext, report: ProgressReporter) -> None:
    """Train on the remaining batches of an epoch.

    Raises:
        Interrupted: the training was stopped; the checkpoint is written.
        TrainingError: a loss is not finite, or a checkpoint cannot be written.
    """
    spec, device = setting.spec, setting.precision.device
    epoch = setting.epoch_batches(state.epoch)
    generator = torch.Generator()
    total_steps = setting.total_steps
    first = state.step - state.batch

    def prepare(number: int) -> Batch:
        with setting.profile.section("data"):
            batch = on_device(setting.train.batch(setting.ranks.share(epoch.batch(number))), device)
        with setting.profile.section("augmentation"):
            return augmented(batch, setting, first + number)

    numbers = range(state.batch, len(epoch))
    prepared = batches(prepare, numbers, device, prefetch=choose_prefetch(spec.prefetch, device))
    begin = time.monotonic()
    before = state.seconds
    reduction = _reduction(state, setting)
    setting.transfer.begin_epoch(state.network, state.epoch)
    for number, batch in zip(numbers, setting.profile.received(prepared), strict=True):
        generator.manual_seed(derive_seed(spec.seed, "step", state.step))
        rate = reduction * step_rate(spec, state.step, total_steps)
        smallest = len(epoch.batch(number)) // setting.ranks.size
        step = train_step(state, setting, batch, generator, rate, smallest)
        if state.average is not None:
            state.average.update()
        setting.profile.step()
        state.batch += 1
        state.step += 1
        report.batch(step, len(epoch.batch(number)), rate)
        now = time.monotonic()
        state.seconds = before + now - begin
        if setting.stopping():
            report.flush()
            setting.saver.save()
            raise Interrupted("training stopped", where=f"epoch {state.epoch + 1}, step {state.step}")
        if setting.saver.due_within_epoch(now) and state.batch < len(epoch):
            report.flush()
            setting.saver.save()
    report.flush()


def augmented(batch: Batch, setting: TrainingContext, step: int) -> Batch:
    """The batch of a step with the augmentation of the spec, if there is any; a function of the seed and the step."""
    spec = setting.spec
    if not spec.augment.active:
        return batch
    generator = torch.Generator().manual_seed(derive_seed(spec.seed, "augment", step))
    return setting.objective.augment(batch, spec.augment, generator)


def train_step(
    state: State,
    setting: TrainingContext,
    batch: Batch,
    generator: torch.Generator,
    rate: float,
    smallest: int | None = None,
) -> StepResult:
    """One optimizer step on a batch; returns its results without gradients.

    Args:
        smallest: as of `accumulation.parts`.
    """
    spec, optimizer, scaler = setting.spec, state.optimizer, state.scaler
    optimizer.zero_grad()
    if spec.accumulation_steps > 1:
        steps = (_forward(setting, part, generator) for part in parts(batch, spec.accumulation_steps, smallest))
        with setting.profile.section("backward"):
            step = accumulate(steps, scaler, state.network.parameters())
    else:
        step = _forward(setting, batch, generator)
        with setting.profile.section("backward"):
            scaler.scale(step.loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    with setting.profile.section("optimizer"):
        if spec.clip_norm is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(state.network.parameters(), spec.clip_norm)
        elif spec.clip_value is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_value_(state.network.parameters(), spec.clip_value)
        set_learning_rate(optimizer, rate)
        scaler.step(optimizer)  # skipped if a scaled gradient overflowed
        scaler.update()
    return StepResult(step.loss.detach(), step.score_sum.detach(), step.count)


def _forward(setting: TrainingContext, batch: Batch, generator: torch.Generator) -> StepResult:
    """The loss of a batch, with a gradient."""
    with setting.profile.section("forward"), setting.precision.autocast():
        return setting.objective.step(setting.forward, batch, generator, training=True)


def _reduction(state: State, setting: TrainingContext) -> float:
    """The factor of the learning rate in the present epoch under `schedule: plateau`; 1 for other schedules."""
    if setting.spec.schedule != "plateau":
        return 1.0
    chosen = selection(setting.objective)
    values = [row[f"validation/{chosen.metric}"] for row in state.history]
    plateau = setting.spec.plateau or PlateauSpec()
    return plateau_factor(plateau, values, higher_is_better=chosen.higher_is_better)


def _finish_epoch(state: State, setting: TrainingContext, report: ProgressReporter) -> None:
    """Evaluate, record the figures of the epoch, keep its weights if they are the best so far."""
    spec, totals, objective = setting.spec, state.totals, setting.objective
    chosen = selection(objective)
    loss, score, sums = evaluate(state, setting, setting.validation, setting.validation_sizes)
    if not math.isfinite(loss):
        raise not_finite("the validation loss", state.step, loss)
    values = {
        f"train/{objective.metric}": totals.score_sum / max(totals.count, 1),
        f"validation/{objective.metric}": score,
        "train/loss": totals.loss_sum / max(totals.count, 1),
        "validation/loss": loss,
        "learning_rate": _reduction(state, setting) * step_rate(spec, state.step - 1, setting.total_steps),
    }
    if chosen.figure is not None:
        values[f"validation/{chosen.metric}"] = chosen.figure(
            state.network, setting.validation, setting.precision.device
        )
    elif chosen.combine is not None:
        values[f"validation/{chosen.metric}"] = chosen.combine(sums)
    state.history.append({"epoch": float(state.epoch + 1), **values})
    state.epoch, state.batch, state.totals = state.epoch + 1, 0, EpochTotals()
    figure = values[f"validation/{chosen.metric}"]
    rank = (figure if chosen.higher_is_better else -figure, -loss)
    if spec.keep == "last" or state.best is None or rank > state.best:
        state.best = rank
        state.keep()
    report.epoch(values)


def evaluate(
    state: State, setting: TrainingContext, split: StoredSplit, sizes: NDArray[np.int64] | None = None
) -> tuple[float, float, list[float]]:
    """Mean loss and metric on a whole split, without augmentation, and the sums of `StepResult.sums`.

    Args:
        sizes: as of `batches.sample_sizes`; samples of similar lengths are then evaluated together.
    """
    state.network.eval()
    align_buffers(state.network, setting.ranks)
    device = setting.precision.device
    order = np.arange(len(split)) if sizes is None else np.lexsort(sizes.T[::-1])
    size = min(EVALUATION_BATCH, 2 * setting.spec.batch_size)
    sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss, score, count
    further: list[Tensor] = []
    further_arrays = selection(setting.objective).arrays
    generator = torch.Generator()
    with without_gradients(state.network), setting.precision.autocast():
        for begin, weight in setting.ranks.turns(range(0, len(split), size)):
            generator.manual_seed(derive_seed(setting.spec.seed, "validation", begin))
            index = order[begin : begin + size]
            arrays = split.batch(index) | (split.batch(index, further_arrays) if further_arrays else {})
            batch = on_device(arrays, device)
            step = setting.objective.step(setting.forward, batch, generator, training=False)
            found = torch.stack([step.loss.double() * step.count, step.score_sum.double(), step.count.double()])
            sums += found * weight
            if step.sums is not None:
                further.append(step.sums.double() * weight)
    loss_sum, score_sum, count = setting.ranks.total(sums).tolist()
    totals: list[float] = setting.ranks.total(torch.stack(further).sum(dim=0)).tolist() if further else []
    return loss_sum / max(count, 1.0), score_sum / max(count, 1.0), totals
