"""Preparation of a table: one process against a cluster of two Dask workers, and the memory of twice the rows.

python -m benchmarks.dask_prepare [--rows 1000000] [--workers 2]

The seconds are of the whole stage's process, the start and the end of the cluster included. A row is a number in eight
columns, a category and a label (benchmarks/large_table.py). The prepared bytes are compared.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import figure, large_table
from benchmarks.figure import Figure, tell
from components.identity import manifest

ROOT = Path(__file__).resolve().parents[1]
NAME = "dask_prepare"
ROWS, WORKERS = 1_000_000, 2
LEAST_RATIO, MOST_GROWTH = 1.5, 1.1
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
    seconds: float
    peak_mib: int  # of the stage's process; the workers' is not in it
    digest: str


def measure(rows: int = ROWS, workers: int = WORKERS) -> list[Figure]:
    """Seconds, ratio and peak memory."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        root = Path(folder)
        once = _ingested(root / "once", rows)
        here = min((_prepared(once) for _ in range(2)), key=lambda run: run.seconds)
        dask = min((_prepared(once, workers) for _ in range(2)), key=lambda run: run.seconds)
        shutil.rmtree(once)
        twice = _prepared(_ingested(root / "twice", 2 * rows))
    ratio = round(here.seconds / dask.seconds, 2)
    growth = round(twice.peak_mib / here.peak_mib, 2)
    target = LEAST_RATIO if rows == ROWS and workers == WORKERS else None
    return [
        Figure(NAME, f"{rows:,} rows in one process", round(here.seconds, 1), "s"),
        Figure(NAME, f"... on {workers} Dask workers", round(dask.seconds, 1), "s"),
        Figure(NAME, "... one process over the workers", ratio, "x", at_least=target),
        Figure(NAME, "... prepared data that differs", int(here.digest != dask.digest), "", at_most=0),
        Figure(NAME, "peak memory of one process", here.peak_mib, "MiB"),
        Figure(NAME, "... of the process that leads the workers", dask.peak_mib, "MiB"),
        Figure(NAME, f"... of {2 * rows:,} rows in one process over {rows:,}", growth, "x", at_most=MOST_GROWTH),
    ]


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


def _prepared(project: Path, workers: int | None = None) -> _Run:
    cluster = {"cluster": {"runner": "dask", "workers": workers}}
    seconds, peak = _timed(
        project, "components.preparation", {"MODELYARD_DASK": json.dumps(cluster)} if workers else {}
    )
    sealed = manifest.load(project / ".modelyard" / "staging" / "large" / "prepared", "prepared")
    tell(f"{f'{workers} Dask workers' if workers else 'one process'}: {seconds:.1f} s, {peak} MiB")
    return _Run(seconds, peak, sealed.digest)


def _timed(project: Path, module: str, variables: dict[str, str]) -> tuple[float, int]:
    """Wall seconds and peak resident memory in MiB of a stage."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    begin = time.perf_counter()
    with (project / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "data/large"], cwd=project, env=environment, stdout=log, stderr=log
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{module} failed:\n{(project / 'log.txt').read_text()[-2000:]}")
    return time.perf_counter() - begin, usage.ru_maxrss >> 10


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--workers", type=int, default=WORKERS)
    sys.exit(figure.command(measure, options))
