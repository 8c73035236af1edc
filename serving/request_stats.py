"""Statistics of a version in its slot, in this worker: counts, and latencies of the last answers."""

from __future__ import annotations

import threading
from collections import deque
from statistics import median

from components.contracts.serving_spec import RequestStats

WINDOW = 1000
# The medians of the window are computed again after so many answers.
REFRESH = 16


class RequestRecorder:
    """Counts answers and failures. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = self._errors = self._not_finite = self._compared = self._agreed = 0
        self._failed: deque[bool] = deque(maxlen=WINDOW)
        self._recent_failures = 0
        self._seconds: deque[float] = deque(maxlen=WINDOW)
        self._processor: deque[float] = deque(maxlen=WINDOW)
        self._medians = (0.0, 0.0)
        self._medians_at = 0
        self.answered = 0
        self.dropped = 0

    def answer(self, seconds: float, processor_seconds: float | None) -> None:
        """Count an answer, with its wall time and, where it was computed alone, its CPU time."""
        with self._lock:
            self.answered += 1
            self._seconds.append(seconds)
            if processor_seconds is not None:
                self._processor.append(processor_seconds)
            self._count(failed=False)

    def fail(self, *, not_finite: bool = False) -> None:
        """Count a valid request that was not answered."""
        with self._lock:
            self._errors += 1
            self._not_finite += not_finite
            self._count(failed=True)

    def compare(self, agreed: int, samples: int) -> None:
        """Count samples that champion and challenger both answered, and those on which they agree."""
        with self._lock:
            self._compared += samples
            self._agreed += agreed

    def drop(self) -> None:
        """Count a shadow request that was dropped because the challenger was busy."""
        with self._lock:
            self.dropped += 1

    def error_rate(self) -> tuple[float, int]:
        """The share of the last requests that failed, and the number of those requests."""
        with self._lock:
            return self._recent_failures / max(1, len(self._failed)), len(self._failed)

    def medians(self) -> tuple[float, float]:
        """Median wall seconds and median CPU seconds of the last answers; of CPU time, those computed alone count."""
        with self._lock:
            if self._seconds and (self.answered - self._medians_at >= REFRESH or self._medians_at == 0):
                self._medians = (median(self._seconds), median(self._processor) if self._processor else 0.0)
                self._medians_at = self.answered
            return self._medians

    def stats(self) -> RequestStats:
        """The counts and percentiles, as they are reported."""
        with self._lock:
            ordered = sorted(self._seconds)
            return RequestStats(
                requests=self._requests,
                errors=self._errors,
                not_finite=self._not_finite,
                compared=self._compared,
                agreed=self._agreed,
                p50_ms=_percentile_ms(ordered, 50),
                p99_ms=_percentile_ms(ordered, 99),
            )

    def _count(self, *, failed: bool) -> None:
        self._requests += 1
        if len(self._failed) == WINDOW:
            self._recent_failures -= self._failed[0]
        self._failed.append(failed)
        self._recent_failures += failed


def _percentile_ms(ordered: list[float], percent: int) -> float | None:
    if not ordered:
        return None
    return round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 3)
