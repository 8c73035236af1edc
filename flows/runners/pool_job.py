"""The flow of a stage in a Prefect work pool: a worker starts it, and it runs `flows.runners.node_job`."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Crashed, Failed

SIGN_SECONDS = 5.0  # between two signs of life
GRACE_SECONDS = 25.0  # to save a checkpoint; Prefect's worker kills after 30 s


@flow(name="modelyard-stage", retries=0, persist_result=False, validate_parameters=False)
def stage(folder: str, store: str) -> State[Any]:
    """Run the job in a folder; its output goes to files there.

    Args:
        folder: of the job.
        store: the artifact store, a folder or a URL.
    """
    place = Path(folder)
    sign = place / f"{flow_run.id}.alive"
    command = [sys.executable, "-u", "-m", "flows.runners.node_job", folder, store, "--with-parent"]
    with (place / f"{flow_run.id}.out").open("ab") as out, (place / f"{flow_run.id}.err").open("ab") as messages:
        process = subprocess.Popen(command, stdout=out, stderr=messages, start_new_session=True)
        try:
            while True:
                sign.touch()
                try:
                    code = process.wait(SIGN_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:  # the run is cancelled
            process.send_signal(signal.SIGINT)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise
    if code < 0:
        return Crashed(message=f"killed by signal {-code}")
    return Completed(message="done") if code == 0 else Failed(message=f"exit code {code}; see {place}")
