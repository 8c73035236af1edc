"""How late drift is found, against evidently and nannyml on the same rows.

Each hour brings 200 rows of eight columns; the reference has 5,000. Every tool is compared at two settings: its own
default thresholds, with the false alarms that they bring, and thresholds by which it raises as many false alarms on
2,160 hours without drift as our monitor states, two a month. For the latter a tool's scores are standardised by their
mean and deviation on those hours, column by column, and the largest is compared with one threshold.

A delay is counted in hours, the first after the change is 1; what is not found within 60 hours counts 61. The delay of
a kind is the mean over its strengths and streams. evidently and nannyml live in environments of their own and are asked
in processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.drift.kinds import KINDS, draw
from benchmarks.figure import Figure, tell
from components.drift.distances import Real
from components.drift.sequential import DriftMonitor

NAME = "drift delay"
ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".modelyard/benchmarks/drift"
TOOLS = {"evidently": ("evidently==0.7.23", "pandas<3"), "nannyml": ("nannyml==0.13.1", "pandas<3", "statsmodels")}
WINDOWS_PER_MONTH = 720
RATE = 2.0  # false alarms a month
REFERENCE = 5_000
ROWS = 200
HOURS = 60  # after the change, at most
BEFORE = 48  # hours without drift that a monitor sees before the change
WITHOUT = 2_160  # hours without drift, for thresholds and rates


class Stream(NamedTuple):
    """Windows with one change, numbered among all windows from `first` on."""

    kind: int
    strength: float
    seed: int
    first: int


def measure(repeats: int) -> list[Figure]:
    """Kinds of drift that our monitor finds no later than either tool at the same rate; delays and rates."""
    reference = draw(np.random.default_rng(0), REFERENCE)
    streams = [
        Stream(kind, strength, seed, 0)
        for kind, drift in enumerate(KINDS)
        for strength in drift.strengths
        for seed in range(repeats)
    ]
    streams = [stream._replace(first=WITHOUT + HOURS * at) for at, stream in enumerate(streams)]
    with tempfile.TemporaryDirectory(prefix="modelyard-") as name:
        tools = _ask_tools(reference, streams, Path(name))
        delays = {"Modelyard": _own(reference, streams)}
        rates = {"Modelyard": _own_rate(reference)}
        scores = _answers(tools, Path(name))
    univariate = {"nannyml": scores["nannyml"].drop(columns=[c for c in scores["nannyml"] if c.startswith("+")])}
    for tool, table in {"evidently": scores["evidently"], **univariate, "nannyml, all": scores["nannyml"]}.items():
        alerts = {f"{tool}, same rate": _calibrated(table)}
        if tool in TOOLS:
            alerts[f"{tool}, defaults"] = table["alert"].to_numpy(bool)
        if "alert_dataset" in table:
            alerts[f"{tool}, defaults, half of the columns"] = table["alert_dataset"].to_numpy(bool)
        for name, alert in alerts.items():
            delays[name] = [_first(alert[stream.first : stream.first + HOURS]) for stream in streams]
            rates[name] = float(alert[:WITHOUT].mean() * WINDOWS_PER_MONTH)
    by_kind = {name: [_mean(found, streams, kind) for kind in range(len(KINDS))] for name, found in delays.items()}
    _print(by_kind, rates, delays, streams)
    return _figures(by_kind, rates)


def _figures(by_kind: dict[str, list[float]], rates: dict[str, float]) -> list[Figure]:
    own = by_kind["Modelyard"]
    figures = []
    for name, delays in by_kind.items():
        if name != "Modelyard":
            kinds = sum(ours <= theirs + 1e-9 for ours, theirs in zip(own, delays, strict=True))
            target = 8 if name in ("evidently, same rate", "nannyml, same rate") else None
            figures.append(Figure(NAME, f"kinds of 10 found no later than by {name}", kinds, at_least=target))
    for name, delays in by_kind.items():
        figures.append(Figure(NAME, f"mean delay of {name}", round(float(np.mean(delays)), 1), "hours"))
        figures.append(Figure(NAME, f"... false alarms a month of {name}", round(rates[name], 2)))
    return figures


def _own(reference: pd.DataFrame, streams: list[Stream]) -> list[int]:
    start = DriftMonitor.start(reference, false_alarms_per_month=RATE, windows_per_month=WINDOWS_PER_MONTH)
    found = []
    for stream in streams:
        rng, state, delay = np.random.default_rng([1, *_key(stream)]), start, HOURS + 1
        for hour in range(BEFORE):
            state, _ = state.update(draw(rng, ROWS), name=f"before {hour}")
        for hour, window in enumerate(_windows(stream)):
            state, alarm = state.update(window, name=str(hour))
            if alarm is not None:
                delay = hour + 1
                break
        found.append(delay)
    tell("Modelyard's monitor has seen all streams")
    return found


def _own_rate(reference: pd.DataFrame) -> float:
    state = DriftMonitor.start(reference, false_alarms_per_month=RATE, windows_per_month=WINDOWS_PER_MONTH)
    alarms = 0
    for hour, window in enumerate(_without_drift()):
        state, alarm = state.update(window, name=str(hour))
        alarms += alarm is not None
    return alarms / WITHOUT * WINDOWS_PER_MONTH


def _key(stream: Stream) -> tuple[int, int, int]:
    return stream.kind, round(1000 * stream.strength), stream.seed


def _windows(stream: Stream) -> list[pd.DataFrame]:
    rng = np.random.default_rng([2, *_key(stream)])
    change = KINDS[stream.kind].change
    return [change(draw(rng, ROWS), rng, stream.strength, hour) for hour in range(HOURS)]


def _without_drift() -> list[pd.DataFrame]:
    rng = np.random.default_rng(3)
    return [draw(rng, ROWS) for _ in range(WITHOUT)]


def _ask_tools(reference: pd.DataFrame, streams: list[Stream], folder: Path) -> list[subprocess.Popen[bytes]]:
    """Start both tools on all windows: those without drift, then the streams'."""
    windows = pd.concat([*_without_drift(), *(window for stream in streams for window in _windows(stream))])
    windows["window"] = np.repeat(np.arange(len(windows) // ROWS), ROWS)
    reference.to_parquet(folder / "reference.parquet", index=False)
    windows.to_parquet(folder / "windows.parquet", index=False)
    quiet = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1", "OMP_NUM_THREADS": "1"}
    script = Path(__file__).parent / "other_tools.py"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | quiet
    return [subprocess.Popen([_python(tool), script, tool, folder], env=environment) for tool in TOOLS]


def _answers(tools: list[subprocess.Popen[bytes]], folder: Path) -> dict[str, pd.DataFrame]:
    for name, tool in zip(TOOLS, tools, strict=True):
        if tool.wait() != 0:
            raise RuntimeError(f"{name} failed")
        tell(f"{name} has seen all windows")
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in TOOLS}


def _python(tool: str) -> Path:
    """The interpreter of the tool's environment, which is made the first time."""
    home = HOME / tool
    python = home / "bin/python"
    if not (home / "installed").exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, home], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", python, *TOOLS[tool]], check=True)
        (home / "installed").touch()
    return python


def _calibrated(table: pd.DataFrame) -> np.ndarray:
    """Alerts by the largest standardised score, with as many on the windows without drift as the stated rate."""
    scores = table.drop(columns=["window", "alert", "alert_dataset"], errors="ignore").to_numpy(np.float64)
    scores = np.nan_to_num(scores, nan=0.0)
    quiet = scores[:WITHOUT]
    standard = (scores - quiet.mean(axis=0)) / np.maximum(quiet.std(axis=0), 1e-9)
    largest: Real = standard.max(axis=1)
    allowed = round(WITHOUT * RATE / WINDOWS_PER_MONTH)
    alerts: np.ndarray = largest > np.sort(largest[:WITHOUT])[-allowed - 1]
    return alerts


def _first(alerts: np.ndarray) -> int:
    return int(np.argmax(alerts)) + 1 if alerts.any() else HOURS + 1


def _mean(delays: list[int], streams: list[Stream], kind: int) -> float:
    return float(np.mean([delay for delay, stream in zip(delays, streams, strict=True) if stream.kind == kind]))


def _print(
    by_kind: dict[str, list[float]], rates: dict[str, float], delays: dict[str, list[int]], streams: list[Stream]
) -> None:
    table = Table("kind, strength", *by_kind)
    for kind, drift in enumerate(KINDS):
        table.add_row(drift.name, *(f"{found[kind]:.1f}" for found in by_kind.values()), style="bold")
        for strength in drift.strengths:
            chosen = [at for at, stream in enumerate(streams) if stream.kind == kind and stream.strength == strength]
            means = [f"{np.mean([found[at] for at in chosen]):.1f}" for found in delays.values()]
            table.add_row(f"  {strength:g}", *means)
    table.add_row("false alarms a month", *(f"{rates[name]:.2f}" for name in by_kind))
    Console(stderr=True, width=200).print(table)
