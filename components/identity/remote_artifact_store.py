"""An artifact store behind a URL, `s3://bucket/folder`, through fsspec; and how a store is opened by its place.

S3 needs the package s3fs beside Modelyard's requirements. Credentials and the server are those of AWS's own tools:
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL_S3, or the files in `~/.aws`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from components.core import atomic
from components.core.errors import CorruptArtifactError, NotFoundError, StackError
from components.identity import digest as digests
from components.identity import manifest as manifests
from components.identity.artifact_store import CHUNK_BYTES, ArtifactStore, LocalArtifactStore, below, checked
from components.identity.manifest import Kind, Manifest


def is_url(place: str) -> bool:
    """Whether a store's place is a URL, and no folder."""
    return "://" in place


def install_command(*packages: str) -> str:
    """The command that installs the packages for S3, as words of a message.

    s3fs is named in the version of the fsspec that is installed: the two are released together, and without it pip may
    take a years old s3fs, which fits any boto3.
    """
    pinned = {"s3fs": f"s3fs=={metadata.version('fsspec')}"}
    return f"`.venv/bin/pip install {' '.join(pinned.get(name, name) for name in packages)}`"


def open_store(place: str) -> ArtifactStore:
    """The store at a place: a folder, or a URL.

    Raises:
        StackError: there is no library for such URLs.
    """
    return RemoteArtifactStore(place) if is_url(place) else LocalArtifactStore(Path(place))


class RemoteArtifactStore:
    """A store at a URL of a kind that fsspec knows, laid out as a `LocalArtifactStore`.

    A file is verified before and while it is sent; the manifest follows when all files are there.

    Raises:
        StackError: there is no library for such URLs.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self._url = url.rstrip("/")
        try:
            more = {"auto_mkdir": True} if url.startswith("file://") else {}
            self._files, root = fsspec.url_to_fs(self._url, use_listings_cache=False, skip_instance_cache=True, **more)
        except (ImportError, ValueError) as error:
            raise StackError(
                "there is no library for this kind of URL", where="connections.artifacts", got=self._url,
                next_step=f"for s3://, {install_command('s3fs')}, also where stages run",
            ) from error  # fmt: skip
        self._root = str(root).rstrip("/")

    def has(self, digest: str) -> bool:
        """As `ArtifactStore.has`."""
        path = self._manifest(digest)
        with self._store_errors():
            return bool(self._files.exists(path))

    def put(self, folder: Path, kind: Kind, *, anew: bool = False) -> Manifest:
        """As `ArtifactStore.put`."""
        sealed = manifests.describe(folder, kind, {}) if kind == "report" else manifests.load(folder, kind)
        for name, entry in sealed.files.items():
            blob = self._blob(entry.sha256)
            if anew or self._size(blob) != entry.bytes:
                self._send(below(folder, name), blob, entry.sha256)
        self._write(self._manifest(sealed.digest), sealed.model_dump(mode="json"))
        return sealed

    def get(self, digest: str, target: Path) -> Manifest:
        """As `ArtifactStore.get`."""
        content = self._read(self._manifest(digest))
        if content is None:
            raise NotFoundError("the artifact is not in the store", where=self._url, expected=digest)
        with atomic.folder(target) as fresh:
            (fresh / manifests.FILE_NAME).write_bytes(content)
            sealed = manifests.read(fresh / manifests.FILE_NAME)
            (fresh / manifests.FILE_NAME).unlink()
            if sealed.digest != digest:
                raise CorruptArtifactError(
                    "the store holds another artifact under this digest", where=self._manifest(digest),
                    got=sealed.digest, expected=digest,
                )  # fmt: skip
            for name, entry in sealed.files.items():
                self._fetch(self._blob(entry.sha256), below(fresh, name), entry.sha256)
            if sealed.kind != "report":
                manifests.write_json(fresh / manifests.FILE_NAME, sealed.model_dump(mode="json"))
        return sealed

    def write_entry(self, key: str, document: dict[str, Any]) -> None:
        """As `ArtifactStore.write_entry`."""
        self._write(self._entry(key), document)

    def read_entry(self, key: str) -> dict[str, Any] | None:
        """As `ArtifactStore.read_entry`."""
        content = self._read(self._entry(key))
        found: dict[str, Any] | None = None if content is None else json.loads(content)
        return found

    def _send(self, source: Path, blob: str, sha256: str) -> None:
        hashed = hashlib.sha256()
        try:
            _check(source, digests.of_file(source), sha256)
            with self._store_errors(), source.open("rb") as read, self._files.open(blob, "wb") as written:
                while piece := read.read(CHUNK_BYTES):
                    hashed.update(piece)
                    written.write(piece)
        except FileNotFoundError as error:
            raise NotFoundError("a file of the artifact is missing", where=str(source), expected=sha256) from error
        try:
            _check(source, hashed.hexdigest(), sha256)
        except CorruptArtifactError:  # it changed meanwhile
            with self._store_errors():
                self._files.rm_file(blob)
            raise

    def _fetch(self, blob: str, target: Path, sha256: str) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        hashed = hashlib.sha256()
        try:
            with self._store_errors(), self._files.open(blob, "rb") as read, target.open("wb") as written:
                while piece := read.read(CHUNK_BYTES):
                    hashed.update(piece)
                    written.write(piece)
        except FileNotFoundError as error:
            raise NotFoundError("a file of the artifact is missing", where=blob, expected=sha256) from error
        _check(blob, hashed.hexdigest(), sha256)

    def _write(self, path: str, document: dict[str, Any]) -> None:
        with self._store_errors():
            self._files.pipe_file(path, json.dumps(document, indent=1, sort_keys=True).encode())

    def _read(self, path: str) -> bytes | None:
        try:
            with self._store_errors():
                return bytes(self._files.cat_file(path))
        except FileNotFoundError:
            return None

    def _size(self, path: str) -> int | None:
        try:
            with self._store_errors():
                return int(self._files.info(path)["size"])
        except FileNotFoundError:
            return None

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """What a file system raises but for a file that is not there becomes an error of the store."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # each kind of file system has errors of its own
            raise StackError(
                "the artifact store does not answer, or refuses", where=self._url,
                got=f"{type(error).__name__}: {error}", next_step="are its URL and its credentials right?",
            ) from error  # fmt: skip

    def _manifest(self, digest: str) -> str:
        return f"{self._root}/manifests/{checked(digest)}.json"

    def _blob(self, sha256: str) -> str:
        return f"{self._root}/blobs/{checked(sha256)[:2]}/{sha256}"

    def _entry(self, key: str) -> str:
        return f"{self._root}/entries/{checked(key)}.json"


def _check(where: object, found: str, sha256: str) -> None:
    if found != sha256:
        raise CorruptArtifactError(
            "the file is not the one that was sealed", where=str(where), got=f"sha256 {found}",
            expected=f"sha256 {sha256}",
        )  # fmt: skip
