"""`make demo` in a fresh clone of the last commit, and a second `make demo` there.

The first makes `.venv` and installs the locked packages (from the installer's cache where it has them), starts the
stack, runs the whole chain and serves. What is not committed is not measured.

    python -m benchmarks.demo
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import figure
from benchmarks.figure import Figure, tell

ROOT = Path(__file__).resolve().parents[1]
NAME = "demo"
OURS = ("MAKE", "MFLAGS", "MODELYARD_", "PREFECT_", "BENTOML_", "MLFLOW_", "VIRTUAL_ENV", "PYTHON")


def measure() -> list[Figure]:
    """Seconds of both."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        try:
            seconds = []
            for word in ("first", "second"):
                begin = time.perf_counter()
                said = _make(clone, "demo")
                seconds.append(time.perf_counter() - begin)
                tell(f"the {word} demo took {seconds[-1]:.1f} s")
                assert "test accuracy" in said, said
        finally:
            _make(clone, "down")
    return [
        Figure(NAME, "`make demo` in a fresh clone", round(seconds[0], 1), "s", at_most=180),
        Figure(NAME, "the second `make demo`", round(seconds[1], 1), "s"),
    ]


def _make(clone: Path, target: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    programs = [place for place in environment["PATH"].split(os.pathsep) if Path(place) != Path(sys.executable).parent]
    environment["PATH"] = os.pathsep.join(programs)
    words = ["make", f"PYTHON={Path(sys.executable).resolve()}", target]
    done = subprocess.run(
        words, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


if __name__ == "__main__":
    sys.exit(figure.command(measure, figure.parser(__doc__)))
