"""The clean processes: only the bundle's own code, nothing inherited, nothing left behind."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components.access import project_door
from components.access import secret as secrets
from components.access.secret import Credentials
from components.core.project import Project
from components.gates.endpoint import Endpoint, EndpointStartFailed
from tests.gates.small_release import SmallRelease
from tests.processes import is_gone

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def workers() -> set[int]:
    """Our own worker processes, and those of the stages that a test starts."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(word.endswith("isolated_worker.py") for word in words):
            found.add(process.pid)
    return found


def test_it_runs_the_bundles_code_alone(served: SmallRelease, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_SERVICE", str(served.folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    candidate = served.bundle("complete")
    with Endpoint(Path(candidate.bundle), 2, "sample") as endpoint:
        endpoint.wait()
        connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=30)
        connection.request("GET", "/model")
        said = json.loads(connection.getresponse().read())
        connection.close()
        assert said["package"] == candidate.package_digest
    # What is installed here, and lies in PYTHONPATH, does not stand in for a module that the bundle lacks.
    missing = served.bundle("incomplete")
    (Path(missing.bundle) / "src" / "components" / "preprocessing" / "image.py").unlink()
    with Endpoint(Path(missing.bundle), 1, "sample") as endpoint, pytest.raises(EndpointStartFailed) as caught:
        endpoint.wait()
    assert "cannot import name 'image' from 'components.preprocessing'" in str(caught.value)


def test_it_has_the_door_of_a_service(served: SmallRelease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.setenv("MODELYARD_PROJECT", str(tmp_path))
    project = Project.find()
    secret = secrets.create(project_door.secret_file(project))
    with Endpoint(Path(served.bundle("guarded").bundle), 1, "sample") as endpoint:
        endpoint.wait()
        for path, headers, status in (
            ("/model", {}, 200),
            ("/metrics", {}, 401),
            ("/status", {}, 401),
            ("/release", {}, 401),
            ("/model", {"Host": "evil.example"}, 403),
            ("/metrics", Credentials("test", secret).headers, 200),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=30)
            connection.request("GET", path, headers=headers)
            assert connection.getresponse().status == status, path
            connection.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_stage_is_stopped(
    served: SmallRelease, tmp_path: Path, number: signal.Signals
) -> None:
    request = served.request(served.bundle(f"stopped-{number}"), None, ("parity",))
    (tmp_path / "request.json").write_text(request.model_dump_json())
    before = workers()
    words = [sys.executable, "-m", "components.gates", str(tmp_path / "request.json")]
    with subprocess.Popen(words, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}) as stage:
        until = time.monotonic() + 30
        while not (started := workers() - before) and time.monotonic() < until:
            time.sleep(0.01)
        stage.send_signal(number)
        stage.wait(30)
    assert started
    until = time.monotonic() + 30
    while not all(map(is_gone, started)) and time.monotonic() < until:
        time.sleep(0.05)
    assert all(map(is_gone, started))
    assert not Path(request.folder).exists()
    if number != signal.SIGKILL:
        assert not list(tmp_path.glob("modelyard-endpoint-*"))
