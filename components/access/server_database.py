"""The PostgreSQL databases of a project's own servers, where `[servers]` of `modelyard.toml` names them.

The URL with its password is made in the process that needs it, and stands in no file and in no command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from components.access import named_credentials, server_tls
from components.access.secret import Credentials
from components.contracts import settings
from components.core.errors import StackError
from components.core.project import Project

if TYPE_CHECKING:
    import psycopg

CREDENTIALS = "MODELYARD_SERVERS_CREDENTIALS"
TABLES_LOCK = 7_263_448_120_951  # of who makes the tables of an empty database: two at once would break them
CONNECT_SECONDS = 10
ASYNCPG_VARIABLES = {
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "application_name": "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_APPLICATION_NAME",
    "connect_timeout": "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT",
}


def is_named(project: Project, server: Literal["mlflow", "prefect"]) -> bool:
    """Whether a server keeps what it knows in a database of PostgreSQL.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    return getattr(settings.read(project.root).servers, server) is not None


def named(project: Project, server: Literal["mlflow", "prefect"]) -> str:
    """The URL of a server's database as the settings have it, without credentials.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    return str(getattr(settings.read(project.root).servers, server))


def url(project: Project, server: Literal["mlflow", "prefect"], driver: str) -> str:
    """The URL of a server's database for SQLAlchemy, with user and password.

    Args:
        driver: as in `postgresql+psycopg`.

    Raises:
        SpecError, StackError: `modelyard.toml` or the credentials cannot be read.
    """
    found = settings.read(project.root).servers
    place = server_tls.with_files(getattr(found, server), project.root)
    server_tls.require_files(place, getattr(found, server))
    known = named_credentials.read(project.root, "servers", found.credentials, CREDENTIALS)
    return with_credentials(place, driver, known)


def with_credentials(named: str, driver: str, known: Credentials | None) -> str:
    """A URL with another driver, and with user and password.

    Parameters that asyncpg takes from the environment only are left out for it: see `asyncpg_variables`.
    """
    _, place, path, query, _ = urlsplit(named)
    if driver.endswith("asyncpg"):
        values = server_tls.parameters(named)
        is_system = values.get("sslrootcert") == server_tls.SYSTEM
        query = f"ssl={values['sslmode']}" if "sslmode" in values and not is_system else ""
    login = f"{quote(known.user, safe='')}:{quote(known.secret, safe='')}@" if known is not None else ""
    return urlunsplit((driver, login + place, path, query, ""))


def asyncpg_variables(named: str) -> dict[str, str]:
    """Environment variables of a Prefect server for the parameters of its database's URL.

    SQLAlchemy hands the parameters of a URL to asyncpg.connect, which knows few of them by name; the certificates it
    reads from libpq's variables (https://magicstack.github.io/asyncpg/current/api/index.html#asyncpg.connection.connect).

    Args:
        named: the URL with absolute paths, as `server_tls.with_files` returns it.
    """
    values = server_tls.parameters(named)
    found = {ASYNCPG_VARIABLES[name]: value for name, value in values.items() if name in ASYNCPG_VARIABLES}
    if values.get("sslrootcert") == server_tls.SYSTEM:  # asyncpg has no such word; Prefect's setting means the same
        del found["PGSSLROOTCERT"]
        found["PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_TLS_ENABLED"] = "true"
    return found


def _connect(address: str, where: str) -> psycopg.Connection[tuple[Any, ...]]:
    import psycopg

    try:
        return psycopg.connect(address, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.Error as error:
        got = " ".join(str(error).split())
        otherwise = "correct [servers] in modelyard.toml, or start PostgreSQL; the database itself has to be there"
        raise StackError(
            "the server's database does not answer",
            where=where,
            got=got,
            next_step=server_tls.next_step(got, where, otherwise),
        ) from error


def identity(address: str, where: str) -> str:
    """What tells a database from every other one, by whichever name its server is reached.

    The identifier that PostgreSQL gives a cluster when it is made, and the database's number there. A replica that
    takes over has the same; a copy, and a database that was restored elsewhere, have others.
    https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CONTROLDATA

    Args:
        address, where: as in `first_start`.

    Raises:
        StackError: the database does not answer, or does not tell.
    """
    import psycopg

    query = "SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()) FROM "
    with _connect(address, where) as connection:
        try:
            row = connection.execute(f"{query}pg_control_system()").fetchone()
        except psycopg.Error as error:
            raise StackError(
                "the server's database does not tell its identity",
                where=where,
                got=" ".join(str(error).split()),
                next_step="GRANT EXECUTE ON FUNCTION pg_control_system() TO the user of [servers] credentials",
            ) from error
    assert row is not None  # noqa: S101  # the function returns one row
    return f"{row[0]}/{row[1]}"


@contextmanager
def first_start(address: str, where: str) -> Iterator[bool]:
    """Whether the database has no tables yet; no other server makes them for as long as the block lasts.

    Args:
        address: the URL for libpq.
        where: the URL without credentials.

    Raises:
        StackError: the database does not answer.
    """
    with _connect(address, where) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (TABLES_LOCK,))
        row = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
        yield row is None or row[0] is None
