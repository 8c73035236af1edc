"""`modelyard up --profile team`: what is missing is said at once; two API servers on one port; clients go on."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.access import server_redis
from components.core.errors import StackError, UsageError
from components.core.project import Project
from flows.cli import up
from flows.platform import connections, diagnostics, health, lifecycle, ports, prefect_services, stack_profile, state
from flows.platform.prefect_client import PrefectClient
from flows.platform.programs import of_stack, prefect_names
from flows.platform.state import StackState
from tests import redis_server

PORTS = {"prefect": 1, "mlflow": 2, "console": 3, "prefect-1": 4, "prefect-2": 5}
FULL = """[servers]
mlflow = "postgresql://127.0.0.1:1/mlflow"
prefect = "postgresql://127.0.0.1:1/prefect"
redis = "redis://127.0.0.1:1"
artifacts = "s3://team/mlflow"

[people]
enabled = true
"""
SERVER = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    import os
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

def create():
    return app
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(stack_profile, "PACKAGES", ())  # not every machine that tests has them
    for name in (server_redis.CREDENTIALS, "MODELYARD_SERVERS_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    return Project(tmp_path)


def refused(project: Project, *, reach: bool = False) -> UsageError:
    with pytest.raises(UsageError) as caught:
        stack_profile.require(project, "team", reach=reach)
    return caught.value


def test_all_that_is_missing_is_said_at_once_with_lines_that_are_enough(project: Project) -> None:
    error = refused(project)
    for key in ("servers.mlflow", "servers.prefect", "servers.redis", "servers.artifacts", "people.enabled"):
        assert key in str(error.got)
    text = "\n".join(line.strip() for line in str(error.expected).splitlines())
    assert tomllib.loads(text)["people"] == {"enabled": True}
    (project.root / "modelyard.toml").write_text(text)
    stack_profile.require(project, "team", reach=False)


def test_only_what_is_missing_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "modelyard.toml").write_text(FULL.replace("s3://team/mlflow", "/srv/artifacts"))
    monkeypatch.setattr(stack_profile, "PACKAGES", ("no_such_package",))
    error = refused(project)
    assert "servers.artifacts is /srv/artifacts" in str(error.got)
    assert "no package no_such_package" in str(error.got)
    assert "servers.mlflow" not in str(error.got)
    assert "[people]" not in str(error.expected)


def test_a_server_that_somebody_else_runs_is_no_part_of_the_profile(project: Project) -> None:
    (project.root / "modelyard.toml").write_text(FULL + '[connections]\nprefect = "http://db.example/api"\n')
    assert "prefect is somebody else's, named by modelyard.toml" in str(refused(project).got)


def test_s3fs_is_named_in_the_version_of_fsspec(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_profile, "PACKAGES", ("boto3", "s3fs"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    found = metadata.version("fsspec")
    assert f"`.venv/bin/pip install boto3 s3fs=={found}`" in str(refused(project).got)


def test_what_does_not_answer_is_named_before_anything_is_started(project: Project) -> None:
    (project.root / "modelyard.toml").write_text(FULL)
    with pytest.raises(UsageError) as caught:
        lifecycle.up(project, log=lambda _: None, profile_name="team")
    said = str(caught.value.got)
    for place in ("127.0.0.1:1/mlflow", "127.0.0.1:1/prefect", "redis://127.0.0.1:1"):
        assert place in said
    assert not (project.state / "stack").exists()


def test_a_credential_that_cannot_be_read_is_named(project: Project) -> None:
    wanted = 'redis = "redis://127.0.0.1:1"\nredis_credentials = {env = "NO_SUCH_VARIABLE"}\n'
    (project.root / "modelyard.toml").write_text(FULL.replace('redis = "redis://127.0.0.1:1"\n', wanted))
    assert "servers.redis_credentials): NO_SUCH_VARIABLE" in str(refused(project, reach=True).got)


def test_the_profile_is_remembered_and_an_older_state_has_none(project: Project) -> None:
    assert stack_profile.of(project) is None
    state.save(project, StackState(str(project.root), profile="team"))
    assert stack_profile.of(project) == "team"
    path = state.folder(project) / "state.json"
    document = json.loads(path.read_text())
    del document["profile"]
    path.write_text(json.dumps(document))
    assert stack_profile.of(project) is None
    stack_profile.require(project, None, reach=True)  # asks for nothing


def test_settings_of_a_team_without_a_profile_are_pointed_out(project: Project) -> None:
    def verdict() -> str:
        finding = diagnostics._profile(project)
        assert (finding.verdict == "warn") == ("`modelyard up --profile team` was never done here" in finding.found)
        return finding.verdict

    path = project.root / "modelyard.toml"
    assert verdict() == "ok"
    path.write_text(FULL)
    assert verdict() == "warn"
    state.save(project, StackState(str(project.root)))  # started without one
    assert verdict() == "warn"
    state.save(project, StackState(str(project.root), profile="local"))
    assert verdict() == "ok"
    state.save(project, StackState(str(project.root)))
    path.write_text(FULL.replace('redis = "redis://127.0.0.1:1"\n', ""))
    assert verdict() == "ok"
    path.write_text(FULL + '[connections]\nmlflow = "http://db.example"\n')
    assert verdict() == "ok", "the profile is for servers of one's own"


def test_a_moved_project_keeps_its_profile_and_a_copy_has_none(project: Project, tmp_path: Path) -> None:
    state.save(project, StackState(str(tmp_path / "gone"), profile="team"))
    assert stack_profile.of(project) == "team"
    other = Project(tmp_path / "original")
    state.save(other, StackState(str(other.root), profile="team"))
    state.save(project, StackState(str(other.root), profile="team"))
    assert stack_profile.of(project) is None


def test_the_command_offers_every_profile() -> None:
    assert up.PROFILES == stack_profile.NAMES
    assert "Invalid value" in CliRunner().invoke(up.up, ["--profile", "cluster"]).output


def test_a_redis_makes_two_api_servers_and_one_process_of_services(project: Project) -> None:
    stack = StackState(str(project.root), ports=PORTS)
    assert [program.name for program in of_stack(project, stack)][1] == "prefect"
    (project.root / "modelyard.toml").write_text(FULL.replace("s3://team/mlflow", "/srv/artifacts"))
    programs = {program.name: program for program in of_stack(project, stack)}
    assert set(prefect_names(project)) == {"prefect-1", "prefect-2", "prefect-services"} <= programs.keys()
    assert "prefect" not in programs
    for name, port in (("prefect-1", "4"), ("prefect-2", "5")):
        assert programs[name].command[-2:] == ["1", port]
        assert programs[name].environment["PREFECT__SERVER_WEBSERVER_ONLY"] == "1"
    assert all(one.environment.get("PREFECT_SERVER_DATABASE_MIGRATE_ON_START") != "true" for one in programs.values())


def test_clients_ask_again_while_a_redis_is_away(project: Project) -> None:
    assert "PREFECT_CLIENT_RETRY_EXTRA_CODES" not in connections.variables(project.root)
    (project.root / "modelyard.toml").write_text(FULL)
    assert connections.variables(project.root)["PREFECT_CLIENT_RETRY_EXTRA_CODES"] == "500"


def test_no_server_gets_the_port_of_another(project: Project) -> None:
    port = ports.choose(28300, ())
    stack = StackState(str(project.root), ports={"prefect": port})
    found = lifecycle._assign_port(project, stack, "prefect-1", port, lambda _: None)
    assert found.ports["prefect-1"] != port


def test_services_of_an_earlier_process_are_not_alive(project: Project) -> None:
    path = prefect_services._heartbeat(project)
    path.parent.mkdir(parents=True)
    path.write_text("17")
    assert prefect_services.are_alive(project, 17)
    assert not prefect_services.are_alive(project, 18)
    os.utime(path, (0, 0))
    assert not prefect_services.are_alive(project, 17)


def test_the_url_of_a_redis_has_its_login_quoted(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "modelyard.toml").write_text(FULL.replace("redis://127.0.0.1:1", "rediss://cache.example:6380/2"))
    assert server_redis.url(project) == "rediss://cache.example:6380/2"
    monkeypatch.setenv(server_redis.CREDENTIALS, "p@ss/word")
    assert server_redis.url(project) == "rediss://:p%40ss%2Fword@cache.example:6380/2"
    monkeypatch.setenv(server_redis.CREDENTIALS, "ann:p@ss")
    assert server_redis.url(project) == "rediss://ann:p%40ss@cache.example:6380/2"


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (
            "rediss://host:26400/0?ssl_ca_certs=certificates/ca.pem",
            "rediss://host:26400/7?ssl_ca_certs=certificates/ca.pem",
        ),
        ("redis://host", "redis://host/7"),
        ("redis://host:1/7", "redis://host:1/8"),
        ("redis:6379/0", "redis:6379/7"),
    ],
)
def test_another_number_of_a_redis_leaves_the_rest_of_its_url(place: str, other: str) -> None:
    assert server_redis.with_another_number(place) == other


@pytest.mark.skipif(redis_server.missing() is not None, reason=str(redis_server.missing()))
def test_a_real_redis_says_its_version_and_a_wrong_password_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server.running() as server:
        (project.root / "modelyard.toml").write_text(FULL.replace("redis://127.0.0.1:1", server.url))
        monkeypatch.setenv(server_redis.CREDENTIALS, redis_server.PASSWORD)
        assert int(server_redis.examine(project).version.split(".")[0]) >= 6
        monkeypatch.setenv(server_redis.CREDENTIALS, "wrong")
        with pytest.raises(StackError) as caught:
            server_redis.examine(project)
    assert "wrong" not in str(caught.value).replace("WRONGPASS", "")


def _ask(port: int) -> str:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()


@pytest.mark.slow
def test_of_two_servers_on_one_port_the_other_answers_when_one_is_killed(tmp_path: Path) -> None:
    (tmp_path / "small_server.py").write_text(SERVER)
    port = ports.choose(28000, ())
    own = [ports.choose(28100, ()), ports.choose(28150, ())]
    command = [sys.executable, "-m", "flows.platform.shared_port", "small_server:create", str(port)]
    search = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[2])])
    environment = {**os.environ, "PYTHONPATH": search}
    servers = [subprocess.Popen([*command, str(one)], env=environment, cwd=tmp_path) for one in own]
    try:
        for one in own:
            deadline = time.monotonic() + 30
            while not health.is_ready(one, "/"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        pids = {str(server.pid) for server in servers}
        assert {_ask(one) for one in own} == pids
        assert {_ask(port) for _ in range(200)} == pids  # the kernel gives connections to both
        assert not ports.is_free(port)
        servers[0].send_signal(signal.SIGKILL)
        servers[0].wait()
        assert {_ask(port) for _ in range(200)} == {str(servers[1].pid)}
    finally:
        for server in servers:
            server.kill()
            server.wait()


@contextmanager
def cutting_off(times: int) -> Iterator[int]:
    """A server that closes the first `times` connections when it has read the request, and answers the later ones."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for count in range(times + 1):
                with server.accept()[0] as connection:
                    connection.recv(65536)
                    if count == times:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join()


def test_a_request_whose_server_is_killed_is_sent_again() -> None:
    with cutting_off(2) as port, PrefectClient(None, f"http://127.0.0.1:{port}/api") as client:
        assert client.request("GET", "/health") == {}
