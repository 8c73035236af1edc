"""Unpack archives safely: no file outside the folder, no links, no devices, no archive bombs."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from components.core.errors import SourceError
from components.ingestion.archive_target import ArchiveLimits, ArchiveTarget

_PIECE = 1 << 20
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags of a member of a zip archive
_7Z = b"7z\xbc\xaf\x27\x1c"
_GUESSES = ("gbk", "shift_jis", "euc_kr", "big5", "cp850", "cp1252", "cp1251")  # of an encoding, to show


class _Member(NamedTuple):
    name: str
    kind: str
    stream: IO[bytes] | None


def is_archive(path: Path) -> bool:
    """Whether a file is a tar (plain, gzip, bzip2, xz), zip or 7z archive, whatever its name."""
    return _is_seven_zip(path) or zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def _is_seven_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_7Z)) == _7Z


def unpack(path: Path, folder: Path, limits: ArchiveLimits | None = None, *, names: str | None = None) -> None:
    """Unpack into a folder. Files written before a refusal are not removed: use a temporary folder.

    Args:
        names: encoding of the names in a zip archive that does not say that they are UTF-8.

    Raises:
        UnsafeArchiveError: a member is outside the folder, is no plain file or folder, or a limit is exceeded.
        SourceError: the archive is damaged or encrypted, or the encoding of its names is not known.
    """
    target = ArchiveTarget(path, folder, limits or ArchiveLimits())
    try:
        if _is_seven_zip(path):
            from components.ingestion import seven_zip  # only here: it imports py7zr

            seven_zip.unpack(path, target)
        else:
            _unpack_members(path, target, names)
    except FileExistsError as error:
        raise target.twice(error.filename) from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError) as error:
        raise SourceError("the archive is damaged", where=str(path), got=error) from error


def _unpack_members(path: Path, target: ArchiveTarget, names: str | None) -> None:
    for member in _members(path, names):
        place = target.place(member.name, member.kind)
        if member.stream is None:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as out:
            while piece := member.stream.read(_PIECE):
                target.count(len(piece))
                out.write(piece)


def _members(path: Path, names: str | None) -> Iterator[_Member]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for info in packed.infolist():
                mode = info.external_attr >> 16
                name = _zip_name(info, names, path)
                if info.is_dir():
                    yield _Member(name, "folder", None)
                elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                    yield _Member(name, "link" if stat.S_ISLNK(mode) else "device", None)
                elif info.flag_bits & _ENCRYPTED:
                    raise SourceError(
                        "the archive is encrypted",
                        where=str(path),
                        got=name,
                        next_step="unpack it, and name the folder",
                    )
                else:
                    with packed.open(info) as stream:
                        yield _Member(name, "file", stream)
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


def _zip_name(info: zipfile.ZipInfo, names: str | None, archive: Path) -> str:
    """The name of a member. Where no flag says UTF-8, `zipfile` reads cp437, which no archive of today is written in.

    Raises:
        SourceError: the name is neither ASCII nor UTF-8, and its encoding is not given or does not fit.
    """
    if info.flag_bits & _UTF8 or info.filename.isascii():
        return info.filename
    raw = info.filename.encode("cp437")
    try:
        return raw.decode(names or "utf-8")
    except UnicodeDecodeError as error:
        guesses = [f"{encoding}: {text}" for encoding in _GUESSES if (text := _decoded(raw, encoding)) is not None]
        raise SourceError(
            f"the names in the archive are not in {names or 'UTF-8'}",
            where=str(archive),
            got="; ".join(guesses),
            expected="the encoding of the names",
            next_step="say it in dataset.yaml, as in `source: {kind: folder, names: gbk, ...}`; or unpack the archive",
        ) from error


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None
