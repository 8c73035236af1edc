"""Sealed folders by digest: how an artifact reaches a process that cannot read the folder in which it was made.

A store is content-addressed: a file is a blob named by its sha256, an artifact is its manifest named by its digest. The
manifest is written last, so an artifact is wholly in the store or not there. Files are streamed, and every byte is
compared with the manifest in both directions.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

from components.core import atomic
from components.core.errors import CorruptArtifactError, NotFoundError
from components.identity import digest as digests
from components.identity import manifest as manifests
from components.identity.manifest import Kind, Manifest

CHUNK_BYTES = 1 << 20


class ArtifactStore(Protocol):
    """Where artifacts are kept by digest. An implementation streams files and verifies them in both directions."""

    def has(self, digest: str) -> bool:
        """Whether the whole artifact is in the store."""
        ...

    def put(self, folder: Path, kind: Kind, *, anew: bool = False) -> Manifest:
        """Copy an artifact into the store; returns its manifest. A folder of kind `report` needs no manifest.

        Args:
            anew: also what the store has already, as it may be damaged.

        Raises:
            NotFoundError: the folder is not sealed.
            CorruptArtifactError: a file is missing or is not as sealed; the store has no such artifact then.
        """
        ...

    def get(self, digest: str, target: Path) -> Manifest:
        """Copy an artifact out of the store; the folder `target` is replaced at once, when all of it is verified.

        Raises:
            NotFoundError: the artifact is not in the store.
            CorruptArtifactError: what the store holds is not as sealed; `target` stays as it was.
        """
        ...

    def write_entry(self, key: str, document: dict[str, Any]) -> None:
        """Keep a document under a key, a sha256 digest; an earlier one is replaced at once."""
        ...

    def read_entry(self, key: str) -> dict[str, Any] | None:
        """The document under a key; None if there is none.

        Raises:
            ValueError: it is no JSON.
        """
        ...


class LocalArtifactStore:
    """A store in a folder, which several machines may mount.

    Args:
        root: the folder; created with the first artifact.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def has(self, digest: str) -> bool:
        """Whether the whole artifact is in the store."""
        return self._manifest(digest).is_file()

    def put(self, folder: Path, kind: Kind, *, anew: bool = False) -> Manifest:
        """As `ArtifactStore.put`."""
        sealed = manifests.describe(folder, kind, {}) if kind == "report" else manifests.load(folder, kind)
        for name, entry in sealed.files.items():
            blob = self._blob(entry.sha256)
            if anew or not blob.exists():
                _copy(below(folder, name), blob, entry.sha256)
        manifests.write_json(self._manifest(sealed.digest), sealed.model_dump(mode="json"))
        return sealed

    def get(self, digest: str, target: Path) -> Manifest:
        """As `ArtifactStore.get`."""
        sealed = manifests.read(self._manifest(digest))
        if sealed.digest != digest:
            raise CorruptArtifactError(
                "the store holds another artifact under this digest",
                where=str(self._manifest(digest)),
                got=sealed.digest,
                expected=digest,
            )
        with atomic.folder(target) as fresh:
            for name, entry in sealed.files.items():
                _copy(self._blob(entry.sha256), below(fresh, name), entry.sha256)
            if sealed.kind != "report":
                manifests.write_json(fresh / manifests.FILE_NAME, sealed.model_dump(mode="json"))
        return sealed

    def write_entry(self, key: str, document: dict[str, Any]) -> None:
        """As `ArtifactStore.write_entry`."""
        manifests.write_json(self._entry(key), document)

    def read_entry(self, key: str) -> dict[str, Any] | None:
        """As `ArtifactStore.read_entry`."""
        try:
            found: dict[str, Any] = json.loads(self._entry(key).read_bytes())
        except FileNotFoundError:
            return None
        return found

    def _entry(self, key: str) -> Path:
        return self.root / "entries" / f"{checked(key)}.json"

    def remove(self, digest: str) -> None:
        """Remove an artifact, and those of its files that no other artifact of the store has."""
        try:
            sealed = manifests.read(self._manifest(digest))
        except NotFoundError:
            return
        others = [path for path in self._manifest(digest).parent.glob("*.json") if path != self._manifest(digest)]
        needed = {entry.sha256 for path in others for entry in manifests.read(path).files.values()}
        self._manifest(digest).unlink(missing_ok=True)
        for entry in sealed.files.values():
            if entry.sha256 not in needed:
                self._blob(entry.sha256).unlink(missing_ok=True)

    def _manifest(self, digest: str) -> Path:
        return self.root / "manifests" / f"{checked(digest)}.json"

    def _blob(self, sha256: str) -> Path:
        return self.root / "blobs" / checked(sha256)[:2] / sha256


def checked(digest: str) -> str:
    """A digest that is safe as a file's name."""
    if not digests.is_sha256(digest):
        raise CorruptArtifactError("not a digest", got=repr(digest), expected="a sha256 digest, 64 hex digits")
    return digest


def below(folder: Path, name: str) -> Path:
    """A file of an artifact. A manifest comes from elsewhere: its names lead nowhere but into the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise CorruptArtifactError("the manifest names a file outside its folder", where=str(folder), got=name)
    return folder / path


def _copy(source: Path, target: Path, sha256: str) -> None:
    """Stream a file to its place, which it takes when every byte is as sealed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:32]}.")
    try:
        with os.fdopen(handle, "wb") as written:
            try:
                with source.open("rb") as read:
                    found = _stream(read, written)
            except FileNotFoundError as error:
                raise NotFoundError("a file of the artifact is missing", where=str(source), expected=sha256) from error
        if found != sha256:
            raise CorruptArtifactError(
                "the file is not the one that was sealed", where=str(source), got=f"sha256 {found}",
                expected=f"sha256 {sha256}",
            )  # fmt: skip
        shutil.copymode(source, name)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _stream(source: BinaryIO, target: BinaryIO) -> str:
    """Copy in pieces; returns the sha256 of what was copied."""
    hashed = hashlib.sha256()
    while piece := source.read(CHUNK_BYTES):
        hashed.update(piece)
        target.write(piece)
    return hashed.hexdigest()
