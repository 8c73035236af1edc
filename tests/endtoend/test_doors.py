"""Nobody but the owner: every endpoint, every port, every file of a running stack, asked by those who may not."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from components.access import challenge
from components.access.secret import Credentials
from flows.platform import orphans
from tests.endtoend import endpoints, other_user, stack_contents
from tests.endtoend.endpoints import Endpoint
from tests.endtoend.releases import CALM, Releases
from tests.house import House

pytestmark = pytest.mark.slow

EVIL = "http://evil.example"


@pytest.fixture(scope="module")
def ports(house: House, calm: Releases) -> dict[str, int]:
    """The servers by name."""
    urls = {row["name"]: row["url"] for row in house.json_of_status() if row["url"]}
    return {name: urlsplit(url).port or 0 for name, url in urls.items()}


@pytest.fixture(scope="module")
def everything(house: House, ports: dict[str, int]) -> list[Endpoint]:
    """Every endpoint and method of Prefect, MLflow and the services."""
    with house.client(f"http://127.0.0.1:{ports['prefect']}", timeout=60) as client:
        documents = [client.get(path).raise_for_status().json() for path in ("/openapi.json", "/api/openapi.json")]
    assert len(documents[1]["paths"]) > 100
    prefect = endpoints.of_document(documents[0], ports["prefect"])
    for path in documents[1]["paths"]:  # of the application below /api, whose paths lack that part
        prefect |= endpoints.of_document(
            {"paths": {path if path.startswith("/api") else f"/api{path}": documents[1]["paths"][path]}},
            ports["prefect"],
        )
    service = ports[f"serve-{CALM}"]
    with house.client(f"http://127.0.0.1:{service}") as client:
        document = client.get("/openapi.json").raise_for_status().json()
    mlflow = endpoints.of_mlflow(house, ports["mlflow"])
    assert len({one.path for one in mlflow}) > 200
    return sorted(prefect | mlflow | endpoints.of_service(document, service))


def asked(everything: list[Endpoint], headers: dict[str, str]) -> list[tuple[Endpoint, int, bytes]]:
    """What each answers, with all its header fields."""
    local, opened = threading.local(), []

    def connection_to(port: int) -> http.client.HTTPConnection:
        kept: dict[int, http.client.HTTPConnection] = local.__dict__.setdefault("kept", {})
        if port not in kept:
            kept[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            opened.append(kept[port])
        return kept[port]

    def ask(one: Endpoint) -> tuple[Endpoint, int, bytes]:
        sent = {**headers, **({"Content-Type": "application/json"} if one.body else {})}
        for _ in range(3):
            connection = connection_to(one.port)
            try:
                connection.request(one.method, one.path, one.body, sent)
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException):  # it closed the connection after the one before
                connection.close()
                continue
            return one, response.status, bytes(response.headers) + content
        raise AssertionError(f"no answer from {one}")

    try:
        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(ask, everything))
    finally:
        for connection in opened:
            connection.close()


def header(secret: str) -> dict[str, str]:
    return Credentials("root", secret).headers


def test_every_endpoint_refuses_whoever_is_not_the_owner(
    house: House, everything: list[Endpoint], ports: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    known = house.credentials
    assert known is not None
    before = stack_contents.at_rest(house)
    begin = time.perf_counter()
    closed = [one for one in everything if not one.is_open]
    ways = {
        "no secret": (closed, {}, {401}),
        "foreign origin": (everything, {**known.headers, "Origin": EVIL}, {403}),
        "another port's origin": (everything, {**known.headers, "Origin": "http://127.0.0.1:1"}, {403}),
        "foreign host": (everything, {**known.headers, "Host": f"evil.example:{ports['prefect']}"}, {403}),
        "wrong secret": (closed, header(known.secret[::-1]), {401}),
        "empty secret": (closed, header(""), {401}),
    }
    for way, (which, headers, expected) in ways.items():
        answers = asked(which, headers)
        wrong = [(status, one) for one, status, _ in answers if status not in expected]
        assert wrong == [], f"{way}: {Counter(status for status, _ in wrong)}"
        assert not any(known.secret.encode() in content for _, _, content in answers), way
        assert not any(b"access-control-allow" in content.lower() for _, _, content in answers), way
    seconds = time.perf_counter() - begin
    assert stack_contents.of(house) == before
    servers = Counter(one.port for one in everything)
    with capsys.disabled():
        print(f"\n{len(everything)} endpoints and methods {dict(servers)} x {len(ways)} ways: {seconds:.1f} s")


def test_some_of_them_answer_their_owner(house: House, everything: list[Endpoint], ports: dict[str, int]) -> None:
    """Else the test above would have asked three servers that refuse everything."""
    known = house.credentials
    assert known is not None
    some = {
        ports["prefect"]: ("/api/health", "/api/admin/version", "/api/ui-settings", "/docs"),
        ports["mlflow"]: ("/version", "/api/2.0/mlflow/experiments/search", "/"),
        ports[f"serve-{CALM}"]: ("/metrics", "/status", "/release", "/"),
    }
    answers = asked([Endpoint(port, "GET", path) for port, paths in some.items() for path in paths], known.headers)
    assert [(status, one) for one, status, _ in answers if status in (401, 403)] == []
    assert not any(known.secret.encode() in content for _, _, content in answers)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_another_user_of_the_machine_gets_nowhere(house: House, everything: list[Endpoint]) -> None:
    before = stack_contents.at_rest(house)
    home = house.project.state
    files: list[str] = []
    folders: list[str] = []
    for path in [home, *home.rglob("*")]:
        (folders if path.is_dir() else files).append(str(path.relative_to(house.root)))
    processes = stack_processes(house)
    unix = {str(one.laddr) for process in processes for one in process.net_connections("unix") if one.laddr}
    assert any(name.startswith("/tmp/modelyard-") or "modelyard-" in name for name in unix)
    job = {
        "folder": str(house.root),
        "requests": [(*one[:3], one.body) for one in everything if not one.is_open],
        "files": files,
        "folders": folders,
        "sockets": [*unix, os.path.relpath(home / "stack" / "supervisor.sock", house.root)],
        "processes": [process.pid for process in processes],
    }
    done = subprocess.run(
        [sys.executable, "-S", other_user.__file__], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result.pop("user") == other_user.NOBODY
    assert result.pop("tried") > 0
    assert result == {"answers": [], "files": [], "folders": [], "sockets": [], "processes": []}
    assert ".modelyard/stack/secret" in files
    assert stack_contents.of(house) == before


def stack_processes(house: House) -> list[psutil.Process]:
    return orphans.find(str(house.root))


def test_every_port_of_the_stack_has_a_door(house: House, ports: dict[str, int]) -> None:
    known = house.credentials
    assert known is not None
    behind_a_door, listening = set(ports.values()), {}
    for process in stack_processes(house):
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN or (one.type == socket.SOCK_DGRAM and not one.raddr):
                assert one.laddr.ip in ("127.0.0.1", "::1"), f"{process} listens on {one.laddr}"
                assert one.type == socket.SOCK_STREAM
                listening[one.laddr.port] = process
        for one in process.net_connections("unix"):
            if one.laddr and one.status == psutil.CONN_LISTEN:
                assert not str(one.laddr).startswith("@"), "an abstract socket has no mode"
    assert behind_a_door <= listening.keys()
    for port in behind_a_door:
        assert challenge.is_ours("127.0.0.1", port, known.secret)
    others = {port: process for port, process in listening.items() if port not in behind_a_door}
    # Prefect's worker hears from its runs there; each has a token of its own.
    assert {orphans.program_of(process) for process in others.values()} <= {"runner"}
    for port in others:
        for said in (b"", b"\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"x" * 100_000, b"\0" * 64 + b"\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connected:
                heard = b""
                try:
                    connected.sendall(said)
                    connected.shutdown(socket.SHUT_WR)
                    heard = connected.recv(100)
                except (ConnectionResetError, BrokenPipeError):
                    pass
                assert heard == b"", f"port {port} answers {heard!r} to {said[:20]!r}"


def test_the_secret_stands_in_one_file_alone(house: House) -> None:
    known = house.credentials
    assert known is not None
    forms = [known.secret.encode(), *encoded(known)]
    found = []
    for path in house.root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if any(form in content for form in forms):
                found.append(str(path.relative_to(house.root)))
    assert found == [".modelyard/stack/secret"]
    for process in psutil.process_iter():
        try:
            words = "\0".join(process.cmdline()).encode(errors="surrogateescape")
        except psutil.Error:
            continue
        assert not any(form in words for form in forms), process.name()


def encoded(known: Credentials) -> list[bytes]:
    """The secret inside base64 of `user:secret`, whatever is before it."""
    text = known.secret.encode()
    return [base64.b64encode(text[shift : shift + 30]) for shift in (0, 1, 2)]


def test_all_of_the_state_is_the_owners_alone(house: House) -> None:
    assert stat.S_IMODE(house.project.state.stat().st_mode) == 0o700
    assert stat.S_IMODE((house.project.state / "stack" / "secret").stat().st_mode) == 0o600
    open_to_others = [
        f"{stat.S_IMODE(path.lstat().st_mode):o} {path.relative_to(house.root)}"
        for path in house.project.state.rglob("*")
        if not path.is_symlink() and path.lstat().st_mode & 0o002
    ]
    assert open_to_others == []
    for process in stack_processes(house):
        umask = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "Umask" in line)
        assert umask.split()[1] == "0077", f"{process.cmdline()}: {umask}"
