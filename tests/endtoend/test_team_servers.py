"""The project's own servers and its ledger on a real PostgreSQL: a release, what stands where, and what goes wrong."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from components.release import ledger as ledgers
from tests import postgres_server, team_servers
from tests.endtoend.releases import CALM, Releases
from tests.postgres_server import PASSWORD, USER
from tests.project_copy import running_copy

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(500),
    pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing())),
]


def test_a_release_on_postgresql_leaves_nothing_in_files_and_no_password_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_server.running() as server:
        monkeypatch.setenv(team_servers.URL, server.url)
        monkeypatch.setenv(team_servers.LOGIN, server.credentials)
        with running_copy(tmp_path / "project") as house:
            said = {finding["check"]: finding for finding in house.json("doctor")}
            assert said["databases"]["found"] == "prefect and mlflow on PostgreSQL, which answers"
            releases = Releases(house)
            with releases.api:
                releases.pipeline(CALM)
                releases.register(CALM, seed=1)
                house.run("promote", CALM, "1")
            entries = ledgers.of(house.project, CALM).entries()
            assert entries[-1].event in ("served", "told")
            state = house.project.state
            for name in ("mlflow/mlflow.db", "prefect/prefect.db", "ledger/ledger.db"):
                assert not (state / name).exists()
            settings = (house.root / "modelyard.toml").read_text()
            for line in settings.splitlines():
                if "postgresql://" in line:
                    _has_rows(line.split('"')[1])
            assert not [path for path in state.rglob("*") if PASSWORD.encode() in _bytes(path)]
            house.run("down")
            monkeypatch.setenv(team_servers.LOGIN, f"{USER}:wrong")
            house.__dict__.pop("environment", None)
            done = house.run("doctor", check=False)
            assert "password authentication failed" in " ".join((done.stdout + done.stderr).split())
            monkeypatch.setenv(team_servers.LOGIN, server.credentials)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size < 10_000_000 else b""
    except FileNotFoundError:  # a process has removed it since
        return b""


def _has_rows(url: str) -> None:
    counts: dict[str, LiteralString] = {
        "ledger": "SELECT count(*) FROM modelyard.entry",
        "mlflow": "SELECT count(*) FROM model_versions",
        "prefect": "SELECT count(*) FROM flow_run",
    }
    count = next(count for name, count in counts.items() if url.endswith(name))
    with closing(psycopg.connect(url, user=USER, password=PASSWORD)) as connection:
        row = connection.execute(count).fetchone()
    assert row is not None
    assert row[0] > 0
