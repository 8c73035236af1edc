"""A stage that is tried again: the run says why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from prefect.context import TaskRunContext

from components.core.errors import StageKilled
from flows.pipelines import flow


@pytest.mark.parametrize(("attempt", "messages"), [(1, 1), (2, 1), (3, 0)])
def test_the_cause_is_logged_where_another_attempt_follows(
    monkeypatch: pytest.MonkeyPatch, attempt: int, messages: int
) -> None:
    running = SimpleNamespace(task_run=SimpleNamespace(run_count=attempt), task=flow.train_task)
    monkeypatch.setattr(TaskRunContext, "get", lambda: running)
    logged: list[str] = []
    context = cast(Any, SimpleNamespace(log=logged.append))
    with pytest.raises(StageKilled), flow._logging_retries(context):
        raise StageKilled("process 1 of 2 of the training was killed", got="SIGKILL")
    assert logged == ["  process 1 of 2 of the training was killed: SIGKILL; trying again"] * messages
