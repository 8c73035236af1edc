"""What a stranger might change of a stack: the rows of both databases, the ledgers, what the services are to serve."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from components.identity import digest
from tests import team_servers
from tests.house import House
from tests.waiting import eventually

# What the servers and our own clients write by themselves: when a worker or a client was last seen, and events of it.
LIVE_TABLES = {"work_queue", "work_pool", "worker", "events", "event_resources"}


def tables(path: Path, spared: set[str]) -> dict[str, str]:
    """A digest of each table of a database."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: database.execute(f'SELECT * FROM "{name}"') for name in names if name not in spared}  # noqa: S608
        return {name: digest.of_value(sorted(map(repr, found))) for name, found in rows.items()}


def rows_on_server(url: str) -> dict[str, str]:
    """A digest of each table of a database of PostgreSQL."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        names = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'modelyard')"
        ).fetchall()
        found = {}
        for schema, name in names:
            if name not in LIVE_TABLES:
                rows = connection.execute(SQL("SELECT * FROM {}.{}").format(Identifier(schema), Identifier(name)))
                found[f"{schema}.{name}"] = digest.of_value(sorted(map(repr, rows)))
        return found


def of(house: House) -> dict[str, str]:
    """What a stranger might change."""
    if (shared := team_servers.databases(house.root)) is not None:
        found = {f"{name} {table}": value for name in shared for table, value in rows_on_server(shared[name]).items()}
    else:
        ledger = house.project.ledger / "ledger.db"
        found = tables(house.project.state / "prefect" / "prefect.db", LIVE_TABLES)
        found |= tables(house.project.state / "mlflow" / "mlflow.db", set())
        found |= tables(ledger, set()) if ledger.exists() else {}
    for folder in ("alias-notes", "services"):
        for path in sorted((house.project.state / folder).rglob("*.json*")):
            if "statement" not in path.name and "worker" not in path.name:
                found[str(path)] = digest.of_value(path.read_text())
    return found


def at_rest(house: House) -> dict[str, str]:
    """The state once nothing of its own is under way: two looks in a row agree."""
    last: list[dict[str, str]] = [of(house)]

    def settled() -> bool:
        time.sleep(1.5)
        last.append(of(house))
        return last[-1] == last[-2]

    eventually(settled, "the stack is at rest", 60)
    return last[-1]
