"""A process in the background yields to other sessions, and so do the sessions that it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import subprocess, sys
from pathlib import Path
from components.core import priority

priority.lower(7)
print(Path("/proc/self/autogroup").read_text().split()[-1])
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
priority.follow(child.pid)
print(Path(f"/proc/{child.pid}/autogroup").read_text().split()[-1])
child.kill()
"""


def test_sessions_of_a_nice_process_are_nice() -> None:
    if not Path("/proc/self/autogroup").exists():
        pytest.skip("this kernel does not schedule by sessions")
    before = Path("/proc/self/autogroup").read_text()
    done = subprocess.run(
        [sys.executable, "-c", CODE], start_new_session=True, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["7", "7"]
    assert Path("/proc/self/autogroup").read_text() == before
