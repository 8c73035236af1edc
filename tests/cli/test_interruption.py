"""Ctrl-C at many moments of real commands prints at most one line, and never a traceback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# As the installed program does; `sys.argv` says when the command has begun, so that the start of Python itself, which
# no program can guard, is not counted.
PROGRAM = """
import os, sys
class Words(list):
    def __getitem__(self, key):
        os.write(int(os.environ["BEGUN"]), b".")
        return super().__getitem__(key)
sys.argv = Words(sys.argv)
from flows.cli import main
sys.exit(main())
"""


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """A command that has just started, in a process group of its own, as in a terminal."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        pass_fds=[writer], env={**os.environ, "BEGUN": str(writer)}, start_new_session=True,
    )  # fmt: skip
    os.close(writer)
    assert os.read(reader, 1) == b"."
    os.close(reader)
    return process


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        pytest.param(["why", "digits"], marks=pytest.mark.slow),
        pytest.param(["doctor"], marks=pytest.mark.slow),
    ],
)
def test_no_moment_of_a_command_ends_in_a_traceback(arguments: list[str]) -> None:
    started_at = time.monotonic()
    with start(arguments) as process:
        process.communicate()
        code = process.returncode
    seconds = time.monotonic() - started_at
    moments = max(12, min(18, int(seconds / 0.05)))  # a busy machine makes the command longer, not more of it
    stopped = 0
    for moment in range(moments):
        with start(arguments) as process:
            time.sleep(1.05 * seconds * moment / moments)
            os.killpg(process.pid, signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        assert "Traceback" not in stderr, f"after {1.05 * seconds * moment / moments:.2f} s: {stderr}"
        assert process.returncode in (code, 130, -signal.SIGINT), stderr
        stopped += process.returncode == 130
        if process.returncode == 130 and stderr:
            assert re.fullmatch(r"(?s)(.*\n)?stopped\n", stderr), stderr
    assert stopped > 0


SWALLOWS = """
import signal, sys, time
sys.argv = ["modelyard", "status"]
import flows.cli
from flows.cli import shell
import click

class Destructor:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def in_a_destructor():
    thing = Destructor()
    del thing
    time.sleep(60)

def in_a_library():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as error:
        raise ValueError("what a library makes of it") from error

def at_the_exit():
    import atexit
    atexit.register(signal.raise_signal, signal.SIGINT)

command = click.Command("status", callback=globals()[WAY])
shell.Shell.get_command = lambda *_: command
sys.exit(flows.cli.main())
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("way", "code"), [("in_a_destructor", 130), ("in_a_library", 130), ("at_the_exit", -signal.SIGINT)]
)
def test_ctrl_c_that_python_or_a_library_swallows(way: str, code: int) -> None:
    program = f"WAY = {way!r}\n{SWALLOWS}"
    completed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (completed.returncode, completed.stderr.strip()) == (code, "stopped" if code == 130 else "")


def test_a_background_job_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    program = (
        "import signal, sys; sys.argv = ['modelyard', '--version']; from flows.cli import main; code = main(); "
        "signal.raise_signal(signal.SIGINT); sys.exit(code)"
    )
    completed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert (completed.returncode, completed.stderr) == (0, "")
