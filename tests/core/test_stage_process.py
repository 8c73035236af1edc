"""Stages as processes: errors are passed unchanged, and a host gives the same result as no host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from components.core import errors, stage_process

STAGE = """\
import os, signal, sys, time
from components.core import stage_process, errors
def main(words):
    print("here", os.getcwd(), *words, "json" in sys.modules, flush=True)
    if words[0] == "refuse":
        raise errors.ValidationRefused("12 samples fail", got=12, expected=0)
    if words[0] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if words[0] == "meet":  # ends once another stage is at work beside it
        open(words[1], "w").close()
        while not os.path.exists(words[2]):
            time.sleep(0.01)
    if words[0] == "wait":
        time.sleep(30)
if __name__ == "__main__":
    sys.exit(stage_process.run("sample", "sample_stage:main"))
"""


@pytest.fixture(params=["alone", "hosted"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    (tmp_path / "sample_stage.py").write_text(STAGE)
    root = Path(__file__).resolve().parents[2]
    variables = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}", "PYTHONUNBUFFERED": "1"}
    if request.param == "alone":
        yield variables
        return
    with tempfile.TemporaryDirectory() as short:
        place = f"{short}/host"
        host = subprocess.Popen(
            [sys.executable, "-m", "components.core.stage_process", place, "colorsys"], env=variables
        )
        try:
            while not Path(place).exists():
                time.sleep(0.01)
            yield {**variables, stage_process.host_variable("sample"): place}
        finally:
            host.terminate()
            host.wait()


def command(tmp_path: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(tmp_path / "sample_stage.py"), *arguments]


def test_output_folder_and_exit_code(environment: dict[str, str], tmp_path: Path) -> None:
    for _ in range(2):
        completed = subprocess.run(
            command(tmp_path, "go", "on"), env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert completed.returncode == 0
        assert completed.stdout.startswith(f"here {tmp_path} go on")


def test_an_error_crosses_whole(environment: dict[str, str], tmp_path: Path) -> None:
    error_file = tmp_path / "error.json"
    completed = subprocess.run(
        command(tmp_path, "refuse"),
        env={**environment, stage_process.ERROR_FILE: str(error_file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 3
    assert "12 samples fail" not in completed.stderr
    error = errors.ModelyardError.from_dict(json.loads(error_file.read_text()))
    assert isinstance(error, errors.ValidationRefused)
    assert (error.got, error.expected) == ("12", "0")


def test_stages_run_side_by_side(environment: dict[str, str], tmp_path: Path) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    both = [
        subprocess.Popen(command(tmp_path, "meet", own, theirs), env=environment, stdout=subprocess.DEVNULL)
        for own, theirs in ((one, other), (other, one))
    ]
    assert [process.wait(timeout=30) for process in both] == [0, 0]


def test_a_killed_stage_is_seen_as_killed(environment: dict[str, str], tmp_path: Path) -> None:
    completed = subprocess.run(command(tmp_path, "die"), env=environment, capture_output=True, check=False)
    assert completed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)


def test_ctrl_c_reaches_the_stage(environment: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path, "wait"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("here")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "stopped" in stderr


def test_spec_errors_keep_their_problems() -> None:
    error = errors.SpecError("a.yaml", (errors.Problem("x.y", "unknown key", 3),))
    back = errors.ModelyardError.from_dict(json.loads(json.dumps(error.to_dict())))
    assert isinstance(back, errors.SpecError)
    assert back.lines() == error.lines()


def test_a_program_that_is_not_ours_ends_with_its_parent() -> None:
    code = (
        "import subprocess, time; from components.core import with_parent; "
        "print(subprocess.Popen(with_parent.command(['sleep', '60'])).pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    end = time.monotonic() + 20
    while child.cmdline()[:1] != ["sleep"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    parent.kill()
    parent.communicate()
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:  # nobody may wait for it
        assert time.monotonic() < end
        time.sleep(0.02)
