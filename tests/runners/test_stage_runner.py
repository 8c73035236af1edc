"""Running a stage as a process: its errors are raised unchanged in the caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from components.core import stage_process
from components.core.errors import Interrupted, UsageError
from tests.pipelines import stage_call

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_stages_error_comes_back_whole(tmp_path: Path) -> None:
    output: list[str] = []
    with pytest.raises(UsageError) as caught:
        stage_call.call("evaluation", tmp_path, "request.json", output.append, output.append)
    assert "request" in caught.value.what
    assert not any("Traceback" in line for line in output)


_CHATTY = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a stage that keeps its work first
for number in range(20_000):
    print(f"line {number} of many", file=getattr(sys, sys.argv[1].rpartition("/")[2].removesuffix(".json")))
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_taker_that_fails_leaves_no_stage_hanging(tmp_path: Path, stream: str) -> None:
    folder = tmp_path / "components" / "chatty"
    folder.mkdir(parents=True)
    (tmp_path / "components" / "__init__.py").touch()
    (folder / "__main__.py").write_text(_CHATTY)

    def broken(_line: str) -> None:
        raise BrokenPipeError("head has read its line")

    with pytest.raises(BrokenPipeError, match="head has read"):
        stage_call.call("chatty", tmp_path, f"{stream}.json", broken, broken)


# Ctrl-C is noted and the work is kept, which takes a while; or it is not heeded at all.
_STUBBORN = """
import signal, sys, time
from pathlib import Path

def main(arguments):
    def keep(*_):
        time.sleep(float(arguments[0].rpartition("/")[2].removesuffix(".json")))
        Path("kept").touch()
        sys.exit(130)

    signal.signal(signal.SIGINT, keep)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("begun", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    from components.core.stage_process import run
    sys.exit(run("stubborn", "components.stubborn.__main__:main"))
"""
_CALLER = """
import sys
from pathlib import Path
from components.core.errors import Interrupted
from tests.pipelines import stage_call

def on_event(line):
    print(line, flush=True)

try:
    stage_call.call(
        "stubborn", Path(sys.argv[1]), f"{sys.argv[2]}.json", on_event, grace_seconds=float(sys.argv[3])
    )
except Interrupted as error:
    print(error.what, error.got)
"""


@pytest.fixture
def stubborn(tmp_path: Path) -> Path:
    """A folder whose package `components` is this project's, with one more stage."""
    (tmp_path / "components").mkdir()
    for path in (ROOT / "components").iterdir():
        (tmp_path / "components" / path.name).symlink_to(path)
    (tmp_path / "components" / "stubborn").mkdir()
    (tmp_path / "components" / "stubborn" / "__main__.py").write_text(_STUBBORN)
    return tmp_path


def stop_a_caller(folder: Path, needs_seconds: float, grace_seconds: float) -> tuple[str, float]:
    """Send SIGTERM to a process that waits for a stage; returns its output, and the seconds until it ended."""
    command = [sys.executable, "-c", _CALLER, str(folder), str(needs_seconds), str(grace_seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "begun\n"
        started_at = time.monotonic()
        caller.send_signal(signal.SIGTERM)
        output = caller.stdout.read().strip()
        caller.wait()
        return output, time.monotonic() - started_at


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_sigterm_to_the_caller_cancels_the_stage_and_raises(stubborn: Path) -> None:
    output, seconds = stop_a_caller(stubborn, needs_seconds=0.3, grace_seconds=20)
    assert output == "stubborn was stopped SIGTERM"
    assert seconds < 10
    assert (stubborn / "kept").exists()


@pytest.mark.timeout(60)
def test_a_stage_that_does_not_end_within_its_grace_is_killed(stubborn: Path) -> None:
    output, seconds = stop_a_caller(stubborn, needs_seconds=30, grace_seconds=0.5)
    assert output == "stubborn was stopped SIGTERM"
    assert seconds < 2.5
    assert not (stubborn / "kept").exists()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_what_a_host_runs_is_killed_too(stubborn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    place = stubborn / "socket"
    command = [sys.executable, "-m", "components.core.stage_process", str(place)]
    with subprocess.Popen(command, cwd=stubborn) as host:
        try:
            while not place.exists():
                time.sleep(0.02)
            monkeypatch.setenv(stage_process.host_variable("stubborn"), str(place))
            output, seconds = stop_a_caller(stubborn, needs_seconds=2.5, grace_seconds=0.2)
            assert output == "stubborn was stopped SIGTERM"
            assert seconds < 2
            time.sleep(2.5)
            assert not (stubborn / "kept").exists()
        finally:
            host.terminate()


@pytest.mark.timeout(60)
def test_ctrl_c_interrupts_the_stage(stubborn: Path) -> None:
    def interrupt(_line: str) -> None:
        threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()

    with pytest.raises(Interrupted, match="stubborn"):
        stage_call.call("stubborn", stubborn, "0.1.json", interrupt)
    assert (stubborn / "kept").exists()


@pytest.mark.timeout(60)
def test_a_handler_of_the_caller_is_left_alone(stubborn: Path) -> None:
    noted: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: noted.append(number))

    def stop(_line: str) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    try:
        with pytest.raises(Interrupted):
            stage_call.call("stubborn", stubborn, "0.1.json", stop)
        assert noted == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
