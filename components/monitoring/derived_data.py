"""What a project has computed from a person's samples, beside packages: references, judged windows, scores."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.core.errors import ModelyardError
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


def scored(project: Project, whose: Subject, inputs: Collection[str]) -> list[Holder]:
    """Outputs of `modelyard score` below `scores/` that have rows of a person; they are named, and stay."""
    found = []
    for folder in sorted(path.parent for path in (project.root / "scores").rglob(manifests.FILE_NAME)):
        rows = 0
        for file in sorted(folder.rglob("*.parquet")):
            with pq.ParquetFile(file) as parquet:
                for group in range(parquet.num_row_groups):
                    rows += sum(_is_scored(row, whose, inputs) for row in parquet.read_row_group(group).to_pylist())
        if rows:
            name = folder.relative_to(project.root).as_posix()
            found.append(Holder(kind="scores", name=name, model=None, version=None, why=f"{rows:,} rows are of it"))
    return found


def _is_scored(row: Mapping[str, Any], whose: Subject, inputs: Collection[str]) -> bool:
    if whose.key is not None:
        names = {name for name in row if name.rpartition(".")[2] == whose.key}
        return whose.is_in(row, names)
    return any(isinstance(value, str) and input_digest(value) in inputs for value in row.values())


def _facts(folder: Path) -> dict[str, Any]:
    try:
        return manifests.read(folder / manifests.FILE_NAME).facts
    except ModelyardError:
        return {}
