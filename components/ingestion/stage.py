"""The stage `ingest`: `data/<dataset>/dataset.yaml` -> `data/<dataset>/raw`."""

from __future__ import annotations

import sys
from pathlib import Path

from components.contracts.dataset import DatasetSpec
from components.core import atomic, located_yaml
from components.core.errors import Problem, SourceError, SpecError, UsageError
from components.identity import digest, manifest
from components.ingestion import added_samples, exclusion, sample_file, sources
from components.ingestion.remarks import Remarks


def main(arguments: list[str]) -> None:
    """Ingest a dataset.

    Raises:
        UsageError: not called with one dataset's folder.
        SourceError: the source cannot be fetched or read; raw/ is unchanged.
    """
    if len(arguments) != 1:
        raise UsageError("one dataset's folder is expected", got=arguments, expected="data/<dataset>")
    folder = Path(arguments[0])
    spec = located_yaml.read(folder / "dataset.yaml", DatasetSpec)
    if spec.name != folder.resolve().name:
        problem = Problem("name", f"differs from the folder's name, {folder.resolve().name}", got=spec.name)
        raise SpecError(str(folder / "dataset.yaml"), (problem,))
    ingest(spec, folder)


def ingest(spec: DatasetSpec, folder: Path) -> manifest.Manifest:
    """Write `raw/samples.parquet` and seal the folder; atomic."""
    with atomic.folder(folder / "raw") as fresh:
        fields = spec.source_fields()
        remarks = Remarks()
        with sources.open_source(spec.source, folder, remarks) as samples:
            if spec.source.added:
                samples = added_samples.with_added(samples, spec.source.added, folder, fields)
            if spec.source.exclude:
                samples = exclusion.without(samples, spec.source.exclude, remarks)
            written = sample_file.write(samples, fresh / sample_file.FILE_NAME, f"reading {spec.name}", fields)
        if written.samples == 0:
            raise SourceError("the source holds no sample", where=str(folder / "dataset.yaml"))
        if written.replaced:
            note = "bytes that are no text in this encoding, and are read as \ufffd; the expectation `valid` sees them"
            print(f"{spec.name}: {written.replaced:,} of {written.samples:,} samples hold {note}", file=sys.stderr)
        for line in remarks.lines():
            print(f"{spec.name}: {line}", file=sys.stderr)
        facts = {
            "dataset": spec.name,
            "source_digest": digest.of_value(spec.source.model_dump(mode="json")),
            "fields": fields,
            "samples": written.samples,
            "splits": written.splits,
            "labels": written.labels,
        }
        if spec.source.added or spec.source.exclude:  # by how many there are more than the source holds
            added = added_samples.count(spec.source.added, folder)
            facts["added"] = added - remarks.count(exclusion.LEFT_OUT)
        if remarks.lines():
            facts["remarks"] = remarks.document()
        return manifest.seal(fresh, "raw", facts)
