"""The spec of a service: read by old and new code, written by one process at a time, never set back."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.contracts import serving_spec
from components.contracts.serving_spec import (
    SPEC_FILE,
    ChallengerLimits,
    ChallengerSpec,
    OvertakenError,
    RolloutPolicy,
    ServiceStatus,
    ServingSpec,
    SlotSpec,
    SlotStatus,
    UnreadableSpecError,
    WorkerStatus,
    set_aside,
)

ONE, TWO = (SlotSpec(version=number, package_digest=number * 64, bundle=f"../{number}") for number in "12")
POLICY = RolloutPolicy(
    canary_percent=10.0, limits=ChallengerLimits(max_error_rate=0.1, max_latency_ratio=2.0, min_requests=5)
)
CHALLENGER = ChallengerSpec(**TWO.model_dump(), policy=POLICY)


def _with_unknown_fields(value: object) -> object:
    if isinstance(value, dict):
        return {**{key: _with_unknown_fields(inner) for key, inner in value.items()}, "of_next_year": {"a": [1]}}
    return [_with_unknown_fields(inner) for inner in value] if isinstance(value, list) else value


def test_fields_of_a_later_version_are_ignored_at_every_depth() -> None:
    spec = ServingSpec(generation=3, decision=2, champion=ONE, challenger=CHALLENGER)
    ready = SlotStatus(version="1", package_digest="1" * 64, state="ready", since=1.0)
    status = ServiceStatus(
        model="digits",
        expected=1,
        workers=[WorkerStatus(worker=1, generation=3, code="c", champion=ready, policy=POLICY)],
    )
    for present in (spec, status):
        document = json.dumps(_with_unknown_fields(present.model_dump(mode="json")))
        assert type(present).model_validate_json(document) == present


def test_fields_that_an_earlier_version_did_not_write_have_defaults() -> None:
    spec = ServingSpec.model_validate_json('{"generation": 1}')
    assert (spec.decision, spec.champion) == (0, None)
    worker = WorkerStatus.model_validate_json('{"worker": 1, "generation": 1, "code": "c"}')
    assert (worker.spec_format, worker.champion_stats.requests) == (0, 0)


def test_a_change_keeps_the_other_slots_and_raises_the_generation(tmp_path: Path) -> None:
    first = ServingSpec.apply(tmp_path, {"champion": ONE}, decision=1)
    second = ServingSpec.apply(tmp_path, {"champion": TWO, "previous": ONE}, decision=2)
    third = ServingSpec.apply(tmp_path, {"previous": None})
    assert [spec.generation for spec in (first, second, third)] == [1, 2, 3]
    assert (third.champion, third.previous, third.decision) == (TWO, None, 2)
    assert ServingSpec.read(tmp_path) == third


def test_the_same_again_writes_nothing_unless_it_is_to_be_repeated(tmp_path: Path) -> None:
    first = ServingSpec.apply(tmp_path, {"champion": ONE}, decision=1)
    before = (tmp_path / SPEC_FILE).stat()
    assert ServingSpec.apply(tmp_path, {"champion": ONE}) == first
    after = (tmp_path / SPEC_FILE).stat()  # of another inode had it been written anew; reading may change st_atime
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert ServingSpec.apply(tmp_path, {}, repeat=True).generation == first.generation + 1
    assert ServingSpec.apply(tmp_path, {}, decision=2).decision == 2
    assert ServingSpec.apply(tmp_path, {"champion": None}).generation == 4


def test_an_empty_spec_is_written_where_there_is_none(tmp_path: Path) -> None:
    assert ServingSpec.apply(tmp_path / "new", {}).generation == 1
    assert ServingSpec.read(tmp_path / "new") is not None


def test_an_earlier_decision_never_replaces_a_later_one(tmp_path: Path) -> None:
    present = ServingSpec.apply(tmp_path, {"champion": TWO}, decision=7)
    with pytest.raises(OvertakenError) as caught:
        ServingSpec.apply(tmp_path, {"champion": ONE}, decision=6)
    assert (caught.value.got, caught.value.expected) == ("decision 6", "decision 7 or later")
    with pytest.raises(OvertakenError):
        ServingSpec(generation=99, decision=6, champion=ONE).write(tmp_path)
    assert ServingSpec.read(tmp_path) == present
    assert ServingSpec(generation=0, decision=7, champion=ONE).write(tmp_path).generation == 2


def test_writers_at_the_same_time_lose_no_change(tmp_path: Path) -> None:
    begin = threading.Barrier(8)

    def write(decision: int) -> bool:
        begin.wait()
        try:
            ServingSpec.apply(tmp_path, {"champion": ONE if decision % 2 else TWO}, decision=decision)
        except OvertakenError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(write, range(1, 9)))
    spec = ServingSpec.read(tmp_path)
    assert spec is not None
    assert (spec.decision, spec.generation) == (8, sum(done))
    assert spec.champion == TWO


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"generation": "two"}', b"[]"])
def test_an_unreadable_spec_is_no_empty_spec(content: bytes, tmp_path: Path) -> None:
    (tmp_path / SPEC_FILE).write_bytes(content)
    for write in (
        lambda: ServingSpec.apply(tmp_path, {"champion": ONE}, decision=9),
        lambda: ServingSpec(generation=9, decision=9).write(tmp_path),
        lambda: ServingSpec.load(tmp_path),
    ):
        with pytest.raises(UnreadableSpecError) as caught:
            write()
        assert caught.value.where == str(tmp_path / SPEC_FILE)
        assert caught.value.next_step
    assert (tmp_path / SPEC_FILE).read_bytes() == content
    aside = set_aside(tmp_path)
    assert aside is not None
    assert aside.read_bytes() == content
    assert set_aside(tmp_path) is None
    assert ServingSpec.apply(tmp_path, {"champion": ONE}).champion == ONE


def test_a_read_error_that_passes_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    present = ServingSpec.apply(tmp_path, {"champion": ONE})
    failures = iter([OSError(5, "Input/output error")] * (serving_spec.READ_ATTEMPTS - 1))
    read = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == SPEC_FILE and (error := next(failures, None)):
            raise error
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    assert ServingSpec.load(tmp_path) == present
    failures = iter([OSError(5, "Input/output error")] * serving_spec.READ_ATTEMPTS)
    with pytest.raises(UnreadableSpecError, match="cannot be read"):
        ServingSpec.load(tmp_path)
