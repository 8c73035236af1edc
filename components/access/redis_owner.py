"""Which Prefect a database of Redis belongs to: one key there names the PostgreSQL database of its API servers.

Two Prefects on one database of Redis read each other's events, leases and background tasks, and nothing says so. API
servers that share a PostgreSQL database belong together, on whichever machine they run: that database's identity is
what the key holds. A copy of the database has another identity, and so has one that was moved to another server.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

from components.access import server_database, server_redis
from components.core.errors import ModelyardError, StackError
from components.core.project import Project

KEY = "modelyard:prefect-database"
OPTION = "--take-redis"


class ForeignRedisError(StackError):
    """The database of Redis belongs to the Prefect of another database of PostgreSQL."""


@dataclass(frozen=True)
class Owner:
    """The Prefect that uses a database of Redis.

    Args:
        database: identity of its database of PostgreSQL, as `server_database.identity` returns it.
        named: the URL of that database in the settings of the project, without credentials.
        since: when it took the Redis, ISO 8601 in UTC.
    """

    database: str
    named: str
    since: str

    @classmethod
    def parse(cls, text: str) -> Owner:
        """The owner that a key's value names; a value that cannot be read is somebody else's."""
        try:
            found = json.loads(text)
            return cls(str(found["database"]), str(found["named"]), str(found["since"]))
        except (ValueError, KeyError, TypeError):
            return cls("", f"a key that cannot be read: {text[:80]}", "unknown")


def of_database(address: str, named: str) -> Owner:
    """The Prefect on a database of PostgreSQL.

    Args:
        address: the URL for libpq, with credentials.
        named: the URL without them.

    Raises:
        StackError: the database does not answer, or does not tell its identity.
    """
    identity = server_database.identity(address, named)
    return Owner(identity, named, datetime.now(UTC).isoformat(timespec="seconds"))


def of_project(project: Project) -> Owner:
    """The project's own Prefect.

    Raises:
        SpecError: `modelyard.toml` is wrong.
        StackError: the credentials cannot be read, or as `of_database`.
    """
    named = server_database.named(project, "prefect")
    return of_database(server_database.url(project, "prefect", "postgresql"), named)


def check(project: Project) -> bool:
    """Check that no other Prefect uses the project's Redis; returns whether it is the project's already.

    Raises:
        ForeignRedisError: another Prefect uses it.
        SpecError, StackError: as `of_project`, or the Redis does not answer.
    """
    own, where = of_project(project), server_redis.named(project)
    with server_redis.client(server_redis.url(project), where) as client:
        return _is_own(client.get(KEY), own, where)


def claim(project: Project, *, take: bool = False) -> None:
    """Write into the project's Redis that it is this project's; of several that do so at once one succeeds.

    Args:
        take: also where the Redis belongs to another Prefect. Its messages stay there.

    Raises:
        ForeignRedisError: another Prefect uses it, and it is not to be taken.
        SpecError, StackError: as in `check`.
    """
    write(server_redis.url(project), server_redis.named(project), of_project(project), take=take)


def write(address: str, where: str, own: Owner, *, take: bool = False) -> None:
    """As `claim`, for any Redis.

    Args:
        address, where: as in `server_redis.client`.
    """
    text = json.dumps({"database": own.database, "named": own.named, "since": own.since})
    with server_redis.client(address, where) as client:
        if take:
            client.set(KEY, text)
        elif not client.set(KEY, text, nx=True):
            _is_own(client.get(KEY), own, where)


def _is_own(value: bytes | None, own: Owner, where: str) -> bool:
    """Whether the key's value names this Prefect."""
    if value is None:
        return False
    other = Owner.parse(value.decode(errors="replace"))
    if other.database != own.database:
        raise ForeignRedisError(
            "this database of Redis belongs to another Prefect: each would take the other's messages and leases",
            where=where,
            got=f"the Prefect on {other.named}, since {other.since}",
            expected=f"the Prefect on {own.named}, or nobody's",
            next_step=f"name another number, as in {server_redis.with_another_number(where)}; if the other one is "
            f"gone, or its database was moved here: `modelyard up {OPTION}`, or with the units and containers of "
            f"`modelyard deploy` `redis-cli ... DEL {KEY}`",
        )
    return True


def main() -> int:
    """Claim a Redis for the servers of `modelyard deploy --with-platform`, from the variables of their scripts."""
    database = os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"].replace("+asyncpg", "", 1)
    try:
        own = of_database(database, f"postgresql://{os.environ['DATABASE']}/prefect")
        write(os.environ["PREFECT_SERVER_DOCKET_URL"], os.environ["REDIS"], own)
    except ModelyardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
