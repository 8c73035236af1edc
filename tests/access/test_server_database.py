"""URLs of databases with user and password."""

from __future__ import annotations

import pytest
from prefect.settings import Settings

from components.access.secret import Credentials
from components.access.server_database import asyncpg_variables, with_credentials

NAMED = "postgresql://db.example:5433/mlflow?sslmode=verify-full&connect_timeout=5"


def test_user_and_password_are_quoted_and_the_driver_is_the_servers() -> None:
    known = Credentials("ann", "p@ss:w/ord?")
    login = "ann:p%40ss%3Aw%2Ford%3F@db.example:5433/mlflow"
    query = "?sslmode=verify-full&connect_timeout=5"
    assert with_credentials(NAMED, "postgresql+psycopg", known) == f"postgresql+psycopg://{login}{query}"
    assert with_credentials(NAMED, "postgresql", None) == NAMED


def test_asyncpg_has_its_own_name_for_sslmode_and_reads_the_rest_from_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = f"{NAMED}&sslrootcert=/ca.pem&application_name=team"
    assert with_credentials(named, "postgresql+asyncpg", None) == (
        "postgresql+asyncpg://db.example:5433/mlflow?ssl=verify-full"
    )
    found = asyncpg_variables(named)
    assert found.pop("PGSSLROOTCERT") == "/ca.pem"
    for variable, value in found.items():
        monkeypatch.setenv(variable, value)
    database = Settings().server.database
    assert database.connection_timeout == 5
    assert database.sqlalchemy.connect_args.application_name == "team"
