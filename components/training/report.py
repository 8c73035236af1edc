"""Events of the training loop: progress a few times a second, metrics once a second and once an epoch.

Losses stay on the device, one small tensor for each batch, and are read together at each report: a GPU is not
synchronised after every batch, and the sums do not depend on how often they are read.
"""

from __future__ import annotations

import math
import time

import torch

from components.contracts.metric_sink import MetricSink
from components.contracts.training_request import Metrics, TrainingProgress
from components.core.errors import TrainingError
from components.training.objectives.objective import StepResult
from components.training.state import State

PROGRESS_SECONDS = 0.25
METRICS_SECONDS = 1.0
LARGEST_WINDOW = 1000


class ProgressReporter:
    """Collects the results of batches until the next report.

    Args:
        metric: name of the objective's metric.
        total_steps: number of batches in the whole training.
    """

    def __init__(self, sink: MetricSink, state: State, metric: str, total_steps: int) -> None:
        self._sink = sink
        self._state = state
        self._metric = metric
        self._total_steps = total_steps
        self._steps: list[StepResult] = []
        self._begin = self._progress_at = self._metrics_at = time.monotonic()
        self._first_step = state.step
        self._seen = 0

    def batch(self, step: StepResult, samples: int, learning_rate: float) -> None:
        """Add the results of one batch, which are still on the device.

        Raises:
            TrainingError: a loss is not finite; `where` is the step.
        """
        self._steps.append(step)
        self._seen += samples
        now = time.monotonic()
        if now - self._progress_at < PROGRESS_SECONDS and len(self._steps) < LARGEST_WINDOW:
            return
        mean_loss, score = self.flush()
        state = self._state
        speed = self._seen / max(now - self._begin, 1e-9)
        steps_left = self._total_steps - state.step
        metric = state.history[-1][f"validation/{self._metric}"] if state.history else None
        self._sink.emit(
            TrainingProgress(
                epoch=state.epoch,
                step=state.step,
                total_steps=self._total_steps,
                loss=mean_loss,
                metric=metric,
                metric_name=self._metric,
                samples_per_second=speed,
                seconds_left=steps_left * (now - self._begin) / max(1, state.step - self._first_step),
            )
        )
        self._progress_at = now
        if now - self._metrics_at >= METRICS_SECONDS:
            self._metrics_at = now
            values = {
                f"train/{self._metric}": score,
                "train/loss": mean_loss,
                "learning_rate": learning_rate,
                "samples_per_second": speed,
            }
            self._sink.emit(Metrics(step=state.step, epoch=state.epoch, values=values))

    def flush(self) -> tuple[float, float]:
        """Add the collected results to the totals of the epoch; returns their mean loss and metric.

        Raises:
            TrainingError: a loss is not finite; `where` is the step.
        """
        if not self._steps:
            return 0.0, 0.0
        losses: list[float] = torch.stack([step.loss for step in self._steps]).tolist()
        scores: list[float] = torch.stack([step.score_sum for step in self._steps]).tolist()
        counts: list[int] = torch.stack([step.count for step in self._steps]).tolist()
        first = self._state.step - len(losses)
        totals = self._state.totals
        loss_before, score_before = totals.loss_sum, totals.score_sum
        for index, (loss, score, count) in enumerate(zip(losses, scores, counts, strict=True)):
            if not math.isfinite(loss):
                raise not_finite("the training loss", first + index + 1, loss)
            totals.loss_sum += loss * count
            totals.score_sum += score
        counted = sum(counts)
        totals.count += counted
        self._steps.clear()
        return (totals.loss_sum - loss_before) / max(counted, 1), (totals.score_sum - score_before) / max(counted, 1)

    def epoch(self, values: dict[str, float]) -> None:
        """Emit the figures of a finished epoch."""
        self._metrics_at = time.monotonic()
        self._sink.emit(Metrics(step=self._state.step, epoch=self._state.epoch, values=values))


def not_finite(what: str, step: int, got: float) -> TrainingError:
    """The error for a loss that is NaN or infinite."""
    return TrainingError(
        f"{what} is not finite",
        where=f"step {step}",
        got=got,
        expected="a finite number",
        next_step="lower train.learning_rate, set train.clip_norm: 1.0, or set train.precision: fp32",
    )
