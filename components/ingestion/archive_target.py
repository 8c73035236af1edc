"""The folder that an archive is unpacked into: no file outside it, no name twice, no more than the limits say."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from components.core.errors import UnsafeArchiveError


class ArchiveLimits(NamedTuple):
    """Upper limits of an archive's content; bytes are counted while unpacking, not taken from the archive's headers."""

    files: int = 2_000_000
    unpacked_bytes: int = 64 << 30


class ArchiveTarget:
    """Places the members of an archive below a folder, and counts them and their bytes.

    Args:
        archive: named in errors.
    """

    def __init__(self, archive: Path, folder: Path, limits: ArchiveLimits) -> None:
        self.archive = archive
        self._base = folder.resolve()
        self._limits = limits
        self._files = 0
        self._bytes = 0

    def place(self, name: str, kind: str) -> Path:
        """Count a member, which is a `file`, a `folder` or something else, such as a `link`; returns its path.

        Raises:
            UnsafeArchiveError: it is no plain file or folder, its path leads outside, or there are too many members.
        """
        self._files += 1
        if self._files > self._limits.files:
            raise UnsafeArchiveError(
                "too many files in the archive", where=str(self.archive), expected=self._limits.files
            )
        if kind not in ("file", "folder"):
            raise UnsafeArchiveError(f"a {kind} in the archive", where=str(self.archive), got=name)
        return self.path(name)

    def path(self, name: str) -> Path:
        """The path of a member.

        Raises:
            UnsafeArchiveError: it leads outside.
        """
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or "\0" in name or (parts.parts and ":" in parts.parts[0]):
            raise UnsafeArchiveError("a path that leads outside the archive", where=str(self.archive), got=name)
        return self._base.joinpath(*parts.parts)

    def count(self, size: int) -> None:
        """Count bytes about to be written.

        Raises:
            UnsafeArchiveError: the limit is exceeded.
        """
        self._bytes += size
        if self._bytes > self._limits.unpacked_bytes:
            raise UnsafeArchiveError(
                "too many bytes in the archive", where=str(self.archive), expected=self._limits.unpacked_bytes
            )

    def twice(self, name: object) -> UnsafeArchiveError:
        """The error for a second member of one name."""
        return UnsafeArchiveError("a name stands twice in the archive", where=str(self.archive), got=name)
