"""An artifact store gives back what was put in, or nothing."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from components.core.errors import CorruptArtifactError, NotFoundError, StackError
from components.identity import digest, manifest, remote_artifact_store
from components.identity.artifact_store import ArtifactStore


@pytest.fixture(params=["folder", "url"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    place = str(tmp_path / "store")
    return remote_artifact_store.open_store(place if request.param == "folder" else f"file://{place}")


def sealed(folder: Path, **files: str) -> manifest.Manifest:
    (folder / "inner").mkdir(parents=True)
    for name, content in files.items():
        (folder / "inner" / name).write_text(content)
    return manifest.seal(folder, "prepared", {"a": 1})


def test_an_artifact_comes_back_whole(store: ArtifactStore, tmp_path: Path) -> None:
    made = sealed(tmp_path / "made", one="1", two="2")
    assert not store.has(made.digest)
    assert store.put(tmp_path / "made", "prepared") == made
    assert store.has(made.digest)
    assert store.get(made.digest, tmp_path / "copy") == made
    assert manifest.verify(tmp_path / "copy", "prepared") == made


def test_the_folder_that_it_replaces_is_replaced_at_once(store: ArtifactStore, tmp_path: Path) -> None:
    made = sealed(tmp_path / "made", one="1")
    store.put(tmp_path / "made", "prepared")
    sealed(tmp_path / "old", two="2")
    store.get(made.digest, tmp_path / "old")
    assert manifest.verify(tmp_path / "old", "prepared") == made


def test_a_changed_file_does_not_enter(store: ArtifactStore, tmp_path: Path) -> None:
    made = sealed(tmp_path / "made", one="1")
    (tmp_path / "made" / "inner" / "one").write_text("other")
    with pytest.raises(CorruptArtifactError, match="not the one that was sealed"):
        store.put(tmp_path / "made", "prepared")
    assert not store.has(made.digest)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_store_gives_nothing(store: ArtifactStore, tmp_path: Path, damage: str) -> None:
    made = sealed(tmp_path / "made", one="1", two="2")
    store.put(tmp_path / "made", "prepared")
    blob = tmp_path / "store" / "blobs" / digest.of_file(tmp_path / "made/inner/two")[:2]
    file = next(blob.iterdir())
    file.write_text("x") if damage == "changed" else file.unlink()
    before = sealed(tmp_path / "target", three="3")
    with pytest.raises(CorruptArtifactError if damage == "changed" else NotFoundError):
        store.get(made.digest, tmp_path / "target")
    assert manifest.verify(tmp_path / "target", "prepared") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "store", "target"]


def test_a_manifest_leads_nowhere_but_into_its_folder(store: ArtifactStore, tmp_path: Path) -> None:
    made = sealed(tmp_path / "made", one="1")
    store.put(tmp_path / "made", "prepared")
    path = tmp_path / "store" / "manifests" / f"{made.digest}.json"
    document = json.loads(path.read_text())
    document["files"] = {"../../outside": document["files"]["inner/one"]}
    document["digest"] = digest.of_value({name: value for name, value in document.items() if name != "digest"})
    path.with_name(f"{document['digest']}.json").write_text(json.dumps(document))
    with pytest.raises(CorruptArtifactError, match="outside its folder"):
        store.get(document["digest"], tmp_path / "deep" / "target")
    assert not (tmp_path / "outside").exists()
    with pytest.raises(CorruptArtifactError, match="not a digest"):
        store.has("../manifests/x")


def test_a_report_needs_no_seal(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "page.html").write_text("<p>")
    made = store.put(tmp_path / "report", "report")
    assert not (tmp_path / "report" / manifest.FILE_NAME).exists()
    store.get(made.digest, tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["page.html"]


def test_an_entry_is_found_by_its_key(store: ArtifactStore) -> None:
    assert store.read_entry("a" * 64) is None
    store.write_entry("a" * 64, {"by": "ann"})
    store.write_entry("a" * 64, {"by": "bob", "at": 1.5})
    assert store.read_entry("a" * 64) == {"by": "bob", "at": 1.5}
    with pytest.raises(CorruptArtifactError, match="not a digest"):
        store.read_entry("../a")


def test_a_url_without_a_library_says_what_it_needs() -> None:
    with pytest.raises(StackError, match="no library for this kind of URL") as caught:
        remote_artifact_store.open_store("abfs://container/x")
    assert "abfs" in str(caught.value)


@pytest.mark.slow
def test_memory_does_not_grow_with_a_file(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with (tmp_path / "made" / "weights").open("wb") as stream:
        stream.truncate(64_000_000)
    made = manifest.seal(tmp_path / "made", "trained", {})
    tracemalloc.start()
    store.put(tmp_path / "made", "trained")
    store.get(made.digest, tmp_path / "copy")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000
