"""The ledger: what was asked of production and what became of it. Append-only, each entry chained to the one before.

One JSON object a line; `digest` covers the entry without it, `previous` is the digest of the line before. A line that
a kill cut off in the middle was never acknowledged: the next append takes it away. Everything else that was ever
written stays, and a change of any byte of it breaks the chain from there on.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from components.contracts import digest
from components.contracts.errors import CorruptArtifactError
from components.contracts.strict import Strict

Role = Literal["champion", "challenger"]

Event = Literal[
    "asked",  # a release begins: the registry names another version than the one that serves
    "verified",  # its package is there and is what was sealed
    "bundled",
    "gated",  # all gates passed
    "approved",  # by a person
    "staged",  # loaded beside the one that serves
    "proven",  # its golden examples through the real endpoint
    "switched",
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
]

CLOSING: frozenset[Event] = frozenset({"served", "refused", "returned", "superseded", "withdrawn", "removed"})
FIRST = "0" * 64


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
    """The ledger of one model."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Entry]:
        """All entries, the chain checked.

        Raises:
            CorruptArtifactError: names the first line that does not fit.
        """
        found: list[Entry] = []
        previous = FIRST
        for number, line in enumerate(_whole_lines(self._content()), 1):
            where = f"{self.path}:{number}"
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError as error:
                raise CorruptArtifactError("a line of the ledger cannot be read", where=where) from error
            if entry.sequence != number:
                raise CorruptArtifactError(
                    "an entry is missing before this one", where=where, got=entry.sequence, expected=number
                )
            if entry.previous != previous:
                raise CorruptArtifactError("the chain is broken", where=where, got=entry.previous, expected=previous)
            if (real := _digest(entry)) != entry.digest:
                raise CorruptArtifactError("an entry was changed", where=where, got=real, expected=entry.digest)
            found.append(entry)
            previous = entry.digest
        return found

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
    ) -> Entry:
        """Add an entry; it is on the disk when this returns.

        Raises:
            CorruptArtifactError: the ledger is broken; nothing is added.
        """
        with self._alone():
            present = self.entries()
            draft = Entry(
                sequence=len(present) + 1,
                time=datetime.now(UTC).isoformat(timespec="milliseconds"),
                release=release,
                event=event,
                role=role,
                before=before,
                after=after,
                asked_by=asked_by,
                facts=facts or {},
                previous=present[-1].digest if present else FIRST,
                digest="",
            )
            entry = draft.model_copy(update={"digest": _digest(draft)})
            content = self._content()
            whole = len(b"".join(_whole_lines(content)))
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                if whole < len(content):
                    os.ftruncate(descriptor, whole)
                os.pwrite(descriptor, entry.model_dump_json().encode() + b"\n", whole)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return entry

    def _content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _whole_lines(content: bytes) -> list[bytes]:
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def _digest(entry: Entry) -> str:
    return digest.of_value(entry.model_dump(mode="json", exclude={"digest"}))
