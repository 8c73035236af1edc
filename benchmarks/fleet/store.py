"""The simulated database (ledgers, lease of the controllers) and registry (aliases, who set them)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import simpy

from components.release import entry as entries_
from components.release.entry import FIRST, Entry, Event, Role, VersionRef
from components.release.ledger import MovedOnError
from flows.releases.observation import Recorded

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "the key of a simulated ledger"


class AwayError(Exception):
    """The database or the registry does not answer."""


class FencedError(Exception):
    """Another controller leads by now: what this one writes is refused."""


@dataclass
class Lease:
    """Who leads. Each new holder has the next epoch."""

    holder: str | None = None
    epoch: int = 0
    until: float = 0.0


@dataclass
class Chain:
    """One model's ledger. `epochs` are those of the controllers that wrote; None: a person's command."""

    entries: list[Entry] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    recorded: Recorded | None = None


class Database:
    """Ledgers and the lease, in one database, so that an append checks the lease in its own transaction.

    Args:
        is_fenced: whether an append of an earlier epoch is refused.
        appended: called with each new entry.
    """

    def __init__(self, env: simpy.Environment, is_fenced: bool, appended: Callable[[str, Entry, int | None], None]):
        self.env, self.is_fenced, self._appended = env, is_fenced, appended
        self.is_up = True
        self.lease = Lease()
        self.chains: dict[str, Chain] = {}
        self.refused_appends = 0

    def take_lease(self, holder: str, seconds: float) -> int | None:
        """Renew the lease or take one that has ended; None: another controller holds it."""
        self._require_up()
        lease = self.lease
        if lease.until <= self.env.now:
            self.lease = Lease(holder, lease.epoch + 1, self.env.now + seconds)
        elif lease.holder != holder:
            return None
        else:
            lease.until = self.env.now + seconds
        return self.lease.epoch

    def recorded(self, model: str) -> Recorded:
        """What the ledger says, by the platform's own functions."""
        self._require_up()
        return self.truth(model)

    def truth(self, model: str) -> Recorded:
        """The same for who looks at the simulation from outside, whether the database answers or not."""
        chain = self.chains.setdefault(model, Chain())
        if chain.recorded is None:
            chain.recorded = Recorded.of(list(chain.entries))
        return chain.recorded

    def append(
        self,
        model: str,
        event: Event,
        *,
        release: str,
        role: Role,
        before: VersionRef | None,
        after: VersionRef | None,
        asked_by: str,
        facts: dict[str, Any],
        if_last: int,
        epoch: int | None,
    ) -> Entry:
        """As `Ledger.append`; a controller names its epoch.

        Raises:
            MovedOnError, FencedError, AwayError: nothing was appended.
        """
        self._require_up()
        if self.is_fenced and epoch is not None and epoch < self.lease.epoch:
            self.refused_appends += 1
            raise FencedError
        chain = self.chains.setdefault(model, Chain())
        if if_last != len(chain.entries):
            raise MovedOnError
        draft = Entry(
            sequence=if_last + 1,
            time=self.time(),
            release=release,
            event=event,
            role=role,
            before=before,
            after=after,
            asked_by=asked_by,
            facts=facts,
            previous=chain.entries[-1].digest if chain.entries else FIRST,
            digest="",
        )
        document = draft.model_dump(mode="json")
        document["digest"] = entries_.digest_of(document)
        document["signature"] = entries_.signature_of_entry(KEY, model, document["digest"])
        entry = entries_.as_entry(document, model)
        chain.entries.append(entry)
        chain.documents.append(document)
        chain.recorded = None
        self._appended(model, entry, epoch)
        return entry

    def check(self, model: str) -> None:
        """The whole chain of a model, by the platform's own check.

        Raises:
            CorruptArtifactError: it is not whole.
        """
        before = None
        for document in self.chains[model].documents:
            entries_.check(document, before, model, model=model, key=KEY)
            before = document

    def time(self) -> str:
        """The simulated time, as the ledger writes it."""
        return (BEGIN + timedelta(seconds=float(self.env.now))).isoformat(timespec="milliseconds")

    def _require_up(self) -> None:
        if not self.is_up:
            raise AwayError("the database does not answer")


@dataclass(frozen=True)
class Note:
    """Who set an alias last; `at` as in the ledger."""

    id: int
    version: str | None
    at: str
    by: str


class Registry:
    """Aliases. Setting one is not conditional on what it named before: MLflow's API has no such call.

    Args:
        changed: called with the model, the role, the new version and who set it, before it is set.
    """

    def __init__(self, database: Database, changed: Callable[[str, Role, str | None, str], None]) -> None:
        self._database, self._changed = database, changed
        self.is_up = self.is_conditional = True
        self._aliases: dict[str, dict[str, str]] = {}
        self.notes: dict[tuple[str, Role], Note] = {}
        self._sets = 0

    def aliases(self, model: str) -> dict[str, str]:
        """A model's aliases.

        Raises:
            AwayError: the registry does not answer.
        """
        if not self.is_up:
            raise AwayError("the registry does not answer")
        return dict(self._aliases.get(model, {}))

    def set_back(self, model: str, role: Role, version: str | None, expected: str | None) -> None:
        """Set an alias for the platform, if it names what is expected: as the project's own MLflow server does.

        Raises:
            AwayError: the registry does not answer.
        """
        if self.is_up and self.is_conditional and self._aliases.get(model, {}).get(role) != expected:
            return
        self.set(model, role, version, "platform")

    def set(self, model: str, role: Role, version: str | None, by: str) -> None:
        """Set an alias; None: delete it.

        Raises:
            AwayError: the registry does not answer.
        """
        if not self.is_up:
            raise AwayError("the registry does not answer")
        self._changed(model, role, version, by)
        self._sets += 1
        self.notes[model, role] = Note(self._sets, version, self._database.time(), by)
        named = self._aliases.setdefault(model, {})
        if version is None:
            named.pop(role, None)
        else:
            named[role] = version
