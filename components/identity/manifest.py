"""A folder that says what is in it: `manifest.json` beside the files, with one digest over all of it.

Every hand-over is such a folder. The digest covers each file's sha256 and the facts (where it came from, shapes,
counts), so it is the identity of the artifact: the same content gives the same digest in any folder, on any day.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from components.core import atomic
from components.core.errors import CorruptArtifactError, NotFoundError
from components.core.strict import Strict
from components.identity import digest

FILE_NAME = "manifest.json"

Kind = Literal[
    "raw", "validated", "prepared", "trained", "package", "bundle", "bento", "report", "archive", "predictions",
    "reference", "monitoring", "source",
]  # fmt: skip


class FileEntry(Strict):
    """One file of an artifact: its sha256 in hex and its size."""

    sha256: str
    bytes: int


class Manifest(Strict):
    """What an artifact is. `facts` is JSON; the room that writes a kind of artifact says what stands in it."""

    schema_version: Literal[1] = 1
    kind: Kind
    facts: dict[str, Any]
    files: dict[str, FileEntry]
    digest: str


def seal(folder: Path, kind: Kind, facts: dict[str, Any]) -> Manifest:
    """Write `manifest.json` for all files now in `folder` (recursively) and return it."""
    manifest = describe(folder, kind, facts)
    write_json(folder / FILE_NAME, manifest.model_dump(mode="json"))
    return manifest


def describe(folder: Path, kind: Kind, facts: dict[str, Any]) -> Manifest:
    """The manifest of all files now in `folder` (recursively); nothing is written."""
    files = {
        name: FileEntry(sha256=digest.of_file(path), bytes=path.stat().st_size) for name, path in _files(folder).items()
    }
    content = {"schema_version": 1, "kind": kind, "facts": facts, "files": _plain(files)}
    return Manifest(kind=kind, facts=facts, files=files, digest=digest.of_value(content))


def write_json(path: Path, document: object) -> None:
    """A JSON file as artifacts hold them: sorted, indented by one, no NaN (ValueError)."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    atomic.write_text(path, text + "\n")


def load(folder: Path, kind: Kind) -> Manifest:
    """Read a folder's manifest and check that its digest fits its own words; the files are not read.

    Raises:
        NotFoundError: there is no manifest.
        CorruptArtifactError: it cannot be read, is of another kind, or its digest does not fit.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise NotFoundError(f"no {kind} artifact here", where=str(folder), expected=FILE_NAME)
    manifest = read(path)
    if manifest.kind != kind:
        raise CorruptArtifactError("another kind of artifact", where=str(path), got=manifest.kind, expected=kind)
    return manifest


def read(path: Path) -> Manifest:
    """A manifest of whatever kind, in whatever file.

    Raises:
        NotFoundError: there is no such file.
        CorruptArtifactError: it cannot be read, or its digest does not fit.
    """
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError("no such artifact", where=str(path)) from error
    except ValidationError as error:
        raise CorruptArtifactError(
            "the manifest cannot be read", where=str(path), got=error.errors()[0]["msg"]
        ) from error
    content = manifest.model_dump(mode="json", exclude={"digest"})
    if (found := digest.of_value(content)) != manifest.digest:
        raise CorruptArtifactError("the manifest was changed", where=str(path), got=found, expected=manifest.digest)
    return manifest


def verify(folder: Path, kind: Kind, ignored: frozenset[str] = frozenset()) -> Manifest:
    """`load`, then read every file and compare it with the manifest.

    Args:
        ignored: names of files or folders, anywhere in the tree, that others may put beside the sealed ones.

    Raises:
        CorruptArtifactError: names the first file (in sorted order) that is missing, unknown or different.
    """
    manifest = load(folder, kind)
    present = {name: path for name, path in _files(folder).items() if not ignored.intersection(name.split("/"))}
    for name in sorted(present.keys() | manifest.files.keys()):
        if name not in present:
            raise CorruptArtifactError(
                "a file is missing", where=str(folder / name), expected=manifest.files[name].sha256
            )
        if name not in manifest.files:
            raise CorruptArtifactError("a file that the manifest does not name", where=str(folder / name))
        if (found := digest.of_file(present[name])) != manifest.files[name].sha256:
            raise CorruptArtifactError(
                "the file is not the one that was sealed",
                where=str(folder / name),
                got=f"sha256 {found}",
                expected=f"sha256 {manifest.files[name].sha256}",
            )
    return manifest


def _files(folder: Path) -> dict[str, Path]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    found.pop(FILE_NAME, None)
    return dict(sorted(found.items()))


def _plain(files: dict[str, FileEntry]) -> dict[str, Any]:
    return {name: entry.model_dump(mode="json") for name, entry in files.items()}
