"""Samples that are added to those of a source, from files of the format of samples.parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from components.contracts.dataset import AddedFile
from components.contracts.dataset_layout import Fields
from components.core.errors import SourceError
from components.identity import digest
from components.ingestion import sample_file
from components.ingestion.sample import Sample


def with_added(samples: Iterator[Sample], added: Sequence[AddedFile], folder: Path, fields: Fields) -> Iterator[Sample]:
    """The source's samples, then those of the files in their order.

    Args:
        folder: the dataset's folder.
        fields: of the source's samples.

    Raises:
        SourceError: a file is missing, is another one than dataset.yaml names, or has other fields.
    """
    for one in added:  # before hours are spent on the source
        _check(one, folder / one.path, fields)
    yield from samples
    for one in added:
        for group in sample_file.groups(folder / one.path):
            yield from group


def count(added: Sequence[AddedFile], folder: Path) -> int:
    """The number of samples in the files."""
    return sum(sample_file.count(folder / one.path) for one in added)


def _check(one: AddedFile, path: Path, fields: Fields) -> None:
    where = str(path)
    if not path.is_file():
        raise SourceError(
            "a file of added samples is missing",
            where=where,
            expected=f"the file of sha256 {one.sha256}",
            next_step="copy it from where the samples were added, `dvc pull` the raw data that was made with it, or "
            "remove it from source.added in dataset.yaml",
        )
    found = digest.of_file(path)
    if found != one.sha256:
        raise SourceError("a file of added samples was changed", where=where, got=found, expected=one.sha256)
    if (own := sample_file.fields_of(path)) != fields:
        raise SourceError(
            "the added samples have other fields than the source's", where=where, got=own, expected=fields
        )
