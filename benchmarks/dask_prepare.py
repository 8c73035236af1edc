"""Preparation of a table: one process against a cluster of two Dask workers, and the memory of twice the rows.

python -m benchmarks.dask_prepare [--rows 1000000] [--workers 2] [--flat]

The seconds are of the whole stage's process, the start and the end of the cluster included. One process, the same on
one processor, and the cluster take turns. One process uses more than one processor by threads: what it leaves of them
is all that others could gain, `... at best`. A row is a number in eight columns, a category and a label
(benchmarks/large_table.py). The prepared bytes are compared. With `--flat`, the memory of 2, 4 and 8 times the rows
too.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks import figure, large_table
from benchmarks.figure import Figure, tell
from components.identity import manifest

ROOT = Path(__file__).resolve().parents[1]
NAME = "dask_prepare"
ROWS, WORKERS, ROUNDS = 1_000_000, 2, 3
LEAST_RATIO, MOST_GROWTH = 1.5, 1.1
TIMES = (2, 4, 8)
DATASET = """name: large
task: tabular-classification
source:
  kind: csv
  path: ../../large.csv
  numbers: [a_score, b_score, c_score, d_score, e_score, f_score, g_score, h_score]
  categories: [city]
  label: label
split: {test: 0.2, validation: 0.1, seed: 0}
input: {min_frequency: 5, may_be_missing: [h_score]}
"""


class _Run(NamedTuple):
    """A run of the stage.

    Args:
        peak_mib: of the stage's process.
        worker_mib: of the largest worker; what it shares with others is counted.
        processor_seconds: of the stage's process, without workers.
    """

    seconds: float
    processor_seconds: float
    peak_mib: int
    worker_mib: int
    digest: str


def measure(rows: int = ROWS, workers: int = WORKERS, flat: bool = False) -> list[Figure]:
    """Seconds, ratio and peak memory."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        root = Path(folder)
        once = _ingested(root / "once", rows)
        rounds = (
            (_prepared(once), _prepared(once, workers), _prepared(once, processors=1)) for _ in range(ROUNDS)
        )  # fmt: skip
        here, dask, alone = zip(*rounds, strict=True)
        shutil.rmtree(once)
        more = [found for times in TIMES if flat for found in _growth(root, rows, workers, times, here[0], dask[0])]
    seconds = [statistics.median(run.seconds for run in runs) for runs in (here, dask, alone)]
    best = statistics.median(run.seconds * (os.cpu_count() or 1) / run.processor_seconds for run in here)
    scaled = statistics.median(one.seconds / other.seconds for one, other in zip(alone, dask, strict=True))
    ratio = round(statistics.median(one.seconds / other.seconds for one, other in zip(here, dask, strict=True)), 2)
    target = LEAST_RATIO if rows == ROWS and workers == WORKERS else None
    differing = len({run.digest for run in (*here, *dask, *alone)}) - 1
    return [
        Figure(NAME, f"{rows:,} rows in one process", round(seconds[0], 1), "s"),
        Figure(NAME, f"... on {workers} Dask workers", round(seconds[1], 1), "s"),
        Figure(NAME, "... one process over the workers", ratio, "x", at_least=target),
        Figure(NAME, "... at best on these processors", round(best, 2), "x"),
        Figure(NAME, "... one process on one processor", round(seconds[2], 1), "s"),
        Figure(NAME, "... which over the workers", round(scaled, 2), "x"),
        Figure(NAME, "... prepared data that differs", differing, "", at_most=0),
        Figure(NAME, "peak memory of one process", here[0].peak_mib, "MiB"),
        Figure(NAME, "... of the process that leads the workers", dask[0].peak_mib, "MiB"),
        Figure(NAME, "... of the largest worker", dask[0].worker_mib, "MiB"),
        *more,
    ]


def _growth(root: Path, rows: int, workers: int, times: int, here: _Run, dask: _Run) -> list[Figure]:
    """Peaks of so many times the rows over those of once."""
    project = _ingested(root / "more", times * rows)
    found, on_workers = _prepared(project), _prepared(project, workers)
    shutil.rmtree(project)
    name = f"peak memory of {times * rows:,} rows over {rows:,}"
    ratios = {
        "one process": found.peak_mib / here.peak_mib,
        "the process that leads the workers": on_workers.peak_mib / dask.peak_mib,
        "the largest worker": on_workers.worker_mib / dask.worker_mib,
    }
    figures = [Figure(NAME, f"{name}, {who}", round(of, 2), "x", at_most=MOST_GROWTH) for who, of in ratios.items()]
    times_faster = round(found.seconds / on_workers.seconds, 2)
    return [*figures, Figure(NAME, f"{times * rows:,} rows, one process over the workers", times_faster, "x")]


def _ingested(project: Path, rows: int) -> Path:
    """A project with the raw data of so many rows, which count as validated."""
    dataset = project / "data" / "large"
    dataset.mkdir(parents=True)
    (dataset / "dataset.yaml").write_text(DATASET)
    writer = multiprocessing.get_context("spawn").Process(
        target=large_table._write, args=(project / "large.csv", rows)
    )  # fmt: skip
    writer.start()
    writer.join()
    _timed(project, "components.ingestion", {})
    (project / "large.csv").unlink()
    raw = manifest.load(dataset / "raw", "raw")
    (dataset / "validated").mkdir()
    manifest.seal(dataset / "validated", "validated", {"raw_digest": raw.digest, "success": True})
    return project


def _prepared(project: Path, workers: int | None = None, processors: int | None = None) -> _Run:
    cluster = {"cluster": {"runner": "dask", "workers": workers}}
    variables = {"MODELYARD_DASK": json.dumps(cluster)} if workers else {}
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_of_them)[:processors])  # the stage inherits it
    try:
        seconds, used, peak, worker = _timed(project, "components.preparation", variables)
    finally:
        os.sched_setaffinity(0, all_of_them)
    sealed = manifest.load(project / ".modelyard" / "staging" / "large" / "prepared", "prepared")
    who = f"{workers} Dask workers" if workers else "one process"
    where = f" on {processors} processor" if processors else ""
    tell(f"{who}{where}: {seconds:.1f} s, of a processor {used:.1f} s, {peak} MiB, workers {worker} MiB")
    return _Run(seconds, used, peak, worker, sealed.digest)


def _timed(project: Path, module: str, variables: dict[str, str]) -> tuple[float, float, int, int]:
    """Wall and processor seconds of a stage, and the peak memory in MiB of its process and of the largest below it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    begin = time.perf_counter()
    below = 0
    with (project / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "data/large"], cwd=project, env=environment, stdout=log, stderr=log
        )
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            if variables:
                below = max(below, _largest_below(process.pid))
            time.sleep(0.05)
    seconds = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{module} failed:\n{(project / 'log.txt').read_text()[-2000:]}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10, below >> 10


def _largest_below(pid: int) -> int:
    """Peak resident memory in KiB of the largest process below another one."""
    peaks = [0]
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(OSError):
                status = Path(f"/proc/{child.pid}/status").read_text()
                peaks += [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    return max(peaks)


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--workers", type=int, default=WORKERS)
    options.add_argument("--flat", action="store_true", help="compare the peak memory of more rows")
    sys.exit(figure.command(measure, options))
