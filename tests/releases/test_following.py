"""Whoever waits for a release is told for what, and not kept waiting for one that fails again and again."""

from __future__ import annotations

import signal
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.contracts.gate_request import GateResult
from components.contracts.serving_spec import ServiceStatus, SlotStatus, WorkerStatus
from components.core import file_lock, waiting
from components.core.errors import GateRefused, ServingError, StackError
from components.core.project import Project
from components.release import ledger as ledgers
from components.release.decision import DesiredState
from components.release.ledger import Entry, Event, VersionRef
from components.release.production import PRODUCTION
from components.versioning import reproduction
from flows.releases import activity, controller, promotion, worker_process
from flows.releases.activity import Activity
from flows.releases.observation import Observer
from flows.releases.worker import Ending, Order
from flows.serving_targets.cluster_api import ClusterAbsentError
from tests.provenance import small_chain


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without a stack."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "sample.yaml").write_text(small_chain.PIPELINE)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.setenv("MODELYARD_PROJECT", str(tmp_path))
    monkeypatch.setattr(promotion, "SAY_SECONDS", 0.05)
    monkeypatch.setattr(promotion, "START_SECONDS", 1.0)
    return Project(tmp_path)


def failing(number: int, version: str = "3", reason: str = "the bundle cannot be built") -> Activity:
    now = time.time()
    facts = {"failures": number, "failure": reason, "failed_at": now, "next_try": now + 5}
    return Activity.model_validate({"doing": "retrying", "reason": reason, "champion": version, **facts})


def write_later(project: Project, found: list[Activity]) -> threading.Thread:
    def write() -> None:
        for each in found:
            time.sleep(0.25)
            now = time.time()
            activity.write(project, "sample", each.model_copy(update={"failed_at": each.failed_at and now}))

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_what_is_waited_for_is_said(project: Project) -> None:
    activity.write(project, "sample", Activity(doing="waiting", reason="the registry does not answer", champion="3"))
    said: list[str] = []
    with pytest.raises(StackError, match="nobody took up that champion is to be version 3"):
        promotion.follow(project, "sample", "champion", "3", 0, said.append)
    assert len(said) > 3
    assert all(line.startswith("waiting") and "the registry does not answer" in line for line in said)


def test_who_waits_is_told_what_to_do_about_a_refusal(project: Project) -> None:
    ledger = ledgers.of(project, "sample")
    result = GateResult(gate="floors", passed=False, figures={}, limit="0.9", reason="0.8", next_step="train longer")
    passed = result.model_copy(update={"gate": "parity", "passed": True, "next_step": "nothing"})
    results = [one.model_dump(mode="json") for one in (result, passed, result)]
    for event, facts in (("asked", {}), ("refusing", {"results": results}), ("refused", {"reason": "floors: 0.8"})):
        ledger.append(
            event,  # type: ignore[arg-type]
            release="r", role="champion", before=None, after=VersionRef(version="3", package_digest="a" * 64),
            asked_by="me", facts=facts,
        )  # fmt: skip
    with pytest.raises(GateRefused) as refused:
        promotion.follow(project, "sample", "champion", "3", 0, lambda _: None)
    assert str(refused.value.next_step).startswith("train longer; champion is nothing as before")


def test_a_release_that_fails_three_times_is_given_up(project: Project) -> None:
    activity.write(project, "sample", failing(9).model_copy(update={"failed_at": time.time() - 100}))
    said: list[str] = []
    thread = write_later(project, [failing(1), failing(2), failing(3)])
    with pytest.raises(ServingError) as caught:
        promotion.follow(project, "sample", "champion", "3", 0, said.append)
    thread.join()
    assert caught.value.what == "the release of version 3 failed 3 times"
    assert caught.value.got == "the bundle cannot be built"
    assert caught.value.exit_code == 1
    assert len([line for line in said if line.startswith("failed")]) == 3
    assert any("for the next try, in" in line for line in said)


def test_failures_of_another_version_do_not_count(project: Project) -> None:
    thread = write_later(project, [failing(number, version="2") for number in (1, 2, 3)])
    with pytest.raises(StackError):
        promotion.follow(project, "sample", "champion", "3", 0, lambda _: None)
    thread.join()


class NoRegistry:
    """Nothing here asks the registry."""

    def aliases(self) -> None:
        return None

    def error(self) -> str:
        return ""


@pytest.mark.slow
def test_a_worker_says_why_it_failed_and_the_controller_writes_it_down(project: Project) -> None:
    found = controller.Controller(project, NoRegistry())  # type: ignore[arg-type]
    memory = controller.Memory(Observer(project, "sample"), desired=DesiredState("3", None))
    found.models["sample"] = memory
    workers = []
    for kill in (False, True):
        if kill:  # held first, else it may be done before it is killed
            found.idle = found.idle or [worker_process.WorkerProcess()]
            found.idle[-1]._process.send_signal(signal.SIGSTOP)
        worker = found._hand_over(Order(name="sample", role="champion", step="release"))
        if kill:
            worker._process.kill()
        while (ending := worker.ending()) is None:
            time.sleep(0.05)
        memory.worker = worker
        found._finished("sample", memory, time.monotonic(), ending)
        written = activity.read(project, "sample")
        assert written is not None
        assert written.wants("champion", "3")
        assert written.failure == (
            "the process that released it was killed or crashed" if kill else "the stack is not well"
        )
        assert written.failures == 1 + kill
        workers.append(worker)
    for worker in workers:
        worker.dismiss()
        with worker._process:
            pass


def test_a_worker_that_is_preempted_and_does_not_end_is_killed_and_that_is_no_failure(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "PREEMPT_SECONDS", 0.0)
    worker = worker_process.WorkerProcess()
    worker.preempt()
    worker._process.wait(10)
    assert worker.ending() == Ending()
    worker.dismiss()
    with worker._process:
        pass


def test_what_was_written_by_another_version_of_us_is_nothing(project: Project) -> None:
    activity.write(project, "sample", failing(1))
    path = activity._file(project, "sample")
    path.write_text(path.read_text().replace("failures", "mishaps"))
    assert activity.read(project, "sample") is None


def test_a_wait_is_announced_again_and_again() -> None:
    said: list[str] = []
    with waiting.announced("the lock", said.append, period_seconds=0.05):
        while len(said) < 3:
            time.sleep(0.01)
    count = len(said)
    assert said[0].startswith("waiting for the lock (")
    time.sleep(0.15)
    assert len(said) == count
    with waiting.announced("the lock", None):
        pass


def test_a_run_says_that_another_one_works_on_the_data(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "announced", partial(waiting.announced, period_seconds=0.05))
    said: list[str] = []
    held = threading.Event()

    def hold() -> None:
        with reproduction.data_lock(project, None):
            held.set()
            while not said:
                time.sleep(0.01)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    with reproduction.data_lock(project, said.append):
        assert said[0].startswith("waiting for another run that works on the data")
    thread.join()


class KnownLedger:
    """Entries that a test gives."""

    def __init__(self) -> None:
        self.given: list[Entry] = []

    def entries(self) -> list[Entry]:
        return self.given

    def add(self, release: str, event: Event, version: str, **facts: object) -> None:
        at = len(self.given)
        after = VersionRef(version=version, package_digest="a" * 64)
        self.given.append(
            Entry(
                sequence=at, time="", release=release, event=event, role="champion", before=None, after=after,
                asked_by="", facts=facts, previous="", digest="", signature="",
            )
        )  # fmt: skip


def test_a_release_is_overtaken_although_a_rollback_was_open_when_its_worker_was_first_looked_at(
    project: Project,
) -> None:
    """Seen in a sequence of accidents: the release waited for an approval for ever, under an order of long ago."""
    known = KnownLedger()
    observer = SimpleNamespace(ledger=known)
    order = Order(name="sample", role="champion", step="release")
    memory = controller.Memory(observer, order=order)  # type: ignore[arg-type]
    found = controller.Controller(project, NoRegistry())  # type: ignore[arg-type]
    wanted, other = DesiredState("35", None), DesiredState("4", None)
    known.add("back", "asked", "1", **{PRODUCTION: {}})
    assert not found._is_superseded(memory, wanted)
    known.add("back", "served", "1")
    assert not found._is_superseded(memory, wanted)
    for event in ("asked", "verified", "waiting"):
        known.add("own", event, "35")
        assert not found._is_superseded(memory, wanted)
    assert found._is_superseded(memory, other)
    known.add("later", "asked", "1", **{PRODUCTION: {}})  # another rollback, which closes it
    assert not found._is_superseded(memory, wanted)
    known.add("own", "superseded", "35")
    assert found._is_superseded(memory, wanted)


def test_a_version_that_serves_is_not_waited_for_because_another_one_was_asked_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promote 2, think better of it, promote 1, which serves: the release of 2 ends, and nothing else will come."""
    known = KnownLedger()
    slot = SlotStatus(version="1", package_digest="d", state="ready", since=0.0)
    worker = WorkerStatus(worker=1, generation=1, code="c", champion=slot)
    status = ServiceStatus(model="sample", expected=1, workers=[worker], absent=["far"])
    service = SimpleNamespace(status=lambda: status, url="http://here")
    monkeypatch.setattr(promotion.ledgers, "of", lambda _project, _name: known)
    monkeypatch.setattr(promotion, "target_of", lambda _project, _name: service)
    known.add("other", "asked", "2")
    known.add("other", "superseded", "2")
    outcome = promotion.follow(project, "sample", "champion", "1", 0, lambda _: None)
    assert (outcome.entry, outcome.version, outcome.url) == (None, "1", "http://here")
    said: list[str] = []
    with pytest.raises(StackError):
        promotion.follow(project, "sample", "champion", "3", 2, said.append)
    assert all("(away: far;" in line for line in said)
    assert said


@pytest.mark.parametrize("failures", [3, 10**9])
def test_a_cluster_that_is_away_is_waited_for(failures: int, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alias is set, and the controller follows it: a hiccup of the API server ends nothing."""
    slot = SlotStatus(version="3", package_digest="d", state="ready", since=0.0)
    worker = WorkerStatus(worker=1, generation=1, code="c", champion=slot)
    left = [ClusterAbsentError("the cluster does not answer", got="Remote end closed")] * min(failures, 99)

    def answer() -> ServiceStatus:
        if left:
            raise left.pop()
        return ServiceStatus(model="sample", expected=1, workers=[worker])

    service = SimpleNamespace(status=answer, url="http://here")
    monkeypatch.setattr(promotion, "target_of", lambda _project, _name: service)
    said: list[str] = []
    if failures == 3:
        outcome = promotion.follow(project, "sample", "champion", "3", 0, said.append)
        assert outcome.version == "3"
        assert "for the cluster: the cluster does not answer" in said[0]
        return
    with pytest.raises(StackError, match="the cluster does not answer") as away:
        promotion.follow(project, "sample", "champion", "3", 0, said.append)
    assert "the registry says that champion is to be version 3: the controller follows" in str(away.value.next_step)
