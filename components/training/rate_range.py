"""A learning-rate range test (Smith 2017, arXiv:1506.01186): the loss while the learning rate grows batch by batch.

The rate grows geometrically from the lowest to the highest. The losses of the batches are smoothed by an exponential
moving average with bias correction. The test ends when the smoothed loss is `STOP_RATIO` times its lowest, or is not
finite. Suggested is the rate at which the smoothed loss falls fastest over the logarithm of the rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from components.contracts.training_request import RATES_FILE, RateCurve, TrainRequest
from components.core import atomic
from components.core.errors import Interrupted, TrainingError
from components.training import subset
from components.training.assembly import assemble
from components.training.batches import Batch, derive_seed, on_device
from components.training.interruption import StopSignals
from components.training.loop import TrainingContext, augmented, train_step
from components.training.messages import log
from components.training.prepared import Prepared
from components.training.state import State

SMOOTHING = 0.9
STOP_RATIO = 4.0
WARM_UP_SHARE = 0.1  # of the steps; losses before are of a network that has hardly moved
LEAST_POINTS = 10
RESULT_NAME = "rate range test"


def run(request: TrainRequest, prepared: Prepared) -> None:
    """Run the test of a request and write its curve into the run folder.

    Raises:
        TrainingError: the loss is not finite from the beginning.
        Interrupted: Ctrl-C or SIGTERM.
    """
    assert request.rates is not None  # noqa: S101  # the caller has looked
    prepared = subset.limit(prepared, request.train.samples, request.train.seed)
    with StopSignals() as interruption:
        state, setting, _ = assemble(request, prepared, interruption.received)
        curve = measure(state, setting, *request.rates)
    atomic.write_text(Path(request.run_folder) / RATES_FILE, curve.model_dump_json())
    log(f"suggested learning rate {curve.suggested:.3g}; the loss is lowest at {curve.lowest:.3g}")


def measure(state: State, setting: TrainingContext, low: float, high: float, steps: int) -> RateCurve:
    """Train `steps` batches, or fewer if the loss grows too much, and read the curve."""
    rates, losses, smoothed = [], [], []
    average, best = 0.0, math.inf
    generator = torch.Generator()
    setting.transfer.begin_epoch(state.network, 0)
    for step, batch in enumerate(_batches(setting, steps)):
        rate = low * (high / low) ** (step / max(1, steps - 1))
        generator.manual_seed(derive_seed(setting.spec.seed, "step", step))
        loss = float(train_step(state, setting, batch, generator, rate).loss)
        if not math.isfinite(loss):
            break
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        rates.append(rate)
        losses.append(loss)
        smoothed.append(average / (1 - SMOOTHING ** (step + 1)))
        if step > WARM_UP_SHARE * steps:
            best = min(best, smoothed[-1])
            if smoothed[-1] > STOP_RATIO * best:
                break
        if setting.stopping():
            raise Interrupted("the learning-rate range test was stopped")
    if len(rates) < LEAST_POINTS:
        raise TrainingError(
            "the loss is not finite after a few batches",
            where=RESULT_NAME,
            got=f"{len(rates)} batches, up to a learning rate of {rates[-1] if rates else low:.3g}",
            next_step="set train.clip_norm: 1.0 or train.precision: fp32, or look at the data",
        )
    lowest = smoothed.index(min(smoothed[int(WARM_UP_SHARE * len(smoothed)) :]))
    return RateCurve(
        rates=rates,
        losses=losses,
        smoothed=smoothed,
        suggested=rates[_steepest(smoothed, lowest)],
        lowest=rates[lowest],
    )


def _steepest(smoothed: list[float], lowest: int) -> int:
    """The index before the lowest loss at which it falls fastest, as a slope over three points."""
    begin = int(WARM_UP_SHARE * len(smoothed))
    inner = range(max(1, begin), max(2, lowest))
    return min(inner, key=lambda index: smoothed[index + 1] - smoothed[index - 1])


def _batches(setting: TrainingContext, steps: int) -> Iterator[Batch]:
    """Batches of the train split, with augmentation, epoch after epoch."""
    device = setting.precision.device
    done = 0
    for epoch in range(steps):
        batches = setting.epoch_batches(epoch)
        for number in range(len(batches)):
            batch = on_device(setting.train.batch(batches.batch(number)), device)
            yield augmented(batch, setting, done)
            done += 1
            if done == steps:
                return
