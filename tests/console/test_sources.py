"""The sources of the pages: values that are computed in the background, traffic, charts, the reader's process."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from components.contracts.serving_spec import (
    ChallengerLimits,
    RequestStats,
    RolloutPolicy,
    ServiceStatus,
    SlotStatus,
    WorkerStatus,
)
from components.core.errors import NotFoundError, StackError
from flows.console import charts, traffic
from flows.console.charts import ChartLine
from flows.console.reader_process import ReaderProcess
from flows.console.refreshed import Refreshed, RefreshedByKey
from flows.console.release_index import ReleaseIndex
from tests.console.small_console import MODEL, make_project, release
from tests.waiting import eventually

LIMITS = ChallengerLimits(max_error_rate=0.02, max_latency_ratio=5.0, min_requests=20)


def test_a_slow_value_is_there_the_next_time() -> None:
    may_end = threading.Event()
    counted: list[int] = []

    def compute() -> int:
        may_end.wait(10)
        counted.append(1)
        return len(counted)

    source = Refreshed(compute, max_age_seconds=3600)
    assert source.get() == (None, None, None, True)
    assert source.get(0.01).pending  # one at a time
    may_end.set()
    found = source.get(5)
    assert (found.value, found.pending) == (1, False)
    assert source.get(5).value == 1
    source.forget()
    assert source.get(5).value == 2


def test_a_failed_attempt_leaves_the_last_value() -> None:
    answers: list[int | Exception] = [1, StackError("it is away"), ValueError("odd")]

    def compute() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = Refreshed(compute, max_age_seconds=-1)
    assert source.get(5).value == 1
    assert source.get(5)[:2] == (1, "it is away")
    assert source.get(5)[:2] == (1, "ValueError: odd")


def test_values_by_key() -> None:
    source: RefreshedByKey[str, str] = RefreshedByKey(str.upper, max_age_seconds=3600)
    assert source.known("a") is None
    assert source.get("a", 5).value == "A"
    known = source.known("a")
    assert known is not None
    assert known.value == "A"


def status(*counts: tuple[int, int, int], challenger: int | None = None, canary: float = 10.0) -> ServiceStatus:
    """Workers with (process, requests, errors)."""

    def slot(version: str) -> SlotStatus:
        return SlotStatus(version=version, package_digest=version * 64, state="ready", since=0.0)

    return ServiceStatus(
        model=MODEL,
        expected=len(counts),
        workers=[
            WorkerStatus(
                worker=process, generation=1, code="c", champion=slot("1"),
                champion_stats=RequestStats(requests=requests, errors=errors, p50_ms=1.0, p99_ms=float(process)),
                challenger=None if challenger is None else slot("2"),
                policy=RolloutPolicy(canary_percent=canary, limits=LIMITS),
                challenger_stats=RequestStats(requests=challenger or 0, compared=10, agreed=9),
            )
            for process, requests, errors in counts
        ],
    )  # fmt: skip


def test_rates_are_of_the_last_minute_and_a_worker_that_is_new_begins_at_zero() -> None:
    looks = [
        (0.0, status((1, 100_000, 0))),
        (100.0, status((1, 200_000, 0), (2, 50, 0))),
        (110.0, status((1, 200_100, 10), (3, 20, 0))),
    ]
    samples = [traffic._Sample(time, traffic._counts(one)) for time, one in looks]
    found = traffic._traffic("http://127.0.0.1:1", looks[-1][1], samples)
    assert found.champion is not None
    assert found.champion.requests_per_second == pytest.approx(12.0)  # 100 of the one, 20 of the new one, in 10 s
    assert found.champion.error_rate == pytest.approx(10 / 120)
    assert found.champion.p99_ms == 3.0  # the worst worker's
    assert found.challenger is None
    assert len(found.per_second) == 2


def test_the_split_of_a_canary() -> None:
    looks = [(0.0, status((1, 0, 0), challenger=0)), (10.0, status((1, 90, 0), challenger=10))]
    samples = [traffic._Sample(time, traffic._counts(one)) for time, one in looks]
    found = traffic._traffic(None, looks[-1][1], samples)
    assert found.challenger_share == pytest.approx(0.1)
    assert found.challenger is not None
    assert found.challenger.agreement == pytest.approx(0.9)


def test_a_shadow_answers_nothing() -> None:
    looks = [(0.0, status((1, 0, 0), challenger=0)), (10.0, status((1, 90, 0), challenger=90, canary=0.0))]
    samples = [traffic._Sample(time, traffic._counts(one)) for time, one in looks]
    found = traffic._traffic(None, looks[-1][1], samples)
    assert (found.canary_percent, found.challenger_share) == (0.0, None)


def test_a_chart_has_all_its_points_inside() -> None:
    line = ChartLine("one", [(0, 0.9), (1, 0.95), (2, 0.5)], [0.8, 0.9, 0.4], [0.95, 0.99, 0.6])
    drawn = charts.chart([line], [(0, "begin"), (2, "end")])
    assert drawn is not None
    [only] = drawn.lines
    assert len(only.dots) == 3
    assert all(drawn.left <= x <= drawn.right and 0 <= y <= drawn.height for x, y, _ in only.dots)
    assert only.dots[2][1] > only.dots[0][1]  # SVG counts from the top
    assert only.band.endswith("Z")
    assert all(top < y < bottom for (_, top, bottom), (_, y, _) in zip(only.whiskers, only.dots, strict=True))
    assert charts.chart([ChartLine("none", [])]) is None
    assert charts.chart([ChartLine("flat", [(0, 1.0)])]) is not None
    assert charts.spark([1.0]) == ""


def test_the_index_reads_a_model_again_when_its_ledger_has_grown(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    index = ReleaseIndex(project)
    first = index.of([MODEL, "quiet"], 5.0)
    assert first[MODEL] is not None
    assert (first[MODEL].champion, first[MODEL].entries) == ("2", 17)
    assert first["quiet"] is not None
    assert first["quiet"].entries == 0
    from components.release.ledger import Ledger

    release(Ledger(project.ledger, MODEL), "0123456789ad", "2", "4", "asked", "verified", "switching", "switched")
    second = index.of([MODEL], 5.0)[MODEL]
    assert second is not None
    assert (second.champion, second.open[0].event) == ("4", "switched")
    assert len(index.entries(MODEL)) == 21
    assert index.entries(MODEL) is index.entries(MODEL)
    release(Ledger(project.ledger, MODEL), "0123456789ad", "2", "4", "served")
    assert len(index.entries(MODEL)) == 22
    assert ReleaseIndex(project).of([MODEL], -1.0)[MODEL] is None  # no time: it is there the next time
    index.start()
    assert eventually(lambda: index.known().get(MODEL), "the index is filled").champion == "4"


@pytest.mark.slow  # two processes that import what they read with
def test_the_reader_answers_and_is_started_again_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path)
    monkeypatch.setenv("MODELYARD_PROJECT", str(project.root))
    reader = ReaderProcess(project)
    try:
        assert reader.ask("revisions", "digits")["revisions"] == []
        with pytest.raises(NotFoundError, match="none"):
            reader.ask("plan", "none")
        assert reader._process is not None
        reader._process.kill()
        reader._process.wait()
        kinds = {row["kind"] for row in reader.ask("disk")["kinds"]}
        assert "report" in kinds
        assert reader.ask("quality", MODEL) == {"hours": [], "left_out": 0, "logged": False}
    finally:
        reader.close()
