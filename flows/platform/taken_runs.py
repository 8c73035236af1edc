"""Puts back flow runs that a runner had taken and not begun when it was killed.

Prefect leaves such a run PENDING for good, and where its deployment has a limit of runs, no other one of it begins.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx

from components.core.errors import ModelyardError

MOST_SECONDS = 600.0  # between being taken and running; the imports of a busy machine take a minute
_EVERY_SECONDS = 60.0
_DATE_SECONDS = 2.0  # by which a header's date may be late: it has whole seconds, and uvicorn renews it each second


def put_back(client: httpx.Client, pool: str, most_seconds: float = MOST_SECONDS) -> list[str]:
    """Let a worker of the pool take the runs again that are PENDING for longer; returns their ids.

    Raises:
        httpx.HTTPError: Prefect rejected the request or did not answer.
    """
    chosen = {
        "work_pools": {"name": {"any_": [pool]}},
        "flow_runs": {"state": {"type": {"any_": ["PENDING"]}}},
    }
    answer = client.post("/flow_runs/filter", json=chosen).raise_for_status()
    now = parsedate_to_datetime(answer.headers["date"])  # the server's clock, as that of the states
    found = []
    for run in answer.json():
        waits = (now - datetime.fromisoformat(run["state"]["timestamp"])).total_seconds()
        if waits + _DATE_SECONDS < most_seconds:
            continue
        message = f"a runner took it and did not begin it within {most_seconds:g} s"
        state = {
            "type": "SCHEDULED", "name": "Scheduled", "message": message,
            "state_details": {"scheduled_time": now.isoformat()},
        }  # fmt: skip
        client.post(f"/flow_runs/{run['id']}/set_state", json={"state": state}).raise_for_status()
        found.append(str(run["id"]))
    return found


def watch(opened: Callable[[], httpx.Client], pool: str) -> None:
    """Put such runs back from now on, in a thread of this process."""

    def look() -> None:
        while True:
            try:
                with opened() as client:
                    for run in put_back(client, pool):
                        print(f"flow run {run} is put back: the runner that took it is gone", flush=True)
            except (httpx.HTTPError, ModelyardError, KeyError, ValueError) as error:  # a proxy may leave out the date
                print(f"runs that a runner left could not be looked for: {error!r}", flush=True)
            time.sleep(_EVERY_SECONDS)

    threading.Thread(target=look, name="taken runs", daemon=True).start()
