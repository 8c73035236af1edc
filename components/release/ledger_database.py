"""The ledgers in an SQLite database of this machine: tables, transactions, and errors as ours.

One database a project, in WAL mode with `synchronous=FULL`: a committed entry is on the disk, a reader never waits for
a writer, and a kill at any line leaves the state before a transaction or after it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from components.core import atomic_database, disk_space, file_lock
from components.core.errors import CorruptArtifactError, ModelyardError, StackError
from components.release.ledger_store import Statements

BUSY_SECONDS = 30.0
_NEARLY_FULL_BYTES = 1 << 18
_TABLES = """
CREATE TABLE entry (model TEXT NOT NULL, sequence INTEGER NOT NULL, document TEXT NOT NULL);
CREATE UNIQUE INDEX entry_of_model ON entry (model, sequence);
CREATE TABLE head (
    model TEXT PRIMARY KEY, sequence INTEGER NOT NULL, digest TEXT NOT NULL, signature TEXT NOT NULL
);
"""
_abandoned: list[sqlite3.Connection] = []  # of the parent, in a process that was forked: never closed here


_known: dict[Path, LedgerDatabase] = {}


def at(path: Path) -> LedgerDatabase:
    """The database of a file. A process has one object of each, so that a thousand models need two connections."""
    return _known.setdefault(path, LedgerDatabase(path))


def close_all() -> None:
    """Close the connections of this process; the next transaction opens another one."""
    for database in list(_known.values()):
        database.close()


class LedgerDatabase:
    """A `LedgerStore` in a file. Threads may share it: one of them reads at a time, and one writes."""

    pause_seconds = 0.05
    is_shared = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader, self._writer = _Link(path), _Link(path)

    @property
    def where(self) -> str:
        """The file."""
        return str(self.path)

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    @contextmanager
    def reading(self) -> Iterator[Statements | None]:
        """As `LedgerStore.reading`.

        Raises:
            CorruptArtifactError: the file is damaged.
            StackError: this user cannot read it, or another process keeps it locked.
            DiskFullError: there is no space for the index of the write-ahead log.
        """
        with self._errors(), self._reader.lock:
            if not self.path.exists():
                self._reader.close()
                yield None
                return
            with self._reader.transaction("BEGIN") as connection:
                yield connection

    @contextmanager
    def writing(self, held: str | None = None) -> Iterator[Statements]:
        """As `LedgerStore.writing`."""
        with self._errors(), self._writer.lock:
            self._create()
            with self._writer.transaction("BEGIN IMMEDIATE") as connection:
                yield connection

    def close(self) -> None:
        """Close the connections, which puts what the log holds into the file; the next transaction opens another."""
        for link in (self._reader, self._writer):
            with link.lock:  # a thread ends its transaction first
                link.close()

    def stamp(self) -> tuple[int, ...]:
        """When the file and its log were written last, in nanoseconds since 1970."""
        return tuple(_modified(file) for file in (self.path, self.path.with_name(f"{self.path.name}-wal")))

    def hold(self, name: str) -> OwnHold:
        """This machine's lock files hold its other processes off; there is no other machine."""
        return OwnHold()

    def is_held(self, name: str) -> bool:
        """Never, as `hold`."""
        return False

    def _create(self) -> None:
        if self.path.exists():
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file_lock.locked(self.path.with_name(f"{self.path.name}.lock"), "another process that makes the ledger"):
            if atomic_database.create(self.path, _make_tables):
                self.path.chmod(0o600)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _as_ours(error, self.path) from error
        except PermissionError as error:
            raise _not_ours(self.path, str(error)) from error
        except OSError as error:
            if disk_space.is_full(error):
                raise disk_space.as_error(error, self.path) from error
            raise


class OwnHold:
    """A `Hold` where there is no other machine."""

    def take(self) -> bool:
        """Always."""
        return True

    def leave(self) -> None:
        """Nothing is held."""


class _Link:
    """A connection that is opened when it is needed, and again after a fork or when the file was replaced."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int, int] | None = None

    @contextmanager
    def transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = self.connected()
        try:
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self.close()
            raise

    def connected(self) -> sqlite3.Connection:
        about = self._path.stat()
        if about.st_uid != os.geteuid():
            raise StackError(
                "the ledger belongs to another user",
                where=str(self._path),
                got=f"user id {about.st_uid}",
                expected=f"user id {os.geteuid()}",
                next_step="run Modelyard as the user who started the stack",
            )
        opened = (os.getpid(), about.st_dev, about.st_ino)
        if self._connection is None or self._opened != opened:
            self.close()
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA trusted_schema=OFF")
            except BaseException:
                connection.close()
                raise
            self._connection, self._opened = connection, opened
        return self._connection

    def close(self) -> None:
        """Close the connection; the next transaction opens another one."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._opened is not None and self._opened[0] != os.getpid():
            _abandoned.append(connection)  # its locks and its log are the parent's
            return
        with suppress(sqlite3.Error):
            connection.close()


def _make_tables(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(f"BEGIN; {_TABLES} COMMIT;")


def _as_ours(error: sqlite3.Error, path: Path) -> ModelyardError:
    name = getattr(error, "sqlite_errorname", "")  # absent where the module itself raised
    if disk_space.is_full(error) or (name.startswith("SQLITE_IOERR") and _is_nearly_full(path)):
        return disk_space.as_error(error, path)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StackError(
            "another process keeps the ledger locked",
            where=str(path),
            got=f"{error}, for {BUSY_SECONDS:.0f} s",
            next_step=f"`fuser {path}` names the process; nothing was written",
        )
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return _not_ours(path, str(error))
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return CorruptArtifactError(
            "the ledger's database is damaged",
            where=str(path),
            got=str(error),
            next_step=f"`modelyard down`, restore {path.name} and its -wal from a backup, or save what can be read "
            f"with `sqlite3 {path.name} .recover`; nothing was written",
        )
    return StackError("the ledger's database does not answer", where=str(path), got=f"{name} {error}".strip())


def _not_ours(path: Path, got: str) -> StackError:
    return StackError(
        "this user cannot open the ledger for writing",
        where=str(path),
        got=got,
        next_step=f"run Modelyard as the owner of {path.parent}, and let that user write there",
    )


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _is_nearly_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _NEARLY_FULL_BYTES
    except OSError:
        return False
