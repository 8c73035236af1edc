"""What of a measured latency is over its limit."""

from __future__ import annotations

import pytest

from components.contracts.pipeline import LatencySpec
from components.gates.latency import EndpointLatency, problems_of

QUICK = EndpointLatency("candidate", [float(ms) for ms in range(1, 101)], errors=0)
SLOW = EndpointLatency("candidate", [2.0 * ms for ms in range(1, 101)], errors=0)
CHAMPION = EndpointLatency("champion", QUICK.milliseconds, errors=0)


def test_percentiles_are_of_the_sorted_answers() -> None:
    assert [QUICK.percentile(percent) for percent in (0, 50, 99, 100)] == [1, 51, 100, 100]


@pytest.mark.parametrize(
    ("measured", "budget", "ratio", "words"),
    [
        ([QUICK], 100, None, []),
        ([QUICK, CHAMPION], 100, 1.0, []),
        ([SLOW], 150, None, ["200.0 ms, over the budget of 150 ms"]),
        ([SLOW, CHAMPION], 250, 1.5, ["2.00 times the champion's (200.0 ms against 100.0 ms), over 1.5"]),
        ([SLOW, CHAMPION], 150, 1.5, ["over the budget", "times the champion's"]),
        ([SLOW, CHAMPION], 250, None, []),
        ([QUICK._replace(errors=3)], 100, None, ["3 requests"]),
        ([EndpointLatency("candidate", [], errors=9), CHAMPION], 100, 2.0, ["9 requests", "inf ms", "inf times"]),
    ],
)
def test_each_limit(measured: list[EndpointLatency], budget: float, ratio: float | None, words: list[str]) -> None:
    problems = problems_of(measured, LatencySpec(p99_ms=budget, max_ratio=ratio))
    assert len(problems) == len(words)
    assert all(word in problem for word, problem in zip(words, problems, strict=True)), problems
