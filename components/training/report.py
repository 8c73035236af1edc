"""What the loop tells its listeners: a progress event a few times a second, metrics once a second and once an epoch.

Losses stay on the device, one small tensor a batch, and are read together at each report: a GPU is not made to wait
for every batch, and the sums are the same however often they are read.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from components.contracts.errors import TrainingError
from components.contracts.metric_sink import MetricSink
from components.contracts.training_request import Metrics, Progress
from components.training.state import State

PROGRESS_SECONDS = 0.25
METRICS_SECONDS = 1.0
LARGEST_WINDOW = 1000


class Report:
    """Collects the batches since the last report.

    Args:
        total_steps: batches of the whole training.
    """

    def __init__(self, sink: MetricSink, state: State, total_steps: int) -> None:
        self._sink = sink
        self._state = state
        self._total_steps = total_steps
        self._losses: list[Tensor] = []
        self._correct: list[Tensor] = []
        self._sizes: list[int] = []
        self._begin = self._progress_at = self._metrics_at = time.monotonic()
        self._first_step = state.step
        self._seen = 0

    def batch(self, loss: Tensor, correct: Tensor, size: int, learning_rate: float) -> None:
        """Take the results of one batch: mean loss () and number of right answers (), still on the device.

        Raises:
            TrainingError: a loss is not finite; names the step.
        """
        self._losses.append(loss)
        self._correct.append(correct)
        self._sizes.append(size)
        self._seen += size
        now = time.monotonic()
        if now - self._progress_at < PROGRESS_SECONDS and len(self._sizes) < LARGEST_WINDOW:
            return
        mean_loss, accuracy = self.flush()
        state = self._state
        speed = self._seen / max(now - self._begin, 1e-9)
        steps_left = self._total_steps - state.step
        metric = state.history[-1]["validation/accuracy"] if state.history else None
        self._sink.emit(
            Progress(
                epoch=state.epoch,
                step=state.step,
                total_steps=self._total_steps,
                loss=mean_loss,
                metric=metric,
                samples_per_second=speed,
                seconds_left=steps_left * (now - self._begin) / max(1, state.step - self._first_step),
            )
        )
        self._progress_at = now
        if now - self._metrics_at >= METRICS_SECONDS:
            self._metrics_at = now
            values = {
                "train/loss": mean_loss,
                "train/accuracy": accuracy,
                "learning_rate": learning_rate,
                "samples_per_second": speed,
            }
            self._sink.emit(Metrics(step=state.step, epoch=state.epoch, values=values))

    def flush(self) -> tuple[float, float]:
        """Add what was collected to the epoch's totals; mean loss and accuracy of it.

        Raises:
            TrainingError: a loss is not finite; names the step.
        """
        if not self._sizes:
            return 0.0, 0.0
        losses: list[float] = torch.stack(self._losses).tolist()
        correct = int(torch.stack(self._correct).sum())
        first = self._state.step - len(losses)
        for index, loss in enumerate(losses):
            if not math.isfinite(loss):
                raise not_finite("the training loss", first + index + 1, loss)
        totals = self._state.totals
        before = totals.loss_sum
        for loss, size in zip(losses, self._sizes, strict=True):
            totals.loss_sum += loss * size
        samples = sum(self._sizes)
        totals.correct += correct
        totals.samples += samples
        self._losses.clear()
        self._correct.clear()
        self._sizes.clear()
        return (totals.loss_sum - before) / samples, correct / samples

    def epoch(self, values: dict[str, float]) -> None:
        """Tell the figures of an epoch just done."""
        self._metrics_at = time.monotonic()
        self._sink.emit(Metrics(step=self._state.step, epoch=self._state.epoch, values=values))


def not_finite(what: str, step: int, got: float) -> TrainingError:
    """The error for a loss that left the numbers."""
    return TrainingError(
        f"{what} is no longer a finite number",
        where=f"step {step}",
        got=got,
        expected="a finite number",
        next_step="lower train.learning_rate, set train.clip_norm: 1.0, or set train.precision: fp32",
    )
