"""A run whose deployment was removed leaves its place in the runner to others."""

from __future__ import annotations

import asyncio
import uuid
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from flows.platform import runner

pytestmark = pytest.mark.slow  # imports Prefect


async def _places_taken_after(deployments: int) -> int:
    async def gone(_: uuid.UUID) -> None:
        raise ObjectNotFound(Exception())

    async def set_state(*_: Any, **__: Any) -> None:
        return None

    worker = ProcessWorker(work_pool_name="machines", limit=2)
    worker._limiter = anyio.CapacityLimiter(2)
    worker._client = SimpleNamespace(read_deployment=gone, set_flow_run_state=set_state, read_flow=gone)  # type: ignore[assignment]
    for _ in range(deployments):
        run = FlowRun(flow_id=uuid.uuid4(), deployment_id=uuid.uuid4(), state=Scheduled())
        worker._limiter.acquire_on_behalf_of_nowait(run.id)
        worker._submitting_flow_run_ids.add(run.id)
        await worker._submit_run(run)
    return int(worker._limiter.borrowed_tokens)


def test_a_run_of_a_removed_deployment_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseWorker, "_mark_flow_run_as_cancelled", BaseWorker._mark_flow_run_as_cancelled)
    assert asyncio.run(_places_taken_after(2)) == 2, "Prefect does it itself by now"
    runner.release_slots_of_removed_deployments()
    assert asyncio.run(_places_taken_after(2)) == 0
