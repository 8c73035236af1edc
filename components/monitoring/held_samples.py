"""Where a person's samples are: datasets, packages and bundles of models that were trained on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from components.contracts.dataset import AddedFile, DatasetSpec
from components.core import located_yaml
from components.core.project import Project
from components.core.strict import Strict
from components.identity import digest as file_digest
from components.identity import manifest as manifests
from components.identity.manifest import Manifest
from components.ingestion import exclusion, sample_file
from components.ingestion.sample import Sample
from components.monitoring.subject import Subject, input_digest

ADDED = "added"  # folder beside a dataset, with the files that `source.added` names


class DatasetSamples(Strict):
    """Samples of a dataset that are a person's.

    Args:
        raw_digest: of the raw data that they are in.
        ids, digests: of the samples; see `components.ingestion.exclusion`.
        splits: that the source names, with the number of samples; `None` where it names none.
        inputs: digests of the samples as inputs of requests (`subject.input_digest`).
        files: sha256 of the samples' own files (images, sounds), as golden examples of packages are.
    """

    raw_digest: str
    ids: list[str]
    digests: list[str]
    splits: dict[str, int]
    inputs: list[str]
    files: list[str]


class Holder(Strict):
    """What holds samples, or was made from them.

    Args:
        kind: `package` or `bundle`; `scores`, an output of `modelyard score` that has the person's rows.
        name: a folder's name, or a bundle's tag.
        why: how it comes to hold them.
    """

    kind: str
    name: str
    model: str | None
    version: str | None
    why: str


def in_dataset(folder: Path, whose: Subject) -> DatasetSamples | None:
    """The samples of an ingested dataset that are a person's; None if there are none, or it is not ingested."""
    table = folder / "raw" / sample_file.FILE_NAME
    if not table.is_file():
        return None
    found = DatasetSamples(
        raw_digest=manifests.load(folder / "raw", "raw").digest, ids=[], digests=[], splits={}, inputs=[], files=[]
    )
    inputs, files, names = set[str](), set[str](), _fields_of_column(folder, whose.key)
    for group in sample_file.groups(table):
        for sample in group:
            digest = exclusion.digest_of(sample.values)
            if not _is_of(sample, digest, whose, names):
                continue
            found.ids.append(sample.id)
            found.digests.append(digest)
            found.splits[str(sample.split)] = found.splits.get(str(sample.split), 0) + 1
            for value in _items(sample):
                inputs.add(input_digest(value))
                if isinstance(value, bytes):
                    files.add(sha256(value).hexdigest())
    if not found.ids:
        return None
    return found.model_copy(update={"inputs": sorted(inputs), "files": sorted(files)})


def datasets(project: Project, whose: Subject) -> dict[str, DatasetSamples]:
    """The datasets of a project that have samples of a person."""
    found = {}
    for file in sorted((project.root / "data").glob("*/dataset.yaml")):
        if (samples := in_dataset(file.parent, whose)) is not None:
            found[file.parent.name] = samples
    return found


def holders(project: Project, samples: dict[str, DatasetSamples]) -> list[Holder]:
    """Packages and bundles on disk that were trained on data with the samples, or hold them as golden examples."""
    found = []
    folders = [("package", path, path) for path in sorted((project.state / "packages").glob("*"))]
    folders += [("bundle", path, path / "src" / "package") for path in sorted((project.bundles / "bentos").glob("*/*"))]
    for kind, place, package in folders:
        sealed = sealed_package(package)
        if sealed is None:
            continue
        why = _why(sealed, samples)
        if why is not None:
            name = place.name if kind == "package" else f"{place.parent.name}:{place.name}"
            model, version = sealed.facts.get("pipeline"), _version(place)
            found.append(Holder(kind=kind, name=name, model=model, version=version, why=why))
    return found


def exclude(folder: Path, digests: list[str]) -> bool:
    """Add digests to the exclusion list of a dataset's file, and remove the samples from the files added to it.

    Each step can be done again after a kill: a file without the samples is written first, then dataset.yaml names it in
    place of the one with them, which is removed last.

    Returns:
        Whether anything was to be done.
    """
    from components.core import atomic, yaml_edit

    file = folder / "dataset.yaml"
    source = located_yaml.read(file, DatasetSpec).source
    listed = [*source.exclude, *(one for one in dict.fromkeys(digests) if one not in source.exclude)]
    with_them = [path for path in sorted((folder / ADDED).glob("*.parquet")) if _has_any(path, set(digests))]
    added = []
    for one in source.added:
        path = folder / one.path
        if path not in with_them:
            added.append(one)
        elif (rest := _without(path, set(digests))) is not None:
            added.append(AddedFile(path=f"{ADDED}/{rest.name}", sha256=file_digest.of_file(rest)))
    values: dict[str, Any] = {}
    if listed != source.exclude:
        values["source.exclude"] = listed
    if added != source.added:
        values["source.added"] = [one.model_dump() for one in added]
    if values:
        atomic.write_text(file, yaml_edit.set_values(file.read_text(encoding="utf-8"), values))
    for path in with_them:
        path.unlink()
    return bool(values or with_them)


def _has_any(path: Path, digests: set[str]) -> bool:
    return any(exclusion.digest_of(sample.values) in digests for group in sample_file.groups(path) for sample in group)


def _without(path: Path, digests: set[str]) -> Path | None:
    """The file of the other samples, named by its content; None if there are none."""
    fresh = path.with_suffix(".tmp")
    kept = (
        sample
        for group in sample_file.groups(path)
        for sample in group
        if exclusion.digest_of(sample.values) not in digests
    )
    written = sample_file.write(kept, fresh, f"added samples of {path.parents[1].name}", sample_file.fields_of(path))
    if not written.samples:
        fresh.unlink()
        return None
    return fresh.replace(path.with_name(f"{file_digest.of_file(fresh)[:16]}.parquet"))


def _fields_of_column(folder: Path, column: str | None) -> tuple[str, ...]:
    """The fields that a column of a dataset's source became: with `group: customer` it is the field `group`."""
    if column is None:
        return ()
    source = located_yaml.read(folder / "dataset.yaml", DatasetSpec).source
    keys = {**source.model_dump(), **(source.model_dump().get("layout") or {})}
    return tuple(name for name, value in keys.items() if value == column)


def _is_of(sample: Sample, digest: str, whose: Subject, names: tuple[str, ...]) -> bool:
    if whose.sample is not None:
        return whose.sample in (sample.id, digest)
    rows = [value for value in sample.values.values() if isinstance(value, Mapping)]
    return whose.is_in(sample.values, names) or any(whose.is_in(row, names) for row in rows)


def _items(sample: Sample) -> Iterator[Any]:
    """What of a sample a request may hold: its text, its row, its file."""
    for name in ("text", "row"):
        if name in sample.values:
            yield sample.values[name]
    for value in sample.values.values():
        if isinstance(value, bytes):
            yield value


def _why(sealed: Manifest, samples: dict[str, DatasetSamples]) -> str | None:
    lineage = sealed.facts.get("lineage", {})
    golden = {entry.sha256 for name, entry in sealed.files.items() if name.startswith("golden/")}
    for name, found in samples.items():
        if golden & set(found.files):
            return f"a sample of {name} is among its golden examples"
        if lineage.get("raw_digest") == found.raw_digest:
            return f"made from the data of {name} that has the samples"
    return None


def sealed_package(folder: Path) -> Manifest | None:
    """The manifest of a package; None where there is none."""
    return manifests.load(folder, "package") if (folder / manifests.FILE_NAME).is_file() else None


def _version(bundle: Path) -> str | None:
    try:
        return str(json.loads((bundle / "src" / "serving.json").read_bytes())["version"])
    except (OSError, ValueError, KeyError):
        return None
