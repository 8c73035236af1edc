"""Peak memory of preparing Fashion-MNIST, and of ten copies of it: it must not grow with the dataset.

    python benchmarks/prepare_memory.py

Takes `data/fashion-mnist/raw`, makes it first if it is not there. Prints a JSON line; exits with 1 above 20 %.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.contracts import manifest

ROOT = Path(__file__).resolve().parents[1]
NAME = "fashion-mnist"
COPIES = 10
LIMIT = 1.2


def main() -> int:
    raw = ROOT / "data" / NAME / "raw"
    if not (raw / manifest.FILE_NAME).is_file():
        subprocess.run([sys.executable, "-m", "components.ingestion", f"data/{NAME}"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        peaks = [_peak(Path(folder) / str(copies), raw, copies) for copies in (1, COPIES)]
    ratio = peaks[1] / peaks[0]
    print(
        json.dumps(
            {"once_mib": round(peaks[0] / 1024), "ten_times_mib": round(peaks[1] / 1024), "ratio": round(ratio, 3)}
        )
    )
    return 0 if ratio <= LIMIT else 1


def _peak(place: Path, raw: Path, copies: int) -> int:
    """Peak resident memory in KiB of preparing so many copies of the raw data in a folder of its own."""
    dataset = place / "data" / NAME
    (dataset / "raw").mkdir(parents=True)
    shutil.copy(ROOT / "data" / NAME / "dataset.yaml", dataset)
    count = _write_copies(raw / "samples.parquet", dataset / "raw" / "samples.parquet", copies)
    facts = manifest.load(raw, "raw").facts
    sealed = manifest.seal(dataset / "raw", "raw", {**facts, "samples": count})
    (dataset / "validated").mkdir()
    manifest.seal(dataset / "validated", "validated", {"raw_digest": sealed.digest, "success": True})
    command = [sys.executable, "-m", "components.preprocessing", f"data/{NAME}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=place, env=environment, stderr=subprocess.DEVNULL)
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
    sys.exit(main())
