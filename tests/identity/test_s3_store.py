"""The artifact store in a real S3 (SeaweedFS), which checks keys and checksums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from components.core.errors import CorruptArtifactError, NotFoundError, StackError
from components.identity import manifest, remote_artifact_store
from components.identity.artifact_store import ArtifactStore
from tests import s3_server

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(s3_server.missing() is not None, reason=str(s3_server.missing())),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with s3_server.running(tmp_path_factory.mktemp("weed")) as variables:
        yield variables


@pytest.fixture
def store(server: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    import s3fs

    for name, value in server.items():
        monkeypatch.setenv(name, value)
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    if not files.exists("bucket"):
        files.mkdir("bucket")
    return remote_artifact_store.open_store("s3://bucket/team")


def sealed(folder: Path, size: int = 10) -> manifest.Manifest:
    folder.mkdir()
    (folder / "weights").write_bytes(b"x" * size)
    (folder / "card.md").write_text("# card")
    return manifest.seal(folder, "trained", {"a": 1})


def test_an_artifact_comes_back_whole(store: ArtifactStore, tmp_path: Path) -> None:
    made = sealed(tmp_path / "made", 12_000_000)  # in several parts
    assert not store.has(made.digest)
    store.put(tmp_path / "made", "trained")
    assert store.has(made.digest)
    store.get(made.digest, tmp_path / "copy")
    assert manifest.verify(tmp_path / "copy", "trained") == made
    store.write_entry(made.digest, {"by": "ann"})
    assert store.read_entry(made.digest) == {"by": "ann"}
    assert store.read_entry("b" * 64) is None
    with pytest.raises(NotFoundError):
        store.get("b" * 64, tmp_path / "none")


def test_a_changed_file_does_not_enter(store: ArtifactStore, tmp_path: Path) -> None:
    made = sealed(tmp_path / "made", 77)
    (tmp_path / "made" / "weights").write_bytes(b"y" * 77)
    with pytest.raises(CorruptArtifactError):
        store.put(tmp_path / "made", "trained")
    assert not store.has(made.digest)


def test_a_wrong_key_is_refused(store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed(tmp_path / "made", 99)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StackError, match="does not answer, or refuses"):
        remote_artifact_store.open_store("s3://bucket/team").put(tmp_path / "made", "trained")
