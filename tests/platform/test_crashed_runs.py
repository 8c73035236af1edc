"""Killed runs are marked as crashed; running ones are not."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from components.core.project import Project
from flows.platform import crashed_runs, ports, process_identity


def _ended() -> dict[str, object]:
    """The identity of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = process_identity.of(process.pid)
        assert identity is not None
        process.communicate(b"\n")
    return identity.to_json()


def _file(project: Project, run: str) -> Path:
    path = project.state / "flows" / f"{run}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _prefect() -> Iterator[tuple[str, list[str]]]:
    """A server that accepts every state of a run, and the paths that were posted to it."""
    posted: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api", posted
        server.shutdown()


def test_a_killed_run_is_marked_when_prefect_answers(tmp_path: Path) -> None:
    project = Project(tmp_path)
    path = _file(project, "a-run")
    path.write_text(json.dumps(_ended()))
    assert crashed_runs.mark_crashed(project, f"http://127.0.0.1:{ports.choose(4900, set())}/api") == []
    assert path.exists()
    with _prefect() as (api, posted):
        assert crashed_runs.mark_crashed(project, api) == ["a-run"]
    assert posted == ["/api/flow_runs/a-run/set_state"]
    assert not path.exists()


def test_a_run_that_ends_between_the_listing_and_the_reading_is_no_crash(tmp_path: Path) -> None:
    project = Project(tmp_path)
    _file(project, "a-run").symlink_to(tmp_path / "gone")  # listed, and not there when it is read
    with _prefect() as (api, posted):
        assert crashed_runs.mark_crashed(project, api) == []
    assert posted == []


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="no /proc here")
def test_a_stepped_clock_makes_no_run_look_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)
    with crashed_runs.tracked(project, "a-run"), _prefect() as (api, posted):
        # After a step of the wall clock the kernel gives another boot time.
        stepped = tmp_path / "proc"
        stepped.mkdir()
        (stepped / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
        boot = re.sub(r"btime (\d+)", lambda found: f"btime {int(found[1]) - 3600}", Path("/proc/stat").read_text())
        (stepped / "stat").write_text(boot)
        before = psutil.Process().create_time()
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(stepped))
        assert psutil.Process().create_time() != before
        assert crashed_runs.mark_crashed(project, api) == []
        assert [process.pid for process in crashed_runs.started_by_hand(project)] == [os.getpid()]
    assert posted == []
