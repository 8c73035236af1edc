"""The digest of a source's files on this machine: added, changed or removed ones count."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pydantic import TypeAdapter

from components.contracts.dataset import DatasetSpec
from components.versioning import source_files


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
