"""Seconds per epoch of a training, from its events."""

from __future__ import annotations

import pytest

from components.contracts.training_request import Metrics, Started, TrainingProgress
from flows.comparisons import epoch_timing

STARTED = Started(
    epoch=0, step=0, total_epochs=9, steps_per_epoch=5, parameters=7, device="cpu", precision="fp32", compiled=False,
    resumed=False,
)  # fmt: skip


def progress(step: int) -> TrainingProgress:
    return TrainingProgress(
        epoch=0, step=step, total_steps=9, loss=1.0, metric=None, samples_per_second=1.0, seconds_left=1.0
    )


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(epoch_timing, "time", clock)
    return clock


def timed(
    clock: Clock, *events: tuple[float, Started | TrainingProgress | Metrics]
) -> tuple[epoch_timing._EpochTimer, bool]:
    timer = epoch_timing._EpochTimer()
    for seconds, event in events:
        clock.now = 100.0 + seconds
        try:
            timer.take_line(event.model_dump_json())
        except epoch_timing._MeasurementDone:
            return timer, True
    return timer, False


def epoch(number: int) -> Metrics:
    return Metrics(step=number, epoch=number, values={"validation/loss": 0.5, "train/loss": 0.4})


def test_short_epochs_are_timed_without_the_first(clock: Clock) -> None:
    timer, is_done = timed(clock, (0, STARTED), (5, epoch(1)), (7, epoch(2)), (9, epoch(3)), (11, epoch(4)))
    assert is_done
    assert timer.seconds_per_epoch(1000, 100) == pytest.approx(2.0)


def test_long_epochs_are_reckoned_from_batches_once_they_are_warm(clock: Clock) -> None:
    events = ((4, progress(1)), (5, progress(2)), (8, progress(3)), (10.5, progress(4)))
    timer, is_done = timed(clock, (0, STARTED), *events)
    assert is_done
    assert timer.seconds_per_epoch(1000, 300) == pytest.approx(2.75 * 5 * 1.1)


def test_it_waits_for_something_to_reckon_with(clock: Clock) -> None:
    within = Metrics(step=1, epoch=0, values={"train/loss": 0.4})
    _, is_done = timed(clock, (0, STARTED), (30, within), (40, progress(1)))
    assert not is_done
    _, is_done = timed(clock, (0, STARTED), (9, epoch(1)))
    assert not is_done
    timer, is_done = timed(clock, (0, STARTED), (9, epoch(1)), (18, epoch(2)))
    assert is_done
    timer.take_line("what a library prints")
    assert timer.seconds_per_epoch(1000, 300) == pytest.approx(9.0)
