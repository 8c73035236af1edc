"""The ledgers in a PostgreSQL database, for controllers and people on several machines.

One database a project, with the tables in its schema `modelyard`. A transaction that writes locks the table of heads,
so that one writer follows the other; readers wait for nobody. Names are held by advisory locks of a session: they end
with it, however its process ends, and a machine that is cut off loses them after ten seconds.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import psycopg

from components.access import server_tls
from components.access.secret import Credentials
from components.core.errors import ModelyardError, StackError
from components.release.ledger_store import LedgerAbsentError, StatementRows, Statements

CONNECT_SECONDS, SILENT_SECONDS = 5, 5
BUSY_SECONDS = 30
SCHEMA = "modelyard"
_SETTINGS = (
    f"SET search_path TO {SCHEMA}",
    f"SET lock_timeout TO '{BUSY_SECONDS}s'",
    f"SET statement_timeout TO '{2 * BUSY_SECONDS}s'",
    "SET synchronous_commit TO on",
    "SET tcp_keepalives_idle TO 4",  # of the server: it ends the session of a machine that is cut off
    "SET tcp_keepalives_interval TO 2",
    "SET tcp_keepalives_count TO 3",
)
_TABLES = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    "CREATE TABLE IF NOT EXISTS entry (model TEXT NOT NULL, sequence BIGINT NOT NULL, document TEXT NOT NULL,"
    " PRIMARY KEY (model, sequence))",
    "CREATE TABLE IF NOT EXISTS head (model TEXT PRIMARY KEY, sequence BIGINT NOT NULL, digest TEXT NOT NULL,"
    " signature TEXT NOT NULL)",
)
_abandoned: list[psycopg.Connection[Any]] = []  # of the parent, in a process that was forked: never closed here


class ServerState(NamedTuple):
    """What `modelyard doctor` asks.

    Args:
        ahead_seconds: the server's clock less this machine's.
    """

    version: str
    may_write: bool
    ahead_seconds: float


class PostgresLedgerDatabase:
    """A `LedgerStore` on a server. Threads may share it: one of them reads at a time, and one writes.

    Args:
        url: postgresql://HOST[:PORT]/DATABASE, without credentials.
    """

    pause_seconds = 0.25
    is_shared = True

    def __init__(self, url: str, credentials: Credentials | None) -> None:
        self.url = url
        self._credentials = credentials
        self._reader, self._writer = _Link(self), _Link(self)
        self._is_made = False
        self.sessions: dict[str, int] = {}  # by name that this process has taken: the session that holds it

    @property
    def where(self) -> str:
        """The URL without its parameters."""
        return _without_parameters(self.url)

    def connect(self) -> psycopg.Connection[Any]:
        """A new connection.

        Raises:
            psycopg.Error: the server does not answer, or refuses.
        """
        known = self._credentials
        extra: dict[str, Any] = {"user": known.user, "password": known.secret} if known is not None else {}
        connection: psycopg.Connection[Any] = psycopg.connect(
            self.url,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            tcp_user_timeout=SILENT_SECONDS * 1000,
            application_name="modelyard",
            **extra,
        )
        try:
            for statement in _SETTINGS:
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection

    def exists(self) -> bool:
        """Whether the tables were made."""
        with self.reading() as statements:
            return statements is not None

    @contextmanager
    def reading(self) -> Iterator[Statements | None]:
        """As `LedgerStore.reading`."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self._errors(), self._reader.lock, self._reader.transaction(begin) as connection:
            self._is_made = self._is_made or _is_made(connection)
            yield _Translated(connection) if self._is_made else None

    @contextmanager
    def writing(self, held: str | None = None) -> Iterator[Statements]:
        """As `LedgerStore.writing`.

        A process that was stopped for a while may have lost a name without knowing: the server is asked in the same
        transaction.
        """
        with self._errors(), self._writer.lock:
            if not self._is_made:
                with self._writer.transaction("BEGIN") as connection:
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_key("tables"),))
                    if not _is_made(connection):  # whoever may use the schema need not be allowed to make one
                        for statement in _TABLES:
                            connection.execute(statement)
                self._is_made = True
            with self._writer.transaction("BEGIN") as connection:
                connection.execute("LOCK TABLE head IN EXCLUSIVE MODE")
                session = self.sessions.get(held) if held is not None else None
                if held is not None and session is not None and session not in _holders(connection, held):
                    raise StackError(
                        "this process has lost what it was doing to another machine; nothing was written",
                        where=self.where,
                        got=f"{held} is not held by session {session} any more",
                        next_step="the controller that leads goes on with it",
                    )
                yield _Translated(connection)

    def close(self) -> None:
        """Close the connections; the next transaction opens others."""
        self._reader.close()
        self._writer.close()

    def stamp(self) -> tuple[int, ...]:
        """How many entries each model has, added up."""
        with self.reading() as statements:
            if statements is None:
                return (0,)
            return (int(statements.execute("SELECT coalesce(sum(sequence), 0) FROM head").fetchone()[0]),)

    def examine(self) -> ServerState:
        """The server's version, this user's right to write, and its clock.

        Raises:
            StackError: it does not answer.
        """
        with self._errors(), self._reader.lock, self._reader.transaction("BEGIN READ ONLY") as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8,"
                " CASE WHEN to_regclass(%s) IS NULL THEN has_database_privilege(current_database(), 'CREATE')"
                " ELSE has_table_privilege(%s, 'INSERT') END",
                (f"{SCHEMA}.head", f"{SCHEMA}.head"),
            ).fetchone()
        assert row is not None  # noqa: S101  # a SELECT without FROM has one row
        return ServerState(str(row[0]).split()[0], bool(row[2]), float(row[1]) - time.time())

    def hold(self, name: str) -> PostgresHold:
        """A name that one session holds at a time."""
        return PostgresHold(self, name)

    def is_held(self, name: str) -> bool:
        """Whether a session of some machine holds a name."""
        with self._errors(), self._reader.lock, self._reader.transaction("BEGIN READ ONLY") as connection:
            return bool(_holders(connection, name))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise as_ours(error, self.url) from error


class PostgresHold:
    """A name that this process holds, as long as its session lives."""

    def __init__(self, database: PostgresLedgerDatabase, name: str) -> None:
        self._database, self._name, self._key = database, name, _key(name)
        self._connection: psycopg.Connection[Any] | None = None

    def take(self) -> bool:
        """Take the name, or make sure that it is still this process's; whether it is.

        Raises:
            StackError: the server does not answer, so that nobody knows.
        """
        try:
            if self._connection is not None:
                try:
                    self._connection.execute("SELECT 1")
                    return True
                except psycopg.Error:
                    self.leave()
            connection = self._database.connect()
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (self._key,)).fetchone()
            if row is not None and row[0]:
                self._connection = connection
                self._database.sessions[self._name] = connection.info.backend_pid
                return True
            connection.close()
            return False
        except psycopg.Error as error:
            raise as_ours(error, self._database.url) from error

    def leave(self) -> None:
        """Let the name go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._database.sessions.pop(self._name, None)
            with suppress(psycopg.Error):
                connection.execute("SELECT pg_advisory_unlock(%s)", (self._key,))  # closing takes the server a moment
            connection.close()


class _Translated:
    """A transaction whose statements have `?` for values."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> StatementRows:
        return self._connection.execute(statement.replace("?", "%s").encode(), values)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object:
        with self._connection.cursor() as cursor:
            cursor.executemany(statement.replace("?", "%s").encode(), list(rows))
        return None


class _Link:
    """A connection that is opened when it is needed, and again after a fork or when the server ended it."""

    def __init__(self, database: PostgresLedgerDatabase) -> None:
        self.lock = threading.RLock()
        self._database = database
        self._connection: psycopg.Connection[Any] | None = None
        self._opened_by = 0

    @contextmanager
    def transaction(self, begin: str) -> Iterator[psycopg.Connection[Any]]:
        connection = self._begun(begin)
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
            self.close()
            raise

    def _begun(self, begin: str) -> psycopg.Connection[Any]:
        if self._connection is not None and self._opened_by == os.getpid():
            try:
                self._connection.execute(begin.encode())
                return self._connection
            except psycopg.Error:  # the server was started anew meanwhile
                pass
        self.close()
        self._connection, self._opened_by = self._database.connect(), os.getpid()
        self._connection.execute(begin.encode())
        return self._connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._opened_by != os.getpid():
            _abandoned.append(connection)
            return
        with suppress(psycopg.Error):
            connection.close()


def _holders(connection: psycopg.Connection[Any], name: str) -> set[int]:
    """The sessions, of any machine, that hold a name: one at most."""
    key = _key(name) % 2**64
    found = connection.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid::bigint = %s AND objid::bigint = %s",
        (key >> 32, key & 0xFFFFFFFF),
    )
    return {int(row[0]) for row in found}


def _is_made(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.head",)).fetchone()
    return row is not None and row[0] is not None


def _key(name: str) -> int:
    """The number of a name among advisory locks: 64 bits with a sign."""
    return int.from_bytes(hashlib.sha256(f"modelyard {name}".encode()).digest()[:8], signed=True)


def _without_parameters(url: str) -> str:
    return urlunsplit((*urlsplit(url)[:3], "", ""))


def as_ours(error: psycopg.Error, url: str) -> ModelyardError:
    """An error of PostgreSQL for people; it holds no password."""
    said, where = " ".join(str(error).split()), _without_parameters(url)
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return StackError(
            "another process keeps the ledger locked",
            where=where,
            got=f"{said}, for {BUSY_SECONDS} s",
            next_step="`SELECT * FROM pg_stat_activity` names the process; nothing was written",
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return StackError(
            "this user may not write the ledger",
            where=where,
            got=said,
            next_step=f"let it create the schema {SCHEMA} in this database, or make the schema and grant it",
        )
    return LedgerAbsentError(
        "the ledger's database does not answer",
        where=where,
        got=said,
        next_step=server_tls.next_step(
            said, url, "correct connections.ledger and connections.ledger_credentials, or start the server"
        ),
    )
