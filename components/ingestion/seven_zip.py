"""Unpack 7z archives member by member into the files that `ArchiveTarget` places. Imports py7zr: half a second."""

from __future__ import annotations

import contextlib
import stat
import struct
from pathlib import Path
from typing import IO

import py7zr
from py7zr.exceptions import ArchiveError, PasswordRequired, UnsupportedCompressionMethodError
from py7zr.io import Py7zIO, WriterFactory

from components.core.errors import SourceError
from components.ingestion.archive_target import ArchiveTarget

# What py7zr's parser meets in a header that is not what it should be.
_PARSER_ERRORS = (
    struct.error,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
)


def unpack(path: Path, target: ArchiveTarget) -> None:
    """Unpack all members.

    Raises:
        UnsafeArchiveError: as `ArchiveTarget` says.
        SourceError: the archive is encrypted, damaged, or packed by a method that py7zr does not know.
    """
    try:
        # A stream, not a path: of a path, several threads would unpack at once.
        with path.open("rb") as stream, py7zr.SevenZipFile(stream) as packed:
            if packed.needs_password():
                raise PasswordRequired(path.name)
            _check_members(packed, target)
            with contextlib.closing(_Files(target)) as files:
                packed.extractall(factory=files)
    except PasswordRequired as error:
        raise SourceError(
            "the archive is encrypted", where=str(path), next_step="unpack it, and name the folder"
        ) from error
    except UnsupportedCompressionMethodError as error:
        raise SourceError(
            "the archive is packed by a method that is not known",
            where=str(path),
            got=error,
            next_step="unpack it, and name the folder",
        ) from error
    except (ArchiveError, *_PARSER_ERRORS) as error:
        raise SourceError("the archive is damaged", where=str(path), got=str(error) or repr(error)) from error


def _check_members(packed: py7zr.SevenZipFile, target: ArchiveTarget) -> None:
    """Look at all members before one is unpacked; folders, which have no content, are made."""
    names: set[str] = set()
    for member in packed.files:
        mode = member.st_fmt
        is_link = member.is_symlink or member.is_junction or mode == stat.S_IFLNK
        is_device = mode not in (None, stat.S_IFREG, stat.S_IFDIR)
        kind = "folder" if member.is_directory else "link" if is_link else "device" if is_device else "file"
        path = target.place(member.filename, kind)
        if kind == "folder":
            path.mkdir(parents=True, exist_ok=True)
        elif member.filename in names:  # py7zr would give the second one another name
            raise target.twice(member.filename)
        names.add(member.filename)


class _Files(WriterFactory):
    """Opens the file of a member when its turn comes."""

    def __init__(self, target: ArchiveTarget) -> None:
        self._target = target
        self._last: _File | None = None

    def create(self, filename: str) -> Py7zIO:
        """A new file for the member of this name."""
        self._last = _File(self._target, filename)
        return self._last

    def close(self) -> None:
        """Close what an error left open."""
        if self._last is not None:
            self._last.close()


class _File(Py7zIO):
    """Writes a member's content; what py7zr reads back of other writers, it does not read of this one."""

    def __init__(self, target: ArchiveTarget, name: str) -> None:
        path = target.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._target = target
        self._size = 0
        self._stream: IO[bytes] = path.open("xb")

    def write(self, s: bytes | bytearray) -> int:
        """Write a piece."""
        self._target.count(len(s))
        self._size += len(s)
        return self._stream.write(s)

    def read(self, size: int | None = None) -> bytes:
        """Nothing: it is written only."""
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Stays where it is: py7zr rewinds what it has written."""
        return self._size

    def flush(self) -> None:
        """Hand what is written to the system."""
        self._stream.flush()

    def size(self) -> int:
        """Bytes written."""
        return self._size

    def close(self) -> None:
        """The member is whole."""
        self._stream.close()
