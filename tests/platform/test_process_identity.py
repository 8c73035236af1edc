"""The identity of a process: PID, start and boot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flows.platform import process_identity
from flows.platform.process_identity import Identity


def test_a_process_is_itself_until_it_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = process_identity.of(process.pid)
        assert identity is not None
        assert identity.pid == process.pid
        assert identity.is_alive()
        assert Identity.from_json(json.loads(json.dumps(identity.to_json()))) == identity
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended and is not collected: a zombie
        assert process_identity.of(process.pid) is None
    assert not identity.is_alive()


def test_the_same_pid_at_another_time_or_after_another_boot_is_another_process() -> None:
    own = process_identity.own()
    assert own.is_alive()
    assert not replace(own, start=own.start + 1).is_alive()
    assert not replace(own, boot="another").is_alive()


@pytest.mark.parametrize(
    "document", [None, [], {}, {"process": 1, "started": 2.0}, {"pid": "1", "start": 1, "boot": ""}]
)
def test_what_is_no_identity_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="not the identity"):
        Identity.from_json(document)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_a_small_launcher_imports_it_without_psutil() -> None:
    code = "import sys, flows.platform.process_identity as found; found.own(); print('psutil' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    completed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert completed.stdout == "False\n"
