"""The outcome of a stage elsewhere is the last line of its output, if that is one."""

from __future__ import annotations

import json

import pytest

from components.core.errors import Interrupted, UsageError
from flows.runners.stage_outcome import StageOutcome

RESULT = json.dumps({"result": {"artifacts": [{"kind": "trained", "digest": "d" * 64, "path": "runs/a/trained"}]}})
ERROR = json.dumps({"error": Interrupted("stopped").to_dict()})


def taken(*lines: str) -> tuple[StageOutcome, list[str]]:
    events: list[str] = []
    outcome = StageOutcome(events.append)
    for line in lines:
        outcome.take(line)
    return outcome, events


def test_the_last_word_counts() -> None:
    outcome, events = taken('{"event": "started"}', ERROR, '{"event": "started", "step": 4}', RESULT)
    assert events == ['{"event": "started"}', '{"event": "started", "step": 4}']
    assert outcome.error is None
    assert outcome.result().artifacts[0].path == "runs/a/trained"


def test_a_stage_that_goes_on_has_no_outcome_yet() -> None:
    outcome, _ = taken(RESULT, '{"event": "started"}')
    assert not outcome.is_known


def test_an_error_keeps_its_class() -> None:
    outcome, _ = taken(json.dumps({"error": UsageError("no such file", where="x").to_dict()}))
    assert isinstance(outcome.error, UsageError)
    with pytest.raises(UsageError, match="no such file"):
        outcome.result()


def test_a_line_that_was_cut_off_is_none() -> None:
    outcome, events = taken(RESULT[:40])
    assert not outcome.is_known
    assert events == [RESULT[:40]]


def test_a_job_that_is_queued_again_has_a_result_if_any_but_no_error() -> None:
    failed, _ = taken(ERROR)
    failed.forget_error()
    assert not failed.is_known
    done, _ = taken(RESULT)
    done.forget_error()
    assert done.is_known
