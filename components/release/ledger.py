"""The ledger: what was asked of production and what became of it. Append-only, each entry chained to the one before.

One JSON object a line; `digest` covers the entry without it, `previous` is the digest of the line before. A line that
a kill cut off in the middle was never acknowledged: the next append takes it away. Everything else that was ever
written stays, and a change of any byte of it breaks the chain from there on.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from components.core.errors import CorruptArtifactError
from components.core.project import Project
from components.core.strict import Strict
from components.identity import digest

Role = Literal["champion", "challenger"]

Event = Literal[
    "asked",  # a release begins: the registry names another version than the one that serves
    "verified",  # its package is there and is what was sealed
    "bundled",
    "gated",  # all gates passed
    "waiting",  # for a person's approval
    "approved",  # by a person
    "staged",  # loaded beside the one that serves
    "proven",  # its golden examples through the real endpoint
    "switching",  # decided: what production is made of from now on
    "switched",  # every worker serves it
    "served",  # watched; it serves well: the release is done
    "refusing",  # decided; the registry is being told
    "refused",  # never served
    "returned",  # served for a moment, failed, and what served before is back
    "superseded",  # the registry asked for something else meanwhile
    "withdrawing",
    "withdrawn",  # nothing is asked for any more, nothing serves
    "removing",
    "removed",  # a challenger that broke its limits, or whose alias was taken away
    "compared",  # what champion and challenger did side by side
    "told",  # after a rollback: the registry names what serves again
]

CLOSING: frozenset[Event] = frozenset({"served", "refused", "returned", "superseded", "withdrawn", "removed"})
FIRST = "0" * 64
_BLOCK_BYTES = 65_536


class MovedOnError(Exception):
    """The ledger has a newer entry than the caller has seen; nothing was appended."""


class Side(Strict):
    """A version, with its package's digest where that is known."""

    version: str
    package_digest: str | None


class Entry(Strict):
    """One line.

    Args:
        release: the same for all entries of one release.
        before, after: what served in that role when the release began, and what is asked for.
        asked_by: who or what asked.
        facts: figures, reasons, times, links.
    """

    sequence: int
    time: str
    release: str
    event: Event
    role: Role
    before: Side | None
    after: Side | None
    asked_by: str
    facts: dict[str, Any]
    previous: str
    digest: str


class Ledger:
    """The ledger of one model. Not for use by several threads at once.

    An object that reads again parses only what was appended since, and an append reads only the last line: the lock
    file keeps a stamp of the ledger as the last append left it. Where the stamp differs, the whole file is checked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = _Known()

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of which one changes with each append."""
        return (self.path,)

    def entries(self) -> list[Entry]:
        """All entries, the chain checked.

        Raises:
            CorruptArtifactError: names the first line that does not fit.
        """
        stamp = self._stamp()
        if stamp is None or stamp != self._known.stamp:
            content = self._content()
            known = self._known
            if known.prefix != hashlib.sha256(content[: known.size]).digest():  # shorter, or changed: read it anew
                known = _Known()
            entries = list(known.entries)
            lines = _whole_lines(content[known.size :])
            for number, line in enumerate(lines, len(entries) + 1):
                entries.append(self._checked(line, f"{self.path}:{number}", number, entries[-1:]))
            size = known.size + sum(map(len, lines))
            self._known = _Known(stamp, size, hashlib.sha256(content[:size]).digest(), tuple(entries))
        return list(self._known.entries)

    def append(
        self,
        event: Event,
        *,
        release: str,
        role: Role,
        before: Side | None,
        after: Side | None,
        asked_by: str,
        facts: dict[str, Any] | None = None,
        if_last: int | None = None,
    ) -> Entry:
        """Add an entry; it is on the disk when this returns.

        Args:
            if_last: append only while the last entry has this sequence number (0: while there is none), so that a
                decision is recorded on what it was made from, or not at all.

        Raises:
            MovedOnError: the last entry is another one than `if_last` names.
            CorruptArtifactError: the ledger is broken; nothing is added.
        """
        with self._alone() as lock:
            last, whole = self._end(lock)
            if if_last is not None and if_last != (last.sequence if last else 0):
                raise MovedOnError
            draft = Entry(
                sequence=last.sequence + 1 if last else 1,
                time=datetime.now(UTC).isoformat(timespec="milliseconds"),
                release=release,
                event=event,
                role=role,
                before=before,
                after=after,
                asked_by=asked_by,
                facts=facts or {},
                previous=last.digest if last else FIRST,
                digest="",
            )
            entry = draft.model_copy(update={"digest": _digest(draft)})
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.ftruncate(descriptor, whole)
                _write_all(descriptor, entry.model_dump_json().encode() + b"\n", whole)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            with suppress(OSError):  # the entry is on the disk; without a stamp the next append checks the whole file
                os.ftruncate(lock, 0)
                os.pwrite(lock, json.dumps(self._stamp()).encode(), 0)
            return entry

    def _end(self, lock: int) -> tuple[Entry | None, int]:
        """The last entry, and the size of the whole lines.

        Raises:
            CorruptArtifactError: the file is not as the last append left it, and the chain is broken.
        """
        stamp = self._stamp()
        if stamp is None:
            return None, 0
        if os.pread(lock, _BLOCK_BYTES, 0) != json.dumps(stamp).encode():
            entries = self.entries()
            return (entries[-1] if entries else None), self._known.size
        line = _last_line(self.path)
        entry = self._checked(line, f"{self.path}, last line", None, [])
        return entry, self.path.stat().st_size

    @staticmethod
    def _checked(line: bytes, where: str, number: int | None, before: Sequence[Entry]) -> Entry:
        """One line as an entry; without a number only its own digest is checked."""
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError as error:
            raise CorruptArtifactError("a line of the ledger cannot be read", where=where) from error
        if number is not None:
            previous = before[-1].digest if before else FIRST
            if entry.sequence != number:
                raise CorruptArtifactError(
                    "an entry is missing before this one", where=where, got=entry.sequence, expected=number
                )
            if entry.previous != previous:
                raise CorruptArtifactError("the chain is broken", where=where, got=entry.previous, expected=previous)
        if (real := _digest(entry)) != entry.digest:
            raise CorruptArtifactError("an entry was changed", where=where, got=real, expected=entry.digest)
        return entry

    def _content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def _stamp(self) -> list[int] | None:
        """What changes with every write of the file; None where there is no file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]

    @contextmanager
    def _alone(self) -> Iterator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("a+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream.fileno()


def of(project: Project, name: str) -> Ledger:
    """The ledger of a project's model."""
    return Ledger(project.ledger(name))


@dataclass(frozen=True)
class _Known:
    """What was read of a ledger.

    Args:
        stamp: of the file, taken before it was read.
        size: bytes of the whole lines.
        prefix: sha256 of those bytes.
    """

    stamp: list[int] | None = None
    size: int = 0
    prefix: bytes = hashlib.sha256().digest()
    entries: tuple[Entry, ...] = ()


def _last_line(path: Path) -> bytes:
    """The last line of a file that ends with a line's end; reads no more of the file than that line needs."""
    with path.open("rb") as stream:
        begin = stream.seek(0, os.SEEK_END)
        tail = b""
        while begin > 0 and b"\n" not in tail[:-1]:
            step = min(begin, _BLOCK_BYTES)
            begin = stream.seek(begin - step)
            tail = stream.read(step) + tail
        return tail[:-1].rpartition(b"\n")[2] + b"\n"


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    """Write all bytes or raise: a write on a full disk may take a part of them."""
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written


def _whole_lines(content: bytes) -> list[bytes]:
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def _digest(entry: Entry) -> str:
    return digest.of_value(entry.model_dump(mode="json", exclude={"digest"}))
