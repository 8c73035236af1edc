"""What a project has computed from a person's samples, beside packages: references, judged windows, scores."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import CorruptArtifactError, ModelyardError
from components.core.project import Project
from components.identity import manifest as manifests
from components.monitoring import held_samples
from components.monitoring.held_samples import DatasetSamples, Holder
from components.monitoring.subject import Subject, input_digest


def derived(project: Project, samples: dict[str, DatasetSamples], held: list[Holder]) -> list[Path]:
    """Folders that were computed from data with the samples, and are computed again without them.

    References, and what rehearsals read, have rows of the data; the states of judged windows have values of them.
    """
    packages, data = set[str](), set[str]()
    for one in held:
        place = project.state / "packages" / one.name
        if one.kind == "bundle":
            place = project.bundles / "bentos" / one.name.replace(":", "/") / "src" / "package"
        if one.kind in ("package", "bundle") and (sealed := held_samples.sealed_package(place)) is not None:
            packages.add(sealed.digest)
            data.add(str(sealed.facts.get("data_digest")))
    for name in samples:
        prepared = project.dataset(name) / "prepared"
        if (prepared / manifests.FILE_NAME).is_file():
            data.add(manifests.load(prepared, "prepared").digest)
    found = [
        path
        for place in (project.state / "references", project.state / "rehearsals" / "rows")
        for path in sorted(place.glob("*/"))
        if _facts(path).get("package_digest") in packages or _facts(path).get("data_digest") in data
    ]
    for path in sorted((project.state / "monitoring").glob("*/*/verdict.json")):
        try:
            package = json.loads(path.read_bytes()).get("package")
        except (OSError, ValueError):
            package = None
        if package in packages:
            found.append(path.parent)
    return found


def scored(project: Project, whose: Subject, samples: dict[str, DatasetSamples]) -> list[Holder]:
    """Outputs of `modelyard score` below `scores/` that have rows of a person; they are named, and stay.

    Raises:
        CorruptArtifactError: a file of an output cannot be read.
    """
    inputs = {one for found in samples.values() for one in found.inputs}
    ids = {one for found in samples.values() for one in found.ids}
    found = []
    for folder in sorted(path.parent for path in (project.root / "scores").rglob(manifests.FILE_NAME)):
        count = sum(_is_scored(row, whose, inputs, ids) for file in sorted(folder.rglob("*")) for row in _rows(file))
        if count:
            name = folder.relative_to(project.root).as_posix()
            found.append(Holder(kind="scores", name=name, model=None, version=None, why=f"{count:,} rows are of it"))
    return found


def _rows(file: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a table of an output; none of another file."""
    try:
        if file.suffix == ".parquet":
            with pq.ParquetFile(file) as parquet:
                for group in range(parquet.num_row_groups):
                    yield from parquet.read_row_group(group).to_pylist()
        elif file.suffix == ".csv":
            with file.open(encoding="utf-8", newline="") as stream:
                yield from csv.DictReader(stream)
        elif file.suffix == ".jsonl":
            with file.open(encoding="utf-8") as stream:
                yield from map(json.loads, stream)
    except (pa.ArrowException, OSError, ValueError, csv.Error) as error:
        raise CorruptArtifactError(
            "a file of an output cannot be searched", where=str(file), got=error, next_step="repair it, or move it away"
        ) from error


def _is_scored(row: Mapping[str, Any], whose: Subject, inputs: Collection[str], ids: Collection[str]) -> bool:
    if row.get("id") in ids or any(isinstance(value, str) and input_digest(value) in inputs for value in row.values()):
        return True
    return whose.key is not None and whose.is_in(row, {name for name in row if name.rpartition(".")[2] == whose.key})


def _facts(folder: Path) -> dict[str, Any]:
    try:
        return manifests.read(folder / manifests.FILE_NAME).facts
    except ModelyardError:
        return {}
