"""What a search says while it runs: a line for each trial that ended, and one that is updated on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import TrialState

from components.contracts.tune_report import number_text
from components.core.log import Log
from components.tuning.record import Told, settings_of
from flows.comparisons.tuning.study import Study

EVERY_SECONDS = 20.0  # without a terminal


class SearchProgress:
    """Counts trials and says the best so far.

    Args:
        most: trials of the study; None: no limit.
    """

    def __init__(self, study: Study, most: int | None, log: Log) -> None:
        self._study, self._most, self._log = study, most, log
        self._is_terminal = sys.stderr.isatty()
        self._drawn = False
        self._said_at = time.monotonic()
        self._begin = time.monotonic()
        self._higher = study.record.directions[0] == StudyDirection.MAXIMIZE
        self._counts: dict[str, int] = {}
        self._best: tuple[float, int] | None = None
        self._done_before = 0
        for one in study.record.trials():
            if one.state.is_finished():
                self._done_before += 1
                self._count(one.state.name.lower().replace("fail", "failed"))
            if one.state == TrialState.COMPLETE and one.values:
                self._see(one.values[0], one.number)

    def told(self, number: int, told: Told) -> None:
        """Say the outcome of a trial."""
        self.close()
        self._count(told.outcome)
        settings = _settings(settings_of(self._study.record.trials()[number])) or "the recipe as it is"
        match told.outcome:
            case "complete":
                best = " (best so far)" if self._see(told.values[0], number) else ""
                costs = "".join(
                    f", {name} {number_text(value)}"
                    for name, value in zip(self._study.spec.objectives[1:], told.values[1:], strict=True)
                )
                again = f", as trial {told.facts['same_as']}" if "same_as" in told.facts else ""
                seconds = (
                    f", {told.facts['seconds']:.0f} s" if "trained_before" not in told.facts else ", not trained again"
                )
                text = f"{self._study.metric.name} {told.values[0]:.4f}{best}{costs}{again or seconds}"
            case "pruned":
                text = "ended early"
            case "failed":
                text = f"failed: {told.facts['reason']}"
        self._log(f"trial {number}: {text}; {settings}")

    def line(self, running: int, seconds_left: float | None) -> None:
        """Draw the updated line, or say it from time to time."""
        now = time.monotonic()
        if not self._is_terminal and now - self._said_at < EVERY_SECONDS:
            return
        self._said_at = now
        done = sum(self._counts.values())
        of = "" if self._most is None else f"/{self._most}"
        best = "" if self._best is None else f"  best {self._best[0]:.4f} (trial {self._best[1]})"
        left = self._left(done, now, seconds_left)
        text = f"{done}{of} trials, {running} running{best}{left}"
        if self._is_terminal:
            print(f"\r  {text}\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = True
        else:
            self._log(text)

    def close(self) -> None:
        """End the updated line."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = False

    def _left(self, done: int, now: float, seconds_left: float | None) -> str:
        estimates = [] if seconds_left is None else [max(0.0, seconds_left)]
        new = done - self._done_before
        if self._most is not None and new:
            estimates.append((self._most - done) * (now - self._begin) / new)
        return f"  {_duration(min(estimates))} left" if estimates else ""

    def _count(self, outcome: str) -> None:
        self._counts[outcome] = self._counts.get(outcome, 0) + 1

    def _see(self, value: float, number: int) -> bool:
        is_better = self._best is None or (value > self._best[0] if self._higher else value < self._best[0])
        if is_better:
            self._best = (value, number)
        return is_better


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
