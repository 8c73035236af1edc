"""A file of a source on this machine that is added, changed or removed makes ingest stale, with the reason."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from components import versioning
from components.contracts.dataset import DatasetSpec
from components.versioning import source_files
from tests.versioning import small_project

REASON = "the files of the source changed"


def spec(source: dict[str, object]) -> DatasetSpec:
    document = {"name": "things", "task": "text-classification", "source": source, "split": {}, "input": {}}
    return TypeAdapter(DatasetSpec).validate_python(document)


def test_names_and_contents_count_and_times_do_not(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "things"
    (folder / "photos").mkdir(parents=True)
    found = spec({"kind": "folder", "path": "photos"})
    (folder / "photos" / "1.png").write_bytes(b"one")
    first = source_files.digest_of(tmp_path, folder, found)
    os.utime(folder / "photos" / "1.png", (1, 1))
    (folder / "photos" / ".hidden").write_bytes(b"x")
    assert source_files.digest_of(tmp_path, folder, found) == first
    (folder / "photos" / "1.png").write_bytes(b"two")
    second = source_files.digest_of(tmp_path, folder, found)
    (folder / "photos" / "1.png").rename(folder / "photos" / "2.png")
    third = source_files.digest_of(tmp_path, folder, found)
    assert len({first, second, third}) == 3
    shutil.rmtree(folder / "photos")
    assert source_files.digest_of(tmp_path, folder, found) is None


def test_of_a_folder_with_named_files_the_others_do_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "things"
    folder.mkdir(parents=True)
    layout = {"kind": "csv", "files": {"": "a.csv"}, "text": "text"}
    found = spec({"kind": "folder", "path": ".", "layout": layout})
    (folder / "a.csv").write_text("text,label\n")
    first = source_files.digest_of(tmp_path, folder, found)
    (folder / "b.csv").write_text("text,label\n")
    assert source_files.digest_of(tmp_path, folder, found) == first
    (folder / "a.csv").write_text("text,label\nx,y\n")
    assert source_files.digest_of(tmp_path, folder, found) != first


@pytest.mark.slow
def test_ingest_is_stale_and_runs_again(tmp_path: Path) -> None:
    project = small_project.make(tmp_path)
    photos = project.dataset(small_project.DATASET) / "photos"
    for stage in ("ingest", "validate", "prepare"):
        versioning.reproduce(project, small_project.DATASET, stage)
    assert all(stage.current for stage in versioning.status(project, small_project.DATASET))
    before = versioning.data_digest(project, small_project.DATASET)
    (photos / "a" / "20.png").write_bytes((photos / "a" / "0.png").read_bytes())
    ingest = versioning.status(project, small_project.DATASET)[0]
    assert (ingest.current, ingest.reasons) == (False, (REASON,))
    for stage in ("ingest", "validate", "prepare"):
        versioning.reproduce(project, small_project.DATASET, stage)
    assert all(stage.current for stage in versioning.status(project, small_project.DATASET))
    assert versioning.data_digest(project, small_project.DATASET) != before
    photos.rename(photos.with_name("elsewhere"))  # not here: nothing is known to have changed
    assert all(stage.current for stage in versioning.status(project, small_project.DATASET))
