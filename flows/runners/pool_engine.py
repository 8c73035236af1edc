"""Jobs as flow runs of a Prefect work pool, by Prefect's REST API."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from components.contracts.runner_spec import PoolSpec
from components.core.errors import ModelyardError, StackError, StageKilled
from components.core.log import Log
from flows.platform.prefect_client import PrefectClient
from flows.runners import pool_variables
from flows.runners.job_engine import JobState

FLOW, ENTRYPOINT = "modelyard-stage", "flows.runners.pool_job.stage"
WAITING_POD = "InfrastructurePending"  # the state's name that the worker of a Kubernetes pool sets
OPEN = ("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "PAUSED")
# A job touches a file every few seconds. Without it for so long, as seen from here, its worker or machine is gone:
# Prefect itself leaves such a run RUNNING for good. A network file system may show a time a minute late.
ALIVE_SECONDS = 180.0
# A worker that is killed after it has taken a run, and before it has started it, leaves it PENDING for good.
TAKEN_SECONDS = 600.0


class PoolEngine:
    """A `JobEngine`.

    Args:
        client: of the Prefect server whose work pool it is.
        log: called with each message for the user.
    """

    def __init__(self, spec: PoolSpec, client: PrefectClient, log: Log) -> None:
        self._spec, self._client, self._log = spec, client, log
        self._signs: dict[str, tuple[object, float]] = {}  # of life, and when they were first seen
        self._taken: dict[str, float] = {}  # when a run that a worker has taken, and not started, was first seen

    @property
    def label(self) -> str:
        """As `JobEngine.label`."""
        return f"the work pool {self._spec.pool}"

    def find(self, name: str) -> str | None:
        """As `JobEngine.find`."""
        asked = {
            "flow_runs": {"tags": {"all_": [name]}, "state": {"type": {"any_": list(OPEN)}}},
            "flows": {"name": {"any_": [FLOW]}}, "limit": 1,
        }  # fmt: skip
        found = self._client.request("POST", "/flow_runs/filter", asked)
        return str(found[0]["id"]) if found else None

    def submit(self, name: str, folder: Path, variables: dict[str, str], store: str) -> str:
        """As `JobEngine.submit`.

        Raises:
            StackError: there is no such pool, or Prefect refuses.
            UsageError: jobs of the pool cannot be given what is asked for.
        """
        pool = self._spec.pool
        described = self._client.request("GET", f"/work_pools/{pool}", missing_is_fine=True)
        if described is None:
            raise StackError(
                "there is no such work pool", got=pool,
                next_step=f"`prefect work-pool create {pool} --type process`, and start a worker of it",
            )  # fmt: skip
        asked = pool_variables.of_job(self._spec, described, variables)
        flow = self._client.request("POST", "/flows/", {"name": FLOW})["id"]
        deployment = self._client.request(
            "POST",
            "/deployments/",
            {
                "flow_id": flow, "name": pool, "work_pool_name": pool, "entrypoint": ENTRYPOINT,
                "enforce_parameter_schema": False, "parameter_openapi_schema": {"type": "object", "properties": {}},
            },
        )["id"]  # fmt: skip
        run = self._client.request(
            "POST",
            f"/deployments/{deployment}/create_flow_run",
            {
                "name": name, "tags": [name, "modelyard"], "job_variables": asked, "state": {"type": "SCHEDULED"},
                "parameters": {"folder": str(folder), "store": str(store)},
            },
        )  # fmt: skip
        return str(run["id"])

    def state(self, job: str, folder: Path) -> JobState:
        """As `JobEngine.state`; a job without a sign of life is marked as crashed."""
        run = self._client.request("GET", f"/flow_runs/{job}", missing_is_fine=True)
        if run is None:
            return JobState("GONE", False, "is gone")
        kind = str(run["state_type"])
        if kind != "RUNNING":
            self._signs.pop(job, None)  # it may wait for long before it runs again
        elif not self._is_alive(job, folder):
            message = f"no sign of life for {ALIVE_SECONDS:g} s"
            self._set(job, {"type": "CRASHED", "name": "Crashed", "message": message})
            return JobState("CRASHED", False, message)
        is_taken = kind == "PENDING" and run.get("state_name") != WAITING_POD
        if not is_taken:
            self._taken.pop(job, None)
        elif time.monotonic() - self._taken.setdefault(job, time.monotonic()) > TAKEN_SECONDS:
            message = f"a worker took it and did not start it within {TAKEN_SECONDS:g} s"
            self._set(job, {"type": "CRASHED", "name": "Crashed", "message": message})
            return JobState("CRASHED", False, message)
        if kind == "PENDING" and run.get("state_name") == WAITING_POD:
            return JobState(kind, True, f"waits for its pod ({self._diagnosis(job) or 'pending'})")
        if kind in ("SCHEDULED", "PENDING"):
            return JobState(kind, True, f"waits for a worker ({self._workers()})")
        if kind == "RUNNING":
            return JobState(kind, True, "runs", runs=True)
        state = run.get("state") or {}
        text = f"is {kind.lower()}" + (f": {state['message']}" if state.get("message") else "")
        return JobState(kind, kind in OPEN, text)

    def interrupt(self, job: str) -> None:
        """As `JobEngine.interrupt`: the worker ends it, and the job passes that on to its stage."""
        self._set(job, {"type": "CANCELLING", "name": "Cancelling"})

    def cancel(self, job: str) -> None:
        """As `JobEngine.cancel`; a run that no worker has begun, or whose worker is gone, ends at once."""
        run = self._client.request("GET", f"/flow_runs/{job}", missing_is_fine=True)
        if run is None:
            return
        if run["state_type"] == "RUNNING":
            self.interrupt(job)
            return
        if run["state_name"] == WAITING_POD:  # Prefect's worker leaves it there: once started, it ends by itself
            self._log(f"its pod still waits; `kubectl delete job -l prefect.io/flow-run-id={job}` takes it away")
        self._set(job, {"type": "CANCELLED", "name": "Cancelled"})

    def failure(self, job: str, stage: str, state: JobState, folder: Path) -> ModelyardError:
        """As `JobEngine.failure`."""
        where, kept = f"flow run {job} of {self.label}", "run again: it goes on from its checkpoint"
        if state.name in ("CANCELLED", "CANCELLING"):
            return ModelyardError(f"{stage} was cancelled in Prefect", where=where, next_step=kept)
        if state.name == "FAILED":
            asked = "look at the flow run's log: has the worker's interpreter Modelyard's requirements, and the folder?"
            return ModelyardError(f"{stage} failed in {self.label}", where=where, got=state.text, next_step=asked)
        diagnosis = self._diagnosis(job)
        if "OOMKilled" in diagnosis:
            more = "raise memory_mb of `run:`, or set a smaller train.batch_size"
            return ModelyardError(f"{stage} ran out of its memory", where=where, got=diagnosis, next_step=more)
        got = f"{state.text}; {diagnosis}" if diagnosis else state.text
        return StageKilled(f"{stage} was killed", where=where, got=got, next_step=kept)

    def _is_alive(self, job: str, folder: Path) -> bool:
        """Whether the job's file was touched within `ALIVE_SECONDS` of this machine's clock."""
        try:
            sign: object = (folder / f"{job}.alive").stat().st_mtime_ns
        except FileNotFoundError:
            sign = None
        seen = self._signs.setdefault(job, (sign, time.monotonic()))
        if seen[0] != sign:
            self._signs[job] = seen = (sign, time.monotonic())
        return time.monotonic() - seen[1] < ALIVE_SECONDS

    def _diagnosis(self, job: str) -> str:
        """What the worker of a Kubernetes pool says of a job's pod: no image, no node, evicted; empty if nothing."""
        asked = {
            "logs": {"flow_run_id": {"any_": [job]}, "level": {"ge_": logging.WARNING}},
            "sort": "TIMESTAMP_DESC", "limit": 20,
        }  # fmt: skip
        found = self._client.request("POST", "/logs/filter", asked)
        texts = [str(one["message"]) for one in found if " Resolution: " in one["message"]]
        return texts[0].partition(" Resolution: ")[0].rstrip(".") if texts else ""

    def _workers(self) -> str:
        found = self._client.request("POST", f"/work_pools/{self._spec.pool}/workers/filter", {})
        online = [worker for worker in found if worker.get("status") == "ONLINE"]
        return f"{len(online)} online" if online else "none is online"

    def _set(self, job: str, state: dict[str, Any]) -> None:
        self._client.request("POST", f"/flow_runs/{job}/set_state", {"state": state, "force": True})
