"""Which workers of a service are living: by their files and their processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from components.contracts.serving_spec import WorkerStatus
from serving.heartbeats import FRESH_SECONDS, Heartbeats

WRITE = """
import os, sys
from pathlib import Path
from components.contracts.serving_spec import WorkerStatus
from serving.heartbeats import Heartbeats
Heartbeats(Path(sys.argv[1])).write(WorkerStatus(worker=os.getpid(), generation=1, code=""))
print("said", flush=True)
input()
"""


def test_only_a_file_of_the_last_seconds_of_this_boot_counts(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    words = [sys.executable, "-c", WRITE, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "said\n"
        statements = Heartbeats(tmp_path)
        assert [said.worker for said in statements.others()] == [worker.pid]
        path = tmp_path / "workers" / f"{worker.pid}.json"
        # Neither a time of the wall clock (before and after a step) nor an old one is that of a living worker.
        for seconds in (time.time(), time.time() + 3600, time.monotonic() + 60, time.monotonic() - FRESH_SECONDS - 1):
            os.utime(path, (seconds, seconds))
            assert statements.others() == []
        worker.communicate("\n")


def test_a_worker_touches_its_file_with_the_monotonic_clock(tmp_path: Path) -> None:
    statements = Heartbeats(tmp_path)
    said = WorkerStatus(worker=os.getpid(), generation=1, code="")
    path = tmp_path / "workers" / f"{os.getpid()}.json"
    for _ in range(2):  # written, then only touched
        before = time.monotonic()
        statements.write(said)
        assert before - 0.01 <= path.stat().st_mtime <= time.monotonic()
