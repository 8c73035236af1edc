"""A CSV of a million rows: draft, ingest, validate and prepare, each as a process of its own, with its peak memory.

python -m benchmarks.large_table [--rows 1000000] [--flat]

With `--flat`, a quarter of the rows as well, and how much more memory each stage takes for all of them.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import figure
from benchmarks.figure import Figure, tell

ROOT = Path(__file__).resolve().parents[1]
NAME = "large_table"
ROWS = 1_000_000
TARGET_SECONDS = 60.0
MOST_GROWTH = 1.2  # of the memory of validation, from a quarter of the rows to all
STAGES = (
    ("draft", ("flows.cli", "new", "large", "--from", "large.csv")),
    ("ingest", ("components.ingestion", "data/large")),
    ("validate", ("components.validation", "raw", "data/large")),
    ("prepare", ("components.preparation", "data/large")),
    ("validate what is prepared", ("components.validation", "prepared", "data/large")),
    ("accept", ("components.preparation", "data/large", "--accept")),
)


def measure(rows: int = ROWS, flat: bool = False) -> list[Figure]:
    """Seconds and peak memory of each stage, and the seconds of all.

    Args:
        flat: whether to measure a quarter of the rows, too, and to compare the peaks.
    """
    figures, peaks = _measured(rows)
    if not flat:
        return figures
    few_figures, few_peaks = _measured(rows // 4)
    ratios = [
        Figure(
            NAME,
            f"{name}: peak memory of {rows:,} rows over that of {rows // 4:,}",
            round(peaks[name] / few_peaks[name], 2),
            "x",
            at_most=MOST_GROWTH if name.startswith("validate") else None,
        )
        for name in peaks
    ]
    return [*few_figures, *figures, *ratios]


def _measured(rows: int) -> tuple[list[Figure], dict[str, int]]:
    """The figures of one table, and the peak memory of each stage in MiB."""
    figures: list[Figure] = []
    peaks: dict[str, int] = {}
    total = cpu_total = 0.0
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        root = Path(folder)
        (root / "pipelines").mkdir()
        (root / "data").mkdir()
        (root / "dvc.yaml").write_text("stages: {}\n")
        # In a process of its own: the peak of this one would count as that of its children.
        writer = multiprocessing.get_context("spawn").Process(target=_write, args=(root / "large.csv", rows))
        writer.start()
        writer.join()
        tell(f"{rows:,} rows, {(root / 'large.csv').stat().st_size >> 20} MiB of CSV")
        for name, words in STAGES:
            seconds, cpu, peaks[name] = _timed(root, words)
            total += seconds
            cpu_total += cpu
            tell(f"{name}: {seconds:.1f} s, {cpu:.1f} s of CPU, {peaks[name]} MiB")
            figures.append(Figure(NAME, f"{name}: peak memory of {rows:,} rows", peaks[name], "MiB"))
            figures.append(Figure(NAME, f"{name}: time of {rows:,} rows", round(seconds, 1), "s"))
    target = TARGET_SECONDS if rows == ROWS else None
    figures.append(Figure(NAME, f"CPU time of all {rows:,} rows", round(cpu_total, 1), "s"))
    return [*figures, Figure(NAME, f"all of {rows:,} rows", round(total, 1), "s", at_most=target)], peaks


def _write(path: Path, rows: int) -> None:
    """Eight numbers, one of them with empty cells; a category; a label that depends on them."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(rows, 8)).round(4), columns=[f"{name}_score" for name in "abcdefgh"])
    table["city"] = rng.choice(["Aachen", "Bonn", "Celle", "Dessau"], rows)
    table["label"] = np.where(table["a_score"] + (table["city"] == "Bonn") > 0.4, "yes", "no")
    table.loc[rng.random(rows) < 0.01, "h_score"] = np.nan
    table.to_csv(path, index=False)


def _timed(root: Path, words: tuple[str, ...]) -> tuple[float, float, int]:
    """Wall seconds, seconds of CPU and peak resident memory in MiB of a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MODELYARD_PROJECT": str(root)}
    begin = time.perf_counter()
    with (root / "log.txt").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=root, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed:\n{(root / 'log.txt').read_text()[-2000:]}")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument(
        "--flat", action="store_true", help="compare the peak memory with that of a quarter of the rows"
    )
    sys.exit(figure.command(measure, options))
