"""The ledger: what was asked of production and what became of it. Append-only, chained by digest, signed.

One database a project, one chain a model: `ledger.db` of SQLite, or a database of PostgreSQL for several machines. Each
entry names the digest of the entry before it and is signed with the project's ledger key (`key`, a file of its own,
mode 600). The end of each chain is signed too, in a row of its own and in the file `<model>.head`, so that entries cut
off the end are missed.

What a signature proves: the entry was written by a process that could read the key file. Whoever can only write the
database, put back an earlier copy of it, or edit an exported file, cannot change, reorder, add or remove an entry
unnoticed. What it does not prove: a process of the same user can read the key, and so can forge. Against that user
stands only what is remembered elsewhere: the last entry's digest in a tag of the registered model, and exported files.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from components.access import secret
from components.core import disk_space
from components.core.errors import CorruptArtifactError
from components.core.project import Project
from components.release import entry as entries_
from components.release import followed, ledger_database, ledger_file, ledger_place
from components.release.entry import CLOSING, FIRST, NOTES, Document, Entry, Event, Role, VersionRef
from components.release.ledger_store import LedgerStore, Statements

__all__ = [
    "CLOSING",
    "FIRST",
    "NOTES",
    "Entry",
    "Event",
    "Ledger",
    "MovedOnError",
    "Role",
    "VersionRef",
    "of",
    "sign_anew",
]

KEY = "key"
COPY_KEY = "copy .modelyard/ledger/key, with mode 600, from a machine that has it: all sign with one key (docs/team.md)"


class MovedOnError(Exception):
    """The ledger has a newer entry than the caller has seen; nothing was appended."""


class Ledger:
    """The ledger of one model. Threads may share an object; each call is done by one of them at a time.

    An object that reads again reads only what was appended since. An append reads the last entry and no other.
    Reading makes no file; the first append makes the database and the key.
    """

    def __init__(self, folder: Path, model: str, store: LedgerStore | None = None) -> None:
        """A model's ledger.

        Args:
            folder: of the key and of what this machine remembers.
            store: of the entries; None: the database in this folder.
        """
        self.path = folder / ledger_place.DATABASE
        self.model = model
        self.key_file = folder / KEY
        self._head_file = folder / f"{model}.head"
        self._old_file = folder / f"{model}.jsonl"
        self._database = store or ledger_database.at(self.path)
        self._lock = threading.RLock()
        self._documents: list[Document] = []
        self._entries: list[Entry] = []
        self._origin: str | None = None

    def entries(self) -> list[Entry]:
        """All entries, chain and signatures checked.

        Raises:
            CorruptArtifactError: names the first entry that does not fit, or says that the key is missing.
            StackError: this user cannot open the database or the key.
        """
        with self._lock:
            self._refresh()
            for document in self._documents[len(self._entries) :]:
                self._entries.append(entries_.as_entry(document, self._where(document["sequence"])))
            return list(self._entries)

    def since(self, sequence: int) -> list[Entry]:
        """The entries after one, checked; no earlier entry is read.

        Raises:
            CorruptArtifactError, StackError: as `entries`.
        """
        with self._lock:
            if self._documents:
                return self.entries()[sequence:]
            _, documents = self._read(max(sequence, 1))
            return [
                entries_.as_entry(document, self._where(document["sequence"]))
                for document in documents
                if document["sequence"] > sequence
            ]

    def head(self) -> Entry | None:
        """The last entry, checked, with its signature as the last one; no other entry is read.

        Raises:
            CorruptArtifactError, StackError: as `entries`.
        """
        with self._lock:
            _, documents = self._read(None)
            return entries_.as_entry(documents[-1], self._where(documents[-1]["sequence"])) if documents else None

    def origin(self) -> str | None:
        """Digest of the first entry: one for all machines of a ledger, another for each ledger; None: it is empty.

        Raises:
            CorruptArtifactError, StackError: as `entries`.
        """
        with self._lock:
            if self._origin is None and self._read(None)[1]:
                with self._database.reading() as connection:
                    assert connection is not None  # noqa: S101  # it was read just now
                    statement = "SELECT sequence, document FROM entry WHERE model = ? AND sequence = 1"
                    row = connection.execute(statement, (self.model,)).fetchone()
                self._origin = str(self._parsed(*row)["digest"]) if row is not None else None
            return self._origin

    def append(
        self,
        event: Event,
        *,
        release: str,
        role: Role,
        before: VersionRef | None,
        after: VersionRef | None,
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
            CorruptArtifactError: the end of the ledger is not as it was written; nothing is added.
            StackError, DiskFullError: nothing is added.
        """
        draft = Entry(
            sequence=1,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            release=release,
            event=event,
            role=role,
            before=before,
            after=after,
            asked_by=asked_by,
            facts=facts or {},
            previous=FIRST,
            digest="",
        )
        with self._lock:
            self._take_over()
            if not self._database.exists():  # the key of a ledger that is there is never made anew without being asked
                with disk_space.reported(self.key_file):
                    secret.create_once(self.key_file)
            least = self._least_head()
            with self._database.writing(release_of(self.model)) as connection:
                key, last = self._end(connection, least)
                if if_last is not None and if_last != (last["sequence"] if last else 0):
                    raise MovedOnError
                (document,) = _write(connection, self.model, key, last, [draft.model_dump(mode="json")])
            self._remember(document, key)
            return entries_.as_entry(document, self._where(document["sequence"]))

    def export(self, stream: TextIO) -> int:
        """Write all entries as JSON lines, checked, and a last line with the signed end of the chain.

        Returns:
            The number of entries.

        Raises:
            CorruptArtifactError, StackError: as `entries`.
        """
        with self._lock:
            self._refresh()
            if not self._documents:
                return 0
            key = self._key(needed=True)
            ledger_file.write(stream, self.model, key, self._documents)
            return len(self._documents)

    def note_forgotten(self, request: str, asked_by: str, facts: dict[str, Any]) -> Entry:
        """Add the proof that a person's data was removed; once a request, however often this is called.

        Args:
            facts: digests and numbers; nothing that tells the person's data.
        """
        release = f"forget-{request}"
        for entry in self.entries():
            if entry.release == release:
                return entry
        return self.append(
            "forgotten", release=release, role="champion", before=None, after=None, asked_by=asked_by, facts=facts
        )

    def note_followed(self, registry: str, before: str, same: list[str], asked_by: str) -> Entry:
        """Add that production follows another registry from now on.

        Nothing where it is followed already, and has the same packages in common with what served as before.

        Args:
            registry, before: the URL of a server or a database, without credentials.
            same: digests of the packages of before that this registry has under the same number.
        """
        entries = self.entries()
        known = followed.last(entries)
        if (
            known is not None
            and known.facts[followed.REGISTRY] == registry
            and followed.packages(entries) == frozenset(same)
        ):
            return known
        facts = {followed.REGISTRY: registry, followed.BEFORE: before, followed.SAME: sorted(same)}
        return self.append(
            "followed",
            release=f"registry-{len(entries)}",
            role="champion",
            before=None,
            after=None,
            asked_by=asked_by,
            facts=facts,
        )

    def sign_anew(self, reason: str) -> Entry | None:
        """Sign all entries with the key that is there, whoever signed them before. An entry says so.

        Returns:
            The entry that says so; None where there are no entries.

        Raises:
            CorruptArtifactError: the chain is broken; nothing is signed.
        """
        with self._lock:
            self._take_over()
            if not self._database.exists():
                return None
            secret.create_once(self.key_file)
            with self._database.writing() as connection:
                key = self._key(needed=True)
                documents = self._rows(connection, 1)
                for before, document in zip([None, *documents], documents, strict=False):
                    entries_.check(document, before, self._where(document["sequence"]))
                if not documents:
                    return None
                connection.execute("DELETE FROM entry WHERE model = ?", (self.model,))
                last = _insert(connection, self.model, key, documents)
                note = _note("rekeyed", last, {"reason": reason, "entries": len(documents), "head": last["digest"]})
                (document,) = _write(connection, self.model, key, last, [note])
            self._documents, self._entries = [], []
            self._remember(document, key)
            return entries_.as_entry(document, self._where(document["sequence"]))

    def _refresh(self) -> None:
        """Read what was appended since the last time; all of it anew where another chain has taken its place."""
        known = self._documents
        _, documents = self._read(known[-1]["sequence"] if known else 1)
        if known and documents and documents[0] == known[-1]:
            known.extend(documents[1:])
        elif known:
            self._documents, self._entries = [], []
            _, self._documents = self._read(1)
        else:
            self._documents = documents

    def _read(self, first: int | None) -> tuple[str | None, list[Document]]:
        """The key, and the entries from a sequence number to the end, checked; None: the last one alone.

        The end is always read, whatever `first` is.
        """
        self._take_over()
        least = self._least_head()
        with self._database.reading() as connection:
            if connection is None:
                self._check_least(None, least)
                return None, []
            key, last = self._end(connection, least)
            if last is None or first is None:
                return key, [last] if last is not None else []
            documents = self._rows(connection, first)
        if not documents:  # shorter than what the caller knows
            return key, [last]
        begin, *rest = documents
        where = self._where(begin["sequence"])
        if begin["sequence"] == 1:
            entries_.check(begin, None, where, model=self.model, key=key)
        elif first == 1:
            raise CorruptArtifactError("an entry is missing before this one", where=where, got=begin["sequence"])
        else:
            entries_.check_alone(begin, where, model=self.model, key=key)
        for before, document in zip(documents, rest, strict=False):
            entries_.check(document, before, self._where(document["sequence"]), model=self.model, key=key)
        return key, documents

    def _end(self, connection: Statements, least: Document | None) -> tuple[str, Document | None]:
        """The key and the last entry, checked against the signed end of the chain."""
        head = connection.execute(
            "SELECT sequence, digest, signature FROM head WHERE model = ?", (self.model,)
        ).fetchone()
        row = connection.execute(
            "SELECT sequence, document FROM entry WHERE model = ? ORDER BY sequence DESC LIMIT 1", (self.model,)
        ).fetchone()
        if head is None and row is None:
            self._check_least(None, least)
            return self._key(needed=self._database.exists()), None
        key = self._key(needed=True)
        sequence, digest, signature = head if head is not None else (0, FIRST, "")
        if not entries_.is_signature(signature, entries_.signature_of_head(key, self.model, sequence, digest)):
            raise CorruptArtifactError(
                f"the end of the ledger of {self.model} was not signed with the ledger key",
                where=self._database.where,
                got=f"entry {sequence} with digest {digest}",
                next_step="it was forged, or the key is another one: restore the database or the key from a backup",
            )
        last = self._parsed(*row) if row is not None else None
        if last is None or (last["sequence"], last["digest"]) != (sequence, digest):
            raise self._cut_off(f"entry {last['sequence'] if last else 0} is the last", sequence, digest)
        entries_.check_alone(last, self._where(sequence), model=self.model, key=key)
        self._check_least(connection, least)
        return key, last

    def _least_head(self) -> Document | None:
        """The end of the chain as the file remembers it: the ledger has at least this entry. None: not known."""
        try:
            text = self._head_file.read_text()
        except FileNotFoundError:
            return None
        if not text:  # a crash of the machine before the file's content was on the disk
            return None
        where = str(self._head_file)
        head = entries_.parsed(text, where)
        expected = entries_.signature_of_head(self._key(needed=True), self.model, head["sequence"], head["digest"])
        if not entries_.is_signature(head.get("signature"), expected):
            raise CorruptArtifactError(
                f"what is remembered of the ledger of {self.model} was not signed with the ledger key",
                where=where,
                next_step="it was forged, or the key is another one: restore the file or the key from a backup; where "
                "another machine has signed the ledger anew, and its key was copied here, remove this file",
            )
        return head

    def _check_least(self, connection: Statements | None, least: Document | None) -> None:
        if least is None:
            return
        row = None
        if connection is not None:
            statement = "SELECT sequence, document FROM entry WHERE model = ? AND sequence = ?"
            row = connection.execute(statement, (self.model, least["sequence"])).fetchone()
        if row is None or self._parsed(*row)["digest"] != least["digest"]:
            raise self._cut_off("an earlier or another ledger", least["sequence"], least["digest"])

    def _cut_off(self, got: str, sequence: int, digest: str) -> CorruptArtifactError:
        return CorruptArtifactError(
            f"the ledger of {self.model} is not the one that was written: entries were cut off or replaced",
            where=self._database.where,
            got=got,
            expected=f"entry {sequence} with digest {digest}",
            next_step=f"put the ledger of that time back; to go on with this one all the same, remove "
            f"{self._head_file.name} beside it, if that is what differs",
        )

    def _rows(self, connection: Statements, first: int) -> list[Document]:
        statement = "SELECT sequence, document FROM entry WHERE model = ? AND sequence >= ? ORDER BY sequence"
        return [self._parsed(*row) for row in connection.execute(statement, (self.model, first))]

    def _parsed(self, sequence: int, text: str) -> Document:
        where = self._where(sequence)
        document = entries_.parsed(text, where)
        if document["sequence"] != sequence:
            raise CorruptArtifactError("an entry was changed", where=where, got=document["sequence"], expected=sequence)
        return document

    def _key(self, *, needed: bool) -> str:
        found = secret.read(
            self.key_file, "the ledger key", "then `modelyard history --sign-anew`: a new key is made, an entry says so"
        )
        if found is None and needed:
            raise CorruptArtifactError(
                "the ledger key is missing",
                where=str(self.key_file),
                next_step=COPY_KEY
                if self._database.is_shared
                else "restore the file from a backup; if it is lost, `modelyard history --sign-anew` makes a new "
                "key and signs the entries again, and an entry says so",
            )
        return found or ""

    def _remember(self, document: Document, key: str) -> None:
        """Write the head file. The entry is on the disk already: a file that cannot be written stays behind."""
        sequence, digest = document["sequence"], document["digest"]
        head = {
            "sequence": sequence,
            "previous": document["previous"],
            "digest": digest,
            "signature": entries_.signature_of_head(key, self.model, sequence, digest),
        }
        fresh = self._head_file.with_name(f".{self._head_file.name}.{threading.get_native_id()}")
        with suppress(OSError):
            fresh.write_text(json.dumps(head))
            fresh.replace(self._head_file)

    def _take_over(self) -> None:
        """Import the file of before, if there is one: in one transaction; then the file gets another name."""
        try:
            documents = ledger_file.read_old(self._old_file)
        except FileNotFoundError:
            return
        kept = self._old_file.with_name(f"{self._old_file.name}.imported")
        imported, key = None, ""
        if documents:
            secret.create_once(self.key_file)
            with self._database.writing() as connection:
                key, last = self._end(connection, self._least_head())
                if last is None:
                    last = _insert(connection, self.model, key, documents)
                    facts = {"file": kept.name, "entries": len(documents), "head": last["digest"]}
                    (imported,) = _write(connection, self.model, key, last, [_note("imported", last, facts)])
                elif self._rows(connection, documents[-1]["sequence"])[:1] != [
                    {**documents[-1], "signature": _signed(key, self.model, documents[-1])["signature"]}
                ]:
                    raise CorruptArtifactError(
                        f"there are two ledgers of {self.model}: the database, and a file that is not in it",
                        where=str(self._old_file),
                        got=f"{len(documents)} entries",
                        next_step="an earlier Modelyard may still run: stop it (`modelyard down`); then move the file "
                        "to another folder, and keep it",
                    )
        if imported is not None:
            self._remember(imported, key)
        with suppress(FileNotFoundError):  # another process has done so
            self._old_file.replace(kept)

    def _where(self, sequence: int) -> str:
        return f"{self._database.where}, {self.model} entry {sequence}"


def release_of(model: str) -> str:
    """The name that a process holds while it releases a model."""
    return f"release {model}"


def of(project: Project, name: str) -> Ledger:
    """The ledger of a project's model."""
    return Ledger(project.ledger, name, ledger_place.store(project))


def stamp(project: Project) -> tuple[int, ...]:
    """Another value after each append to a ledger of the project."""
    return ledger_place.store(project).stamp()


def heads(project: Project) -> dict[str, tuple[int, str]]:
    """The sequence number and the digest of each model's last entry, unchecked: whether a model has a newer entry.

    A file of before that was not imported yet counts as entry 0.
    """
    found = {path.stem: (0, FIRST) for path in project.ledger.glob("*.jsonl")}
    with ledger_place.store(project).reading() as connection:
        if connection is not None:
            rows = connection.execute("SELECT model, sequence, digest FROM head")
            found |= {str(model): (int(sequence), str(digest)) for model, sequence, digest in rows}
    return found


def key_problem(project: Project) -> str | None:
    """Why this machine can neither read nor write the ledgers that are there; None: it can, as far as its key goes.

    Raises:
        StackError: the database does not answer, or this user cannot read the key.
    """
    with ledger_place.store(project).reading() as connection:
        if connection is None:
            return None
        heads = list(connection.execute("SELECT model, sequence, digest, signature FROM head"))
    key = secret.read(project.ledger / KEY, "the ledger key")
    if key is None:
        return "this machine has no ledger key"
    if heads and not any(
        entries_.is_signature(signature, entries_.signature_of_head(key, model, sequence, digest))
        for model, sequence, digest, signature in heads
    ):
        return "this machine has another ledger key than the one that the ledger was signed with"
    return None


def models(project: Project) -> list[str]:
    """The models that have a ledger, in the database or in a file of before."""
    found = {path.stem for path in project.ledger.glob("*.jsonl")}
    with ledger_place.store(project).reading() as connection:
        if connection is not None:
            found |= {name for (name,) in connection.execute("SELECT DISTINCT model FROM entry")}
    return sorted(found)


def sign_anew(project: Project, reason: str) -> list[Entry]:
    """Sign every model's entries again, with a new key if there is none. Entries say so, which are returned.

    Raises:
        CorruptArtifactError: a chain is broken; the models before it are signed.
    """
    return [entry for name in models(project) if (entry := of(project, name).sign_anew(reason)) is not None]


def _note(event: Event, last: Document, facts: dict[str, Any]) -> Document:
    """An entry about the ledger itself: no release, it changes nothing in production."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Entry(
        sequence=1,
        time=time,
        release=f"{event}-{last['digest'][:12]}",
        event=event,
        role="champion",
        before=None,
        after=None,
        asked_by="modelyard",
        facts=facts,
        previous=FIRST,
        digest="",
    ).model_dump(mode="json")


def _write(
    connection: Statements, model: str, key: str, last: Document | None, drafts: Iterable[Document]
) -> list[Document]:
    """Chain drafts to the last entry and insert them."""
    written = []
    for draft in drafts:
        sequence, previous = (last["sequence"] + 1, last["digest"]) if last else (1, FIRST)
        document = {**draft, "sequence": sequence, "previous": previous}
        last = {**document, "digest": entries_.digest_of(document)}
        written.append(last)
    _insert(connection, model, key, written)
    return [_signed(key, model, document) for document in written]


def _insert(connection: Statements, model: str, key: str, documents: list[Document]) -> Document:
    """Insert chained entries, signed, and sign the last one as the end of the chain. Returns it."""
    signed = [_signed(key, model, document) for document in documents]
    connection.executemany(
        "INSERT INTO entry (model, sequence, document) VALUES (?, ?, ?)",
        [(model, document["sequence"], _text(document)) for document in signed],
    )
    last = signed[-1]
    signature = entries_.signature_of_head(key, model, last["sequence"], last["digest"])
    connection.execute(
        "INSERT INTO head (model, sequence, digest, signature) VALUES (?, ?, ?, ?) ON CONFLICT (model) DO UPDATE SET"
        " sequence = excluded.sequence, digest = excluded.digest, signature = excluded.signature",
        (model, last["sequence"], last["digest"], signature),
    )
    return last


def _signed(key: str, model: str, document: Document) -> Document:
    return {**document, "signature": entries_.signature_of_entry(key, model, document["digest"])}


def _text(document: Document) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
