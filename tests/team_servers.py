"""The end-to-end tests on a team's servers: each house keeps registry, flow runs and ledger on PostgreSQL.

`python -m tests.team_servers [arguments of pytest]` starts a real server, in which each house gets its databases.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests import postgres_server

URL, LOGIN = "MODELYARD_TEST_POSTGRES", "MODELYARD_TEST_POSTGRES_LOGIN"
SETTINGS = """[connections]
ledger = "{ledger}"
ledger_credentials = {{env = "{login}"}}

[servers]
mlflow = "{mlflow}"
prefect = "{prefect}"
credentials = {{env = "{login}"}}
"""


def settle(root: Path) -> None:
    """Give a copy of the project databases on the server, where there is one."""
    url = os.environ.get(URL)
    if url is None:
        return
    user, _, password = os.environ[LOGIN].partition(":")
    names = {name: f"house_{secrets.token_hex(4)}_{name}" for name in ("ledger", "mlflow", "prefect")}
    with closing(psycopg.connect(url, user=user, password=password, autocommit=True)) as connection:
        for name in names.values():
            connection.execute(f"CREATE DATABASE {name}".encode())
    places = {name: urlunsplit(urlsplit(url)._replace(path=f"/{database}")) for name, database in names.items()}
    (root / "modelyard.toml").write_text(SETTINGS.format(login=LOGIN, **places))


def databases(root: Path) -> dict[str, str] | None:
    """The URLs of a copy's databases, with user and password; None where it has files."""
    path = root / "modelyard.toml"
    text = path.read_text() if path.exists() else ""
    found = {
        name: re.search(rf'^{name} = "(postgresql://[^"]+)"', text, re.M) for name in ("ledger", "mlflow", "prefect")
    }
    if not all(found.values()):
        return None
    return {
        name: urlunsplit((*(parts := urlsplit(match[1]))[:1], f"{os.environ[LOGIN]}@{parts.netloc}", *parts[2:]))
        for name, match in found.items()
        if match is not None
    }


def main(arguments: list[str]) -> int:
    """Run tests with a server; returns pytest's exit code."""
    if (missing := postgres_server.missing()) is not None:
        print(missing, file=sys.stderr)
        return 1
    with postgres_server.running() as server:
        environment = {**os.environ, URL: server.url, LOGIN: server.credentials}
        return subprocess.run([sys.executable, "-m", "pytest", *arguments], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
