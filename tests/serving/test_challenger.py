"""A challenger beside the champion: which requests it gets, what is compared, and when it is taken out."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from prometheus_client import REGISTRY

from components.contracts.serving_spec import ChallengerLimits, SlotSpec
from serving import answering, background, guard
from serving.request_stats import RequestRecorder
from tests import small_package
from tests.serving.service import LIMITS, Service, challenger, eventually, running


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SlotSpec]:
    """A champion, a good challenger, the champion's weights again, one that fails on white images, a slow one."""
    folder = tmp_path_factory.mktemp("bundles")
    kinds: dict[str, dict[str, Any]] = {
        "1": {"seed": 1},
        "2": {"seed": 2},
        "3": {"seed": 1, "train_fingerprint": "b" * 64},
        "4": {"seed": 1, "nan_above": 0.8},
        "5": {"seed": 1, "slow": 300},
    }
    return {version: small_package.bundle(folder / version, version, **kind) for version, kind in kinds.items()}


@pytest.fixture
def service(slots: dict[str, SlotSpec], tmp_path: Path) -> Iterator[Service]:
    with running(Path(slots["1"].bundle), tmp_path / "service") as service:
        yield service


def sides(service: Service, keys: range) -> dict[str, str]:
    return {str(key): service.answered_by(key=str(key)) for key in keys}


@pytest.mark.slow
def test_a_canary_gets_its_share(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["2"], 30))
    found = Counter(service.answered_by() for _ in range(400))
    assert 0.2 < found["2"] / 400 < 0.4  # four standard errors
    statement = service.statement()
    assert (statement.champion_stats.requests, statement.challenger_stats.requests) == (found["1"], found["2"])
    assert statement.challenger_stats.compared == 0


def test_everybody_and_nobody(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["2"], 100))
    assert {service.answered_by() for _ in range(20)} == {"2"}
    assert service.ask().headers["x-modelyard-role"] == "challenger"
    service.order(champion=slots["1"], challenger=challenger(slots["2"], 0))
    assert {service.answered_by() for _ in range(20)} == {"1"}


@pytest.mark.slow
def test_a_key_stays_on_its_side(service: Service, slots: dict[str, SlotSpec], tmp_path: Path) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["2"], 30))
    first = sides(service, range(100))
    assert set(first.values()) == {"1", "2"}
    assert sides(service, range(100)) == first
    with running(Path(slots["1"].bundle), tmp_path / "other") as other:  # another worker, another order
        other.order(champion=slots["1"], challenger=challenger(slots["2"], 60))
        grown = sides(other, range(100))
    assert all(grown[key] == "2" for key, side in first.items() if side == "2")
    assert Counter(grown.values())["2"] > Counter(first.values())["2"]


@pytest.mark.slow
def test_a_key_has_the_same_side_in_another_process(service: Service, slots: dict[str, SlotSpec]) -> None:
    """Python's own hash of a text is another one in each process."""
    service.order(champion=slots["1"], challenger=challenger(slots["2"], 50))
    here = [service.answered_by(key=str(key)) == "2" for key in range(20)]
    code = (
        "from serving.canary import place\n"
        f"print([place({slots['2'].package_digest!r}, str(key)) < 0.5 for key in range(20)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(here)


def test_in_the_shadow_it_answers_too_and_is_compared(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["2"], 0))
    own = {index: service.ask(small_package.image(index)).json()["predictions"][0]["label"] for index in range(12)}
    eventually(lambda: service.statement().challenger_stats.compared == 12)
    tally = service.statement().challenger_stats
    theirs = {
        index: service.ask(small_package.image(index), want=slots["2"].package_digest).json()["predictions"][0]["label"]
        for index in range(12)
    }
    assert tally.agreed == sum(own[index] == theirs[index] for index in range(12))
    assert 0 < tally.agreed < 12
    assert (tally.requests, tally.errors) == (12, 0)
    assert tally.p50_ms


def test_the_same_weights_agree_always(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["3"], 0))
    for index in range(12):
        service.ask(small_package.image(index))
    eventually(lambda: service.statement().challenger_stats.compared == 12)
    assert service.statement().challenger_stats.agreed == 12
    labels = {"model": "sample", "version": "3"}
    assert REGISTRY.get_sample_value("modelyard_agreed_total", labels) == 12


def test_in_a_canary_nobody_gets_nan_and_the_challenger_goes(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["4"], 100))
    answers = [service.ask(small_package.white()) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-modelyard-version"] for answer in answers} == {"1"}
    statement = service.statement()
    assert statement.challenger
    assert (statement.challenger.version, statement.challenger.state) == ("4", "removed")
    assert "100.0% of its last 10 answers" in (statement.challenger.reason or "")
    assert (statement.challenger_stats.errors, statement.challenger_stats.not_finite) == (10, 10)
    assert statement.champion_stats.errors == 0
    assert service.answered_by() == "1"
    refused = service.ask(want=slots["4"].package_digest)
    assert refused.status_code == 409
    assert "removed" in refused.json()["reason"]


def test_in_the_shadow_a_failing_challenger_goes(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["4"], 0))

    def asked_and_gone() -> bool:
        assert service.ask(small_package.white()).headers["x-modelyard-version"] == "1"
        held = service.statement().challenger
        return held is not None and held.state == "removed"

    eventually(asked_and_gone)
    assert service.statement().challenger_stats.not_finite >= LIMITS.min_requests


@pytest.mark.slow
def test_a_slow_challenger_goes(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["5"], 50))

    def asked_and_gone() -> bool:
        service.ask()
        held = service.statement().challenger
        return held is not None and held.state == "removed"

    eventually(asked_and_gone)
    held = service.statement().challenger
    assert held
    assert "max_latency_ratio 5" in (held.reason or "")


def test_a_removed_challenger_stays_out_until_an_order_without_it(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["4"], 100))
    for _ in range(12):
        service.ask(small_package.white())
    again = service.order(champion=slots["1"], challenger=challenger(slots["4"], 50), staged=slots["2"])
    assert again.challenger
    assert again.challenger.state == "removed"
    assert again.challenger_stats.errors == 10
    assert service.order(champion=slots["1"]).challenger is None
    afresh = service.order(champion=slots["1"], challenger=challenger(slots["4"], 100))
    assert afresh.challenger
    assert afresh.challenger.state == "ready"
    assert afresh.challenger_stats.requests == 0


def test_what_another_worker_took_out_goes_here_too(service: Service, slots: dict[str, SlotSpec]) -> None:
    statement = service.order(champion=slots["1"], challenger=challenger(slots["4"], 50))
    assert statement.challenger
    removed = statement.challenger.model_copy(update={"state": "removed", "reason": "it was no good there"})

    def said(generation: int) -> None:
        words = statement.model_copy(update={"worker": 1, "generation": generation, "challenger": removed})
        (service.folder / "workers" / "1.json").write_text(words.model_dump_json())

    own = service.folder / "workers" / f"{os.getpid()}.json"

    def state() -> str | None:
        held = service.statement().challenger
        return held.state if held else None

    said(statement.generation - 1)  # under another order: it may have been named afresh since
    times: set[int] = set()

    def looked() -> bool:
        times.add(own.stat().st_mtime_ns)
        return len(times) == 3

    eventually(looked)
    assert state() == "ready"
    said(statement.generation)
    eventually(lambda: state() == "removed")
    held = service.statement().challenger
    assert held
    assert held.reason == "it was no good there"


@pytest.mark.slow
def test_a_named_challenger_that_fails_says_so(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["4"], 0))
    response = service.ask(small_package.white(), want=slots["4"].package_digest)
    assert (response.status_code, response.json()["code"]) == (500, "not_finite")
    assert response.headers["x-modelyard-version"] == "4"


def test_a_champion_that_fails_says_so_and_is_counted(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["4"])
    response = service.ask(small_package.white())
    assert (response.status_code, response.json()["code"]) == (500, "not_finite")
    assert service.ask().status_code == 200
    tally = service.statement().champion_stats
    assert (tally.requests, tally.errors, tally.not_finite) == (2, 1, 1)
    labels = {"model": "sample", "version": "4", "role": "champion", "code": "not_finite"}
    assert REGISTRY.get_sample_value("modelyard_failures_total", labels) == 1


def test_what_nobody_can_read_is_nobodys_failure(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["2"], 100))
    assert {service.ask(b"no image").status_code for _ in range(12)} == {422}
    statement = service.statement()
    assert statement.challenger
    assert statement.challenger.state == "ready"
    assert (statement.champion_stats.errors, statement.challenger_stats.errors) == (0, 0)


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_what_the_champion_takes_and_the_challenger_refuses_is_its_failure(
    percent: float, service: Service, tmp_path: Path, slots: dict[str, SlotSpec]
) -> None:
    picky = small_package.bundle(tmp_path / "picky", "6", seed=1, train_fingerprint="f" * 64)
    path = Path(picky.bundle) / "serving.json"
    path.write_text(path.read_text().replace('"max_image_pixels": 1000000', '"max_image_pixels": 100'))
    service.order(champion=slots["1"], challenger=challenger(picky, percent))
    large = io.BytesIO()
    Image.new("L", (20, 20)).save(large, "PNG")
    answers = [service.ask(large.getvalue()) for _ in range(LIMITS.min_requests)]
    assert {(answer.status_code, answer.headers["x-modelyard-version"]) for answer in answers} == {(200, "1")}
    eventually(lambda: service.statement().challenger_stats.errors == LIMITS.min_requests)
    held = service.statement().challenger
    assert held
    assert held.state == "removed"


def test_a_busy_shadow_drops_and_the_champion_answers(service: Service, slots: dict[str, SlotSpec]) -> None:
    service.order(champion=slots["1"], challenger=challenger(slots["2"], 0))
    slot = service.worker.slot_manager.current.challenger
    assert slot
    go_on = threading.Event()
    for _ in range(background.MAX_QUEUED):
        assert slot.background.offer(lambda: go_on.wait(30), 0, lambda: False)
    assert {service.answered_by() for _ in range(5)} == {"1"}
    statement = service.statement()
    assert (statement.shadow_dropped, statement.challenger_stats.requests) == (5, 0)
    go_on.set()

    def answers_again() -> bool:
        service.ask()
        return service.statement().challenger_stats.compared > 0

    eventually(answers_again)


def test_what_waits_in_the_background_is_bounded_in_bytes() -> None:
    waiting, go_on, done = background.Background(), threading.Event(), []
    assert waiting.offer(lambda: go_on.wait(30), background.MAX_QUEUED_BYTES - 1, lambda: False)
    assert not waiting.offer(lambda: done.append(1), 2, lambda: False)
    go_on.set()
    eventually(lambda: waiting.offer(lambda: done.append(2), 2, lambda: False))
    eventually(lambda: done == [2])


def test_a_challenger_that_does_not_answer_in_time_is_answered_for(
    service: Service, slots: dict[str, SlotSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "ANSWER_SECONDS", 0.02)
    service.order(champion=slots["1"], challenger=challenger(slots["2"], 100))
    slot, go_on = service.worker.slot_manager.current.challenger, threading.Event()
    assert slot
    for _ in range(8):  # all its threads hang
        slot.threads.submit(go_on.wait, 30)
    answers = [service.ask() for _ in range(LIMITS.min_requests)]
    go_on.set()
    assert {(answer.status_code, answer.headers["x-modelyard-version"]) for answer in answers} == {(200, "1")}
    held = service.statement().challenger
    assert held
    assert held.state == "removed"


def test_the_last_thousand_count() -> None:
    record, limits = RequestRecorder(), ChallengerLimits(max_error_rate=0.02, max_latency_ratio=5, min_requests=20)
    for _ in range(100_000):
        record.answer(0.001, 0.001)
    for _ in range(20):
        record.fail()
    assert guard.broken_limit(record, None, limits) is None
    record.fail()
    assert "2.1% of its last 1000" in (guard.broken_limit(record, None, limits) or "")
    for _ in range(1000):
        record.answer(0.001, 0.001)
    assert guard.broken_limit(record, None, limits) is None
    assert record.stats().errors == 21


def test_too_few_answers_say_nothing() -> None:
    challenger, champion = RequestRecorder(), RequestRecorder()
    limits = ChallengerLimits(max_error_rate=0.0, max_latency_ratio=2, min_requests=5)
    for _ in range(4):
        challenger.fail()
    assert guard.broken_limit(challenger, champion, limits) is None
    challenger = RequestRecorder()
    for _ in range(50):
        challenger.answer(1.0, 1.0)
    for _ in range(4):
        champion.answer(0.1, 0.1)
    assert guard.broken_limit(challenger, champion, limits) is None
    champion.answer(0.1, 0.1)
    assert "1000.00 ms of CPU time, the champion's 100.00" in (guard.broken_limit(challenger, champion, limits) or "")


def test_waiting_for_a_processor_is_not_its_fault() -> None:
    challenger, champion = RequestRecorder(), RequestRecorder()
    for _ in range(50):
        challenger.answer(1.0, 0.1)
        champion.answer(0.1, 0.1)
    assert guard.broken_limit(challenger, champion, LIMITS) is None
