"""Where the ledgers of a project lie: what `Ledger` asks of a database, on this machine or shared by several.

Statements are SQL that SQLite and PostgreSQL both understand, with `?` for values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from components.core.errors import StackError


class LedgerAbsentError(StackError):
    """The server of the ledger does not answer."""


class StatementRows(Protocol):
    """The result of a statement."""

    def fetchone(self) -> Any:
        """The next row; None after the last."""

    def __iter__(self) -> Iterator[Any]:
        """The rows that are left."""
        ...


class Statements(Protocol):
    """A transaction in which statements are executed."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> StatementRows:
        """Execute a statement."""
        ...

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object:
        """Execute a statement for each row of values."""
        ...


class Hold(Protocol):
    """A name that a process holds."""

    def take(self) -> bool:
        """Take the name, or make sure that it is still this process's; whether it is.

        Raises:
            StackError: nobody knows.
        """
        ...

    def leave(self) -> None:
        """Let the name go."""


class LedgerStore(Protocol):
    """The tables `entry` (model, sequence, document) and `head` (model, sequence, digest, signature).

    Args:
        pause_seconds: between two looks at `stamp` of who waits for an append.
        is_shared: whether other machines may have the same tables.
    """

    pause_seconds: float
    is_shared: bool

    @property
    def where(self) -> str:
        """The database, for messages."""
        ...

    def exists(self) -> bool:
        """Whether the tables were made."""
        ...

    def reading(self) -> AbstractContextManager[Statements | None]:
        """One state of the tables, however many statements read it; None where there are none.

        Raises:
            CorruptArtifactError, StackError, DiskFullError.
        """
        ...

    def writing(self, held: str | None = None) -> AbstractContextManager[Statements]:
        """The only writer for as long as the block lasts; all of what it does, or nothing. Makes the tables.

        Args:
            held: a name that this process must still hold, if it took it.

        Raises:
            CorruptArtifactError, StackError, DiskFullError: nothing was written.
        """
        ...

    def close(self) -> None:
        """Close the connections; the next transaction opens others."""
        ...

    def stamp(self) -> tuple[int, ...]:
        """Another value after each append."""
        ...

    def hold(self, name: str) -> Hold:
        """A name that one process of all machines holds at a time."""
        ...

    def is_held(self, name: str) -> bool:
        """Whether a process of another machine may hold this name."""
        ...
