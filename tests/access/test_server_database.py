"""URLs of databases with user and password."""

from __future__ import annotations

from components.access.secret import Credentials
from components.access.server_database import with_credentials

NAMED = "postgresql://db.example:5433/mlflow?sslmode=verify-full&connect_timeout=5"


def test_user_and_password_are_quoted_and_the_driver_is_the_servers() -> None:
    known = Credentials("ann", "p@ss:w/ord?")
    login = "ann:p%40ss%3Aw%2Ford%3F@db.example:5433/mlflow"
    query = "?sslmode=verify-full&connect_timeout=5"
    assert with_credentials(NAMED, "postgresql+psycopg", known) == f"postgresql+psycopg://{login}{query}"
    assert with_credentials(NAMED, "postgresql", None) == NAMED


def test_asyncpg_has_its_own_name_for_sslmode() -> None:
    assert with_credentials(NAMED, "postgresql+asyncpg", None).endswith("?ssl=verify-full&connect_timeout=5")
