"""Peak memory of preparing Fashion-MNIST, and of ten copies of it: it must not grow with the dataset.

Takes `data/fashion-mnist/raw`, makes it first if it is not there.

    python -m benchmarks.prepare_memory
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import figure
from benchmarks.figure import Figure
from components.identity import manifest

ROOT = Path(__file__).resolve().parents[1]
NAME = "prepare_memory"
DATASET = "fashion-mnist"
COPIES = 10


def measure() -> list[Figure]:
    """Both peaks and their ratio."""
    raw = ROOT / "data" / DATASET / "raw"
    if not (raw / manifest.FILE_NAME).is_file():
        words = [sys.executable, "-m", "components.ingestion", f"data/{DATASET}"]
        subprocess.run(words, cwd=ROOT, check=True, stdout=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        once, tenfold = (_peak(Path(folder) / str(copies), raw, copies) for copies in (1, COPIES))
    return [
        Figure(NAME, "peak memory of preparing Fashion-MNIST", round(once / 1024), "MiB"),
        Figure(NAME, f"... of {COPIES} copies of it", round(tenfold / 1024), "MiB"),
        Figure(NAME, "ratio", round(tenfold / once, 3), "x", at_most=1.2),
    ]


def _peak(place: Path, raw: Path, copies: int) -> int:
    """Peak resident memory in KiB of preparing so many copies of the raw data in a folder of its own."""
    dataset = place / "data" / DATASET
    (dataset / "raw").mkdir(parents=True)
    shutil.copy(ROOT / "data" / DATASET / "dataset.yaml", dataset)
    count = _write_copies(raw / "samples.parquet", dataset / "raw" / "samples.parquet", copies)
    facts = manifest.load(raw, "raw").facts
    sealed = manifest.seal(dataset / "raw", "raw", {**facts, "samples": count})
    (dataset / "validated").mkdir()
    manifest.seal(dataset / "validated", "validated", {"raw_digest": sealed.digest, "success": True})
    command = [sys.executable, "-m", "components.preparation", f"data/{DATASET}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"preparing {copies} copies failed with {os.waitstatus_to_exitcode(status)}")
    shutil.rmtree(place)
    return usage.ru_maxrss


def _write_copies(source: Path, target: Path, copies: int) -> int:
    count = 0
    with pq.ParquetFile(source) as parquet, pq.ParquetWriter(target, parquet.schema_arrow, compression="zstd") as out:
        for copy in range(copies):
            for batch in parquet.iter_batches(batch_size=1024):
                ids = pa.array([f"{copy}/{name}" for name in batch.column("id").to_pylist()])
                out.write_batch(batch.set_column(0, parquet.schema_arrow.field("id"), ids))
                count += batch.num_rows
    return count


if __name__ == "__main__":
    sys.exit(figure.command(measure, figure.parser(__doc__)))
