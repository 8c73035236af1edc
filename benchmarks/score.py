"""Batch scoring: rows a second of two processes, and of two Dask workers, against one, memory, and killed runs.

Scores a CSV of the rows of a table with a small bundle. The one process is a plain loop over the same file with the
same predictor, in batches of the same size, which writes nothing; it and the runs of `python -m components.scoring`
take turns.

    python -m benchmarks.score [--rows 600000] [--rounds 3] [--kills 5]
"""

from __future__ import annotations

import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.contracts.dask_request import DaskRequest
from components.contracts.runner_spec import DaskSpec
from components.contracts.score_request import ScoreRequest
from components.identity import digest, manifest
from components.identity.package import Package
from components.inference.predictor import Predictor
from components.scoring import model
from tests.serving import packages

ROOT = Path(__file__).resolve().parents[1]
NAME = "score"
TARGET = 1.8
COPIES = 4
NOTE = "a note that the model does not read and the output keeps " * 5  # so that rows are as long as real ones


def measure(rows: int, rounds: int, kills: int) -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as text:
        folder = Path(text)
        packages.table(folder / "bundle")
        settings = json.loads((folder / "bundle" / "serving.json").read_text())
        manifest.write_json(folder / "bundle" / "serving.json", {**settings, "max_batch_size": 64})
        manifest.seal(folder / "bundle", "bundle", {"code": "c" * 64})
        table = _table(folder / "rows.csv", rows)
        return [*_rates(folder, table, rows, rounds), *_memory(folder, table, rows), *_kills(folder, rows // 4, kills)]


def _table(path: Path, rows: int) -> Path:
    with path.open("w") as stream:
        stream.write("id,age,height,town,note\n")
        for number in range(rows):
            stream.write(f"c{number},{20 + number % 50},{1.5 + number % 5 / 10},Ulm,{NOTE}\n")
    return path


def _rates(folder: Path, table: Path, rows: int, rounds: int) -> list[Figure]:
    plain, one, two, dask = [], [], [], []
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        plain.append(rows / _plain(folder / "bundle", table))
        one.append(rows / _scored(folder, table, f"one-{number}", 1))
        two.append(rows / _scored(folder, table, f"two-{number}", 2))
        dask.append(rows / _scored(folder, table, f"dask-{number}", 2, is_dask=True))
    ratios = [second / first for first, second in zip(plain, two, strict=True)]
    own = [second / first for first, second in zip(one, two, strict=True)]
    on_dask = [second / first for first, second in zip(one, dask, strict=True)]
    same = _content(folder / "one-0") == _content(folder / "dask-0")
    return [
        Figure(NAME, "a plain loop in one process", round(statistics.median(plain)), "rows/s"),
        Figure(NAME, "scoring with one process", round(statistics.median(one)), "rows/s"),
        Figure(NAME, "scoring with two processes", round(statistics.median(two)), "rows/s"),
        Figure(NAME, "two processes against the plain loop", round(statistics.median(ratios), 2), "x", at_least=TARGET),
        Figure(NAME, "two processes against one", round(statistics.median(own), 2), "x"),
        Figure(NAME, "two Dask workers against one process", round(statistics.median(on_dask), 2), "x"),
        Figure(NAME, "... the same bytes (1: yes)", float(same), at_least=1),
    ]


def _plain(bundle: Path, table: Path) -> float:
    """Seconds of a loop of the predictor over the rows."""
    code = "import sys, pathlib, benchmarks.score as own; print(own.plain(*map(pathlib.Path, sys.argv[1:])))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle), str(table)],
        cwd=ROOT,
        env=_environment(),
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return float(done.stdout)


def plain(bundle: Path, table: Path) -> float:
    """Seconds in which one process answers all rows; the answers are dropped."""
    begin = time.perf_counter()
    predictor = Predictor(Package.open(bundle / "package"))
    size = model.settings(bundle).samples
    batch: list[dict[str, object]] = []
    with table.open(newline="") as stream:
        for row in csv.DictReader(stream):
            batch.append({"age": float(row["age"]), "height": float(row["height"]), "town": row["town"]})
            if len(batch) == size:
                predictor.predict(batch)
                batch = []
    if batch:
        predictor.predict(batch)
    return time.perf_counter() - begin


def _scored(folder: Path, table: Path, name: str, processes: int, *, is_dask: bool = False) -> float:
    """Seconds that the stage takes, its processes' start included."""
    process = _start(folder, table, name, processes, is_dask=is_dask)
    told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"scoring failed with {process.returncode}")
    return float(json.loads(told.splitlines()[-1])["seconds"])


def _start(folder: Path, table: Path, name: str, processes: int, *, is_dask: bool = False) -> subprocess.Popen[str]:
    cluster = DaskRequest(cluster=DaskSpec(runner="dask", workers=processes)) if is_dask else None
    request = ScoreRequest(
        model="sample", version="1", bundle=str(folder / "bundle"), bundle_digest=None, inputs=[str(table)],
        out=str(folder / name), processes=processes, cluster=cluster,
    )  # fmt: skip
    path = folder / f"{name}.json"
    path.write_text(request.model_dump_json())
    command = [sys.executable, "-m", "components.scoring", str(path)]
    return subprocess.Popen(
        command, cwd=ROOT, env=_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def _memory(folder: Path, table: Path, rows: int) -> list[Figure]:
    """Peak memory of all processes together, with the table once and `COPIES` times."""
    tell("memory")
    once = _peak(folder, table, "memory-1")
    tenfold = _peak(folder, _table(folder / "large.csv", rows * COPIES), "memory-10")
    (folder / "large.csv").unlink()
    return [
        Figure(NAME, f"peak memory of three processes, {table.stat().st_size / 1e6:,.0f} MB", round(once), "MiB"),
        Figure(NAME, f"... {COPIES} times as much", round(tenfold), "MiB"),
        Figure(NAME, "ratio", round(tenfold / once, 3), "x", at_most=1.2),
    ]


def _peak(folder: Path, table: Path, name: str) -> float:
    """MiB that the processes have at most, what they share counted once."""
    process = _start(folder, table, name, 2)
    peak = 0.0
    while process.poll() is None:
        try:
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            peak = max(peak, sum(one.memory_full_info().pss for one in tree) / 2**20)
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.1)
    process.communicate()
    if process.returncode:
        raise SystemExit(f"scoring failed with {process.returncode}")
    return peak


def _kills(folder: Path, rows: int, kills: int) -> list[Figure]:
    """Killed at random moments until it is done: whether the bytes are those of a run that was not killed."""
    table = _table(folder / "killed.csv", rows)
    begin = time.monotonic()
    _scored(folder, table, "whole", 1)
    seconds = time.monotonic() - begin
    rng = random.Random(0)
    killed = 0
    while killed < kills:
        tell(f"kill {killed + 1} of {kills}")
        process = _start(folder, table, "killed", 2)
        try:
            process.wait(timeout=rng.uniform(0.2, seconds / 2))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.communicate()
        if process.returncode == 0:
            break
    _scored(folder, table, "killed", 2)
    same = _content(folder / "whole") == _content(folder / "killed")
    return [
        Figure(NAME, f"killed {killed} times and resumed: the same bytes (1: yes)", float(same), at_least=1),
    ]


def _content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest.of_file(path) for path in files}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def main() -> int:
    """0: all targets met; 1: one was missed."""
    parser = figure.parser(__doc__)
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    figures = measure(asked.rows, asked.rounds, asked.kills)
    figure.show(figures, asked.json)
    return 0 if figure.all_met(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
