"""Unpack archives safely: no file outside the folder, no links, no devices, no archive bombs."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from components.core.errors import SourceError, UnsafeArchiveError

_PIECE = 1 << 20


class ArchiveLimits(NamedTuple):
    """Upper limits of an archive's content; bytes are counted while unpacking, not taken from the archive's headers."""

    files: int = 2_000_000
    unpacked_bytes: int = 64 << 30


class _Member(NamedTuple):
    name: str
    kind: str
    stream: IO[bytes] | None


def is_archive(path: Path) -> bool:
    """Whether a file is a tar (plain, gzip, bzip2, xz) or zip archive."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(path: Path, folder: Path, limits: ArchiveLimits | None = None) -> None:
    """Unpack into a folder. Files written before a refusal are not removed: use a temporary folder.

    Raises:
        UnsafeArchiveError: a member is outside the folder, is no plain file or folder, or a limit is exceeded.
        SourceError: the archive is damaged.
    """
    limits = limits or ArchiveLimits()
    base = folder.resolve()
    remaining_bytes = limits.unpacked_bytes
    try:
        for count, member in enumerate(_members(path), 1):
            if count > limits.files:
                raise UnsafeArchiveError("too many files in the archive", where=str(path), expected=limits.files)
            target = _target(member, base, path)
            if member.stream is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as out:
                while piece := member.stream.read(_PIECE):
                    remaining_bytes -= len(piece)
                    if remaining_bytes < 0:
                        raise UnsafeArchiveError(
                            "too many bytes in the archive", where=str(path), expected=limits.unpacked_bytes
                        )
                    out.write(piece)
    except FileExistsError as error:
        raise UnsafeArchiveError("a name stands twice in the archive", where=str(path), got=error.filename) from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise SourceError("the archive is damaged", where=str(path), got=error) from error


def _members(path: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for info in packed.infolist():
                mode = info.external_attr >> 16
                if info.is_dir():
                    yield _Member(info.filename, "folder", None)
                elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                    yield _Member(info.filename, "link" if stat.S_ISLNK(mode) else "device", None)
                else:
                    with packed.open(info) as stream:
                        yield _Member(info.filename, "file", stream)
        return
    with tarfile.open(path, "r|*") as tape:  # a stream: read once, nothing is kept
        for entry in tape:
            tape.members.clear()  # type: ignore[attr-defined]  # else every name read so far is kept
            kind = "link" if entry.issym() or entry.islnk() else "device"
            if entry.isdir():
                yield _Member(entry.name, "folder", None)
            elif entry.isreg():
                yield _Member(entry.name, "file", tape.extractfile(entry))
            else:
                yield _Member(entry.name, kind, None)


def _target(member: _Member, base: Path, archive: Path) -> Path:
    if member.kind not in ("file", "folder"):
        raise UnsafeArchiveError(f"a {member.kind} in the archive", where=str(archive), got=member.name)
    name = PurePosixPath(member.name.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or "\0" in member.name or (name.parts and ":" in name.parts[0]):
        raise UnsafeArchiveError("a path that leads outside the archive", where=str(archive), got=member.name)
    return base.joinpath(*name.parts)
