"""The end-to-end tests on a team's servers: registry, flow runs and ledger on PostgreSQL, artifacts in S3.

`python -m tests.team_servers [arguments of pytest]` starts real servers, in which each house gets databases and, where
an S3 can be had, a bucket of its own.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import fsspec
import psycopg

from tests import postgres_server, s3_server

URL, LOGIN = "MODELYARD_TEST_POSTGRES", "MODELYARD_TEST_POSTGRES_LOGIN"
STORE = "AWS_ENDPOINT_URL_S3"
SETTINGS = """[connections]
{store}ledger = "{ledger}"
ledger_credentials = {{env = "{login}"}}

[servers]
{artifacts}mlflow = "{mlflow}"
prefect = "{prefect}"
credentials = {{env = "{login}"}}
"""


def settle(root: Path) -> None:
    """Give a copy of the project databases and a bucket on the servers, where there are any."""
    url = os.environ.get(URL)
    if url is None:
        return
    user, _, password = os.environ[LOGIN].partition(":")
    names = {name: f"house_{secrets.token_hex(4)}_{name}" for name in ("ledger", "mlflow", "prefect")}
    with closing(psycopg.connect(url, user=user, password=password, autocommit=True)) as connection:
        for name in names.values():
            connection.execute(f"CREATE DATABASE {name}".encode())
    places = {name: urlunsplit(urlsplit(url)._replace(path=f"/{database}")) for name, database in names.items()}
    bucket = _bucket() if os.environ.get(STORE) else None
    lines = ("", "") if bucket is None else (f'artifacts = "s3://{bucket}/{name}"\n' for name in ("stages", "mlflow"))
    store, artifacts = lines
    (root / "modelyard.toml").write_text(SETTINGS.format(login=LOGIN, store=store, artifacts=artifacts, **places))


def _bucket() -> str:
    name = f"house-{secrets.token_hex(4)}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
    return name


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


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """Servers of a team; gives the environment variables by which `settle` and AWS's own tools find them."""
    with ExitStack() as during:
        server = during.enter_context(postgres_server.running())
        variables = {URL: server.url, LOGIN: server.credentials}
        if (missing := s3_server.missing()) is None:
            folder = Path(during.enter_context(tempfile.TemporaryDirectory(prefix="yard-")))
            variables |= during.enter_context(s3_server.running(folder))
        else:
            print(f"artifacts in folders, not in S3: {missing}", file=sys.stderr)
        yield variables


def main(arguments: list[str]) -> int:
    """Run tests with the servers; returns pytest's exit code."""
    if (missing := postgres_server.missing()) is not None:
        print(missing, file=sys.stderr)
        return 1
    with running() as variables:
        words = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(words, env={**os.environ, **variables}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
