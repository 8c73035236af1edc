"""Runs that were killed, while Prefect is not there to be told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from components.contracts.project import Project
from flows import reconcile
from flows.stack import ports


def test_a_killed_run_waits_until_prefect_can_be_told(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path = tmp_path / ".modelyard" / "flows" / "a-run.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"process": ended.pid, "started": 0.0}))
    project = Project(tmp_path)
    assert path.parent == project.state / "flows"
    assert reconcile.crashed(project, f"http://127.0.0.1:{ports.choose(4900, set())}/api") == []
    assert path.exists()
