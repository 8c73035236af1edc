"""`modelyard advise`: predicted against measured quality of six pipelines, each in a copy of this project.

Full data is predicted from parts of up to 1/2, and a network of twice the parameters from those of up to 1x; then both
are measured. Asked for: the measured figure lies inside the 90 % interval in 5 of 6 pipelines, for each of the two. It
takes the training time of each pipeline, and about half as much again.

    python -m benchmarks.advise [PIPELINE...] [--minutes 10] [--project FOLDER]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import figure
from benchmarks.figure import Figure
from tests.project_copy import copy_project

NAME = "advise"
PIPELINES = ("fsdd", "sms-spam", "adult", "diabetes", "etth1", "sst2")
WHAT = {"data": "full data from 1/2 and less", "model": "twice the network from 1x and less"}


def main() -> int:
    """0: inside in at least 5 of 6 (in proportion for fewer pipelines), for data and model; 1: not."""
    parser = figure.parser(__doc__)
    parser.add_argument("pipelines", nargs="*", metavar="PIPELINE", help=f"default: {' '.join(PIPELINES)}")
    parser.add_argument("--minutes", type=float, default=10, help="training time of each pipeline's experiments")
    parser.add_argument("--project", type=Path, help="a folder to work in, where a stopped benchmark goes on")
    return figure.command(measure, parser)


def measure(pipelines: list[str], minutes: float, project: Path | None) -> list[Figure]:
    """Advise each pipeline, and compare what its checks predicted with what was measured."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        root = project or Path(folder) / "project"
        if not (root / "pyproject.toml").exists():
            root.mkdir(parents=True, exist_ok=True)
            copy_project(root)
        try:
            answers = {name: _advise(root, name, minutes) for name in pipelines or PIPELINES}
        finally:
            _command(root, "down")
    found = {name: answer for name, answer in answers.items() if answer is not None}
    _print(found)
    return [_figure(found, curve, len(answers) - len(found)) for curve in WHAT]


def _advise(root: Path, name: str, minutes: float) -> dict[str, Any] | None:
    """The advice as JSON; None if there is none, and the error is printed."""
    figure.tell(name)
    done = _command(root, "advise", name, "--for", f"{minutes}m", "--json")
    if done.returncode not in (0, 1) or '"levers"' not in done.stdout:
        figure.tell(f"{name} ended with {done.returncode}\n{done.stderr[-2000:]}{done.stdout[-2000:]}")
        return None
    advice: dict[str, Any] = json.loads(done.stdout)
    return advice


def _command(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "MODELYARD_PROJECT": str(root)}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def _hindcasts(found: dict[str, Any], curve: str) -> dict[str, dict[str, Any] | None]:
    """The check of each pipeline; None where there is none, as of a network of one size."""
    return {
        name: next(lever["hindcast"] for lever in advice["levers"] if lever["curve"] == curve)
        for name, advice in found.items()
    }


def _figure(found: dict[str, Any], curve: str, failed: int) -> Figure:
    checks = [check for check in _hindcasts(found, curve).values() if check is not None]
    inside = sum(check["inside"] for check in checks)
    asked = len(checks) + failed
    text = f"{WHAT[curve]}: inside the 90 % interval, of {asked} pipelines"
    return Figure(NAME, text, inside, at_least=max(1, asked * 5 // 6))


def _print(found: dict[str, Any]) -> None:
    table = Table("pipeline", "metric", "what", "predicted", "90 %", "measured", "")
    for name, advice in found.items():
        for curve, what in WHAT.items():
            check = _hindcasts({name: advice}, curve)[name]
            if check is None:
                table.add_row(name, advice["metric"], what, "cannot be told", "", "", "")
                continue
            predicted = check["predicted"]
            table.add_row(
                name, advice["metric"], what, f"{predicted['value']:.4f}",
                f"{predicted['lower']:.4f} to {predicted['upper']:.4f}", f"{check['measured']:.4f}",
                "inside" if check["inside"] else "OUTSIDE",
            )  # fmt: skip
        table.add_row("", "", advice["sentence"], "", "", "", "")
    Console(stderr=True, width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
