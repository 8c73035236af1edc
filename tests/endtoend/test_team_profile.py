"""`modelyard up --profile team` on real servers, with TLS: a training while either API server is killed, a release."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from flows.platform import orphans, running, state
from flows.platform.programs import FIRST_PORT, PREFECT_PAIR
from flows.platform.state import StackState
from tests import postgres_server, redis_server, s3_server
from tests.authority import Authority
from tests.house import House
from tests.project_copy import copy_project

MISSING = postgres_server.missing() or redis_server.missing() or s3_server.missing()
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]
USER, PASSWORD = "ann", "a password of twelve"
SETTINGS = """[servers]
mlflow = "{server}/mlflow?sslmode=verify-full&sslrootcert=certificates/authority.pem"
prefect = "{server}/prefect?sslmode=verify-full&sslrootcert=certificates/authority.pem"
credentials = {{env = "TEAM_DATABASE"}}
artifacts = "s3://team/mlflow"
redis = "{redis}?ssl_ca_certs=certificates/authority.pem"
redis_credentials = {{env = "TEAM_REDIS"}}

[people]
enabled = true
"""


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A copy of the project that names real servers, not started yet."""
    with ExitStack() as started:
        authority = Authority.new(tmp_path)
        database = started.enter_context(postgres_server.running(authority.server()))
        messages = started.enter_context(redis_server.running(authority.server()))
        (tmp_path / "s3").mkdir()
        store = started.enter_context(s3_server.running(tmp_path / "s3"))
        for name, value in {
            **store,
            "TEAM_DATABASE": database.credentials,
            "TEAM_REDIS": redis_server.PASSWORD,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
        }.items():
            monkeypatch.setenv(name, value)
        _make_databases(database)
        root = tmp_path / "project"
        copy_project(root)
        (root / "certificates").mkdir()
        (root / "certificates" / "authority.pem").write_bytes(authority.certificate.read_bytes())
        server = database.url.rpartition("/")[0]
        (root / "modelyard.toml").write_text(SETTINGS.format(server=server, redis=messages.url))
        house = House(root)
        ports = {name: 27000 + place for place, name in enumerate(FIRST_PORT)}
        state.save(house.project, StackState(str(root), ports=ports))
        try:
            yield house
        finally:
            house.run("down", check=False)


def _make_databases(server: postgres_server.PostgresServer) -> None:
    login = {"user": postgres_server.USER, "password": postgres_server.PASSWORD}
    with closing(psycopg.connect(server.url, autocommit=True, **login)) as connection:
        for name in (b"mlflow", b"prefect"):
            connection.execute(b"CREATE DATABASE " + name)


def _objects() -> int:
    import boto3

    found = boto3.client("s3").list_objects_v2(Bucket="team").get("Contents", ())
    return len([one for one in found if "/.modelyard-" not in one["Key"]])


def _rows(house: House) -> Mapping[str, str]:
    return {row["name"]: row["state"] for row in house.json_of_status()}


def _kill_in_turn(house: House, killed: list[str], done: threading.Event) -> None:
    """End one API server with SIGKILL when both are ready, then the other, and so on."""
    while not done.wait(1.0):
        rows = _rows(house)
        if any(rows.get(name) != "ready" for name in PREFECT_PAIR):
            continue
        name = PREFECT_PAIR[len(killed) % 2]
        record = running.read(state.folder(house.project), name)
        if record is not None:
            os.kill(record.identity.pid, signal.SIGKILL)
            killed.append(name)


def test_a_team_works_while_either_api_server_is_killed(team: House, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    boto3.client("s3").create_bucket(Bucket="team")
    with monkeypatch.context() as wrong:
        wrong.setenv("AWS_SECRET_ACCESS_KEY", "another")
        refused = House(team.root).run("up", "--profile", "team", check=False)
    assert refused.returncode == 2
    assert "the bucket of MLflow's artifacts cannot be written to" in refused.stderr
    assert not (team.project.state / "stack" / "supervisor.sock").exists()
    with _other_authority(team):
        refused = team.run("up", "--profile", "team", check=False)
    assert refused.returncode == 2
    assert refused.stderr.count("certificate verify failed") == 3  # of two databases and the Redis, in one error
    started = team.run("up", "--profile", "team", timeout=400)
    assert "profile  team" in started.stdout
    assert {"prefect", "prefect-1", "prefect-2", "prefect-services", "mlflow"} <= _rows(team).keys()
    findings = json.loads(team.run("doctor", "--json", check=False).stdout)
    said = {finding["check"]: finding for finding in findings}
    assert said["profile"]["found"].startswith("team")
    assert "which answers" in said["redis"]["found"]
    for name in PREFECT_PAIR:  # neither inserted what the other one had
        assert "Traceback" not in (state.folder(team.project) / "logs" / f"{name}.log").read_text()
    _add_person(team)
    killed, done = list[str](), threading.Event()
    killing = threading.Thread(target=_kill_in_turn, args=(team, killed, done))
    killing.start()
    try:
        team.run("run", "digits", timeout=400)
        team.run("promote", "digits", "1", timeout=300)
    finally:
        done.set()
        killing.join()
    assert set(killed) == set(PREFECT_PAIR), killed
    _wait_until_all_are_ready(team)
    serving = next(row for row in team.json("status")["models"] if row["name"] == "digits")
    assert (serving["actual"], serving["state"]) == ("1", "in step")
    assert _objects() > 0
    with redis.Redis.from_url(
        _redis_url(team), password=redis_server.PASSWORD, protocol=2, ssl_ca_certs=_authority(team)
    ) as client:
        assert client.exists("prefect-server:workers"), "no API server works off the queue in Redis"
    secrets = (postgres_server.PASSWORD.encode(), redis_server.PASSWORD.encode(), PASSWORD.encode())
    assert not [path for path in team.project.state.rglob("*") if any(one in _bytes(path) for one in secrets)]
    assert "restarting" not in team.run("up").stderr  # it goes on as it is
    team.run("down")
    assert orphans.find(str(team.root)) == []


@contextmanager
def _other_authority(house: House) -> Iterator[None]:
    """The project trusts an authority that signed nothing."""
    path = Path(_authority(house))
    own = path.read_bytes()
    path.write_bytes(Authority.new(house.root.parent, "other").certificate.read_bytes())
    try:
        yield
    finally:
        path.write_bytes(own)


def _add_person(house: House) -> None:

    words = [sys.executable, "-m", "flows.cli", "people", "add", USER, "--administrator"]
    subprocess.run(
        words, cwd=house.root, env=house.environment, input=PASSWORD, text=True, check=True, capture_output=True
    )


def _redis_url(house: House) -> str:
    return next(
        line.split('"')[1].partition("?")[0]
        for line in (house.root / "modelyard.toml").read_text().splitlines()
        if line.startswith("redis =")
    )


def _authority(house: House) -> str:
    return str(house.root / "certificates" / "authority.pem")


def _wait_until_all_are_ready(house: House) -> None:
    deadline = time.monotonic() + 120
    while set(_rows(house).values()) != {"ready"}:
        assert time.monotonic() < deadline, json.dumps(dict(_rows(house)))
        time.sleep(1)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size < 10_000_000 else b""
    except FileNotFoundError:  # a process has removed it since
        return b""
