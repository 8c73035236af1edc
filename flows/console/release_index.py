"""What the ledger says of each model, kept while it is current: a page of 50 models reads what has changed since.

A model is current while the signed end of its chain is the one that was read. Models that nobody has looked at are read
by a thread that makes way for requests.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from components.core.errors import ModelyardError
from components.core.project import Project
from components.release import history
from components.release import ledger as ledgers
from components.release import production as productions
from components.release.decision import ROLES
from components.release.ledger import Entry

MAKE_WAY_SECONDS = 0.005  # between two models that nobody waits for
LOOK_SECONDS = 1.0
KEPT_MODELS = 8  # whose entries are kept: a page that is open asks for them every few seconds


@dataclass(frozen=True)
class OpenRelease:
    """A release that has no end yet; `event` is its last step."""

    role: str
    version: str | None
    event: str


@dataclass(frozen=True)
class ReleaseSummary:
    """What the ledger says of a model.

    Args:
        champion, challenger: the versions that production is pinned to.
        since: when the champion was switched to, ISO 8601.
        entries: how many the ledger has.
        last: the last entry's time and event.
        problem: why the ledger cannot be read; then the rest is empty.
    """

    champion: str | None = None
    challenger: str | None = None
    canary_percent: float | None = None
    since: str | None = None
    entries: int = 0
    last: tuple[str, str] | None = None
    open: tuple[OpenRelease, ...] = ()
    problem: str | None = None


def summary(entries: Sequence[Entry]) -> ReleaseSummary:
    """Summarise a model's entries.

    Raises:
        CorruptArtifactError: an entry's production cannot be read.
    """
    pinned = productions.decided(entries).production
    champion = pinned.champion.version if pinned.champion else None
    switched = [
        entry.time
        for entry in entries
        if entry.role == "champion" and entry.event == "switched" and entry.after and entry.after.version == champion
    ]
    left = [release for role in ROLES if (release := history.unfinished(entries, role)) is not None]
    return ReleaseSummary(
        champion=champion,
        challenger=pinned.challenger.version if pinned.challenger else None,
        canary_percent=pinned.policy.canary_percent if pinned.policy else None,
        since=switched[-1] if switched and champion else None,
        entries=len(entries),
        last=(entries[-1].time, entries[-1].event) if entries else None,
        open=tuple(
            OpenRelease(one.role, one.after.version if one.after else None, one.entries[-1].event) for one in left
        ),
    )


class ReleaseIndex:
    """The summaries of a project's models. Threads may share it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock = threading.Lock()
        self._heads: dict[str, tuple[int, str]] = {}
        self._stamps: tuple[int, ...] | None = None
        self._known: dict[str, tuple[tuple[int, str] | None, ReleaseSummary]] = {}
        self._entries: OrderedDict[str, tuple[tuple[int, str] | None, list[Entry]]] = OrderedDict()
        self._waiting = 0

    def start(self) -> None:
        """Read, in the background, what nobody has asked for yet."""
        threading.Thread(target=self._fill, name="release-index", daemon=True).start()

    def names(self) -> list[str]:
        """The models that have a ledger."""
        return sorted(self._current_heads())

    def of(self, names: Sequence[str], wait_seconds: float) -> dict[str, ReleaseSummary | None]:
        """Summaries; None for a model that could not be read within the time. It is there the next time."""
        deadline = time.monotonic() + wait_seconds
        heads = self._current_heads()
        with self._lock:
            self._waiting += 1
        try:
            return {name: self._of(name, heads, deadline) for name in names}
        finally:
            with self._lock:
                self._waiting -= 1

    def entries(self, name: str) -> list[Entry]:
        """All entries of a model, checked when they are read.

        Raises:
            CorruptArtifactError, StackError: as `Ledger.entries`.
        """
        head = self._current_heads().get(name)
        with self._lock:
            kept = self._entries.get(name)
        if kept is not None and kept[0] == head:
            return kept[1]
        found = ledgers.of(self._project, name).entries()
        with self._lock:
            self._entries[name] = (head, found)
            self._entries.move_to_end(name)
            while len(self._entries) > KEPT_MODELS:
                self._entries.popitem(last=False)
        return found

    def known(self) -> dict[str, ReleaseSummary]:
        """The summaries that were read, also those that are behind by an entry or two."""
        with self._lock:
            return {name: one for name, (_, one) in self._known.items()}

    def _of(self, name: str, heads: dict[str, tuple[int, str]], deadline: float) -> ReleaseSummary | None:
        head = heads.get(name)
        if head is None:
            return ReleaseSummary()
        known = self._known.get(name)
        if known is not None and known[0] == head:
            return known[1]
        if time.monotonic() > deadline:
            return known[1] if known is not None else None
        return self._read(name, head)

    def _read(self, name: str, head: tuple[int, str]) -> ReleaseSummary:
        try:
            found = summary(ledgers.of(self._project, name).entries())
        except ModelyardError as error:
            found = ReleaseSummary(problem=f"{error.what}: {error.where}" if error.where else error.what)
        with self._lock:
            self._known[name] = (head, found)
        return found

    def _current_heads(self) -> dict[str, tuple[int, str]]:
        stamps = ledgers.stamp(self._project)
        if stamps != self._stamps:
            self._heads = ledgers.heads(self._project)
            self._stamps = stamps
        return self._heads

    def _fill(self) -> None:
        while True:
            try:
                heads = self._current_heads()
            except ModelyardError:
                heads = {}
            for name, head in heads.items():
                known = self._known.get(name)
                if known is None or known[0] != head:
                    while self._waiting:
                        time.sleep(10 * MAKE_WAY_SECONDS)
                    self._read(name, head)
                    time.sleep(MAKE_WAY_SECONDS)
            time.sleep(LOOK_SECONDS)
