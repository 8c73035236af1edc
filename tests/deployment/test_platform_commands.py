"""The commands of the platform's files, as plain processes on a real PostgreSQL, Redis and S3, where they are there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import yaml

from components.deployment import platform_balancer, platform_scripts, platform_systemd, target_files
from flows.platform import ports
from tests import postgres_server, redis_server, s3_server
from tests.authority import Authority

MISSING = postgres_server.missing() or redis_server.missing()
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]
LOGINS = {"prefect-login": ("modelyard", "of-prefect"), "mlflow-login": ("admin", "of-mlflow-0123")}
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


@dataclass
class Platform:
    """Where the stores are, and what runs.

    Args:
        variables: places and credentials, in place of those that the files name.
        numbers: ports of this test, by those of the files.
    """

    folder: Path
    variables: Mapping[str, str]
    numbers: Mapping[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """A text with this test's ports and temporary folder."""
        for written, own in self.numbers.items():
            text = text.replace(written, own)
        return re.sub(r"(?<![\w/])/tmp/", f"{self.folder}/tmp/", text)

    def start(
        self, name: str, command: list[str], variables: Mapping[str, str], listening: socket.socket | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command as systemd or compose does; `listening` becomes its descriptor 3."""
        own = {key: self.here(value) for key, value in variables.items()}
        environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **own, **self.variables}
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                preexec_fn=_third(listening) if listening is not None else None,
                pass_fds=(3,) if listening is not None else (),
            )
        self.running[name] = process
        return process

    def finish(self, name: str, command: list[str], variables: Mapping[str, str]) -> None:
        """Run a command to its end."""
        assert self.start(name, command, variables).wait(240) == 0, self.log(name)

    def log(self, name: str) -> str:
        """The end of a log."""
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def kill(self, name: str) -> None:
        """End a command and its children at once."""
        os.killpg(self.running[name].pid, signal.SIGKILL)
        self.running.pop(name).wait()


def _third(listening: socket.socket) -> Callable[[], None]:
    return lambda: os.dup2(listening.fileno(), 3, inheritable=True) and None


@pytest.fixture(params=[False])
def platform(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Platform]:
    """Stores with what README.md asks for; with a true parameter both databases accept TLS only."""
    with ExitStack() as started:
        authority = Authority.new(tmp_path) if request.param else None
        files = authority.server() if authority is not None else None
        database = started.enter_context(postgres_server.running(files))
        messages = started.enter_context(redis_server.running(files))
        secrets = {
            "postgres-password": "of-postgres",
            "redis-password": redis_server.PASSWORD,
            "mlflow-session-key": "0123456789abcdef",
            "s3-access-key": "team",
            "s3-secret-key": "secret",
            **{name: ":".join(login) for name, login in LOGINS.items()},
        }
        assert secrets.keys() == set(platform_scripts.SECRETS)
        (tmp_path / "credentials").mkdir()
        for name, value in secrets.items():
            (tmp_path / "credentials" / name).write_text(f"{value}\n")
        (tmp_path / "tmp" / "home").mkdir(parents=True)
        login = {"user": postgres_server.USER, "password": postgres_server.PASSWORD}
        with closing(psycopg.connect(database.url, autocommit=True, sslmode="prefer", **login)) as connection:
            connection.execute(b"CREATE USER modelyard PASSWORD 'of-postgres'")
            for name in (b"prefect", b"mlflow", b"mlflow_login"):
                connection.execute(b"CREATE DATABASE " + name + b" OWNER modelyard")
        variables = {
            "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
            "DATABASE": f"127.0.0.1:{database.port}",
            "REDIS": f"127.0.0.1:{messages.port}/3",
            "ARTIFACTS": str(tmp_path / "artifacts"),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),  # the working directory of a unit
        }
        if authority is not None:
            variables |= {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(authority.certificate)}
            variables |= {"REDIS_TLS": "yes", "REDIS_CA": str(authority.certificate)}
        if s3_server.missing() is None:
            (tmp_path / "s3").mkdir()
            store = started.enter_context(s3_server.running(tmp_path / "s3"))
            variables |= {"MLFLOW_S3_ENDPOINT_URL": store["AWS_ENDPOINT_URL_S3"], "ARTIFACTS": "s3://mlflow"}
        first = ports.choose(29000, ())
        numbers = {"4200": str(first), "5000": str(ports.choose(first + 1, ()))}
        found = Platform(tmp_path, variables, numbers)
        try:
            yield found
        finally:
            for name in list(found.running):
                if found.running[name].poll() is None:
                    found.kill(name)


def _eventually(platform: Platform, check: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if check():
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, {name: platform.log(name) for name in platform.running}
        time.sleep(0.5)


def _status(url: str, login: tuple[str, str] | None = None, body: object = None) -> int:
    with httpx.Client(auth=login, timeout=10, verify=False) as client:  # a connection of its own
        return client.request("GET" if body is None else "POST", url, json=body).status_code


def _both_accept(platform: Platform) -> bool:
    """Whether of some connections each API server has one."""
    port = int(platform.numbers["4200"])
    with ExitStack() as opened:
        for _ in range(20):
            client = opened.enter_context(httpx.Client(timeout=10, verify=False))
            client.get(f"http://127.0.0.1:{port}/api/health")
        servers = [psutil.Process(platform.running[name].pid) for name in ("prefect-1", "prefect-2")]
        return all(
            any(one.status == "ESTABLISHED" and one.laddr.port == port for one in server.net_connections("tcp"))
            for server in servers
        )


def _scheduler_works(api: str) -> bool:
    """Whether the background services make runs of a schedule."""
    with httpx.Client(base_url=api, auth=LOGINS["prefect-login"], timeout=20, verify=False) as client:
        flow = client.post("/flows/", json={"name": "hourly"}).json()["id"]
        schedule = {"schedule": {"interval": 3600.0}, "active": True}
        body = {"name": "hourly", "flow_id": flow, "schedules": [schedule]}
        client.post("/deployments/", json=body).raise_for_status()
        runs = client.post("/flow_runs/filter", json={"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}})
        return len(runs.json()) > 0


def _check(platform: Platform, kill: str) -> None:
    """Ask what the platform is for, and kill one API server meanwhile."""
    api = f"http://127.0.0.1:{platform.numbers['4200']}/api"
    mlflow = f"http://127.0.0.1:{platform.numbers['5000']}"
    search = "/api/2.0/mlflow/experiments/search"
    _eventually(platform, lambda: _status(f"{api}/health") == 200)
    assert _status(f"{api}/flows/filter", body={}) == 401
    assert _status(f"{api}/flows/filter", LOGINS["prefect-login"], body={}) == 200
    _eventually(platform, lambda: _scheduler_works(api))
    alive = ["sh", "-euc", platform_scripts.services_are_alive()]
    platform.finish("alive", alive, {})
    _eventually(platform, lambda: _status(f"{mlflow}/health") == 200)
    assert _status(f"{mlflow}{search}", body={"max_results": 1}) == 401
    assert _status(f"{mlflow}{search}", LOGINS["mlflow-login"], body={"max_results": 1}) == 200
    platform.kill(kill)
    time.sleep(3)  # a balancer's two looks
    assert {_status(f"{api}/flows/filter", LOGINS["prefect-login"], body={}) for _ in range(50)} == {200}
    platform.kill("prefect-services")
    time.sleep(15)  # the life of its entry in Redis
    assert platform.start("dead", alive, {}).wait(60) != 0
    logs = "".join(platform.log(name) for name in ("prefect-1", "prefect-2", "mlflow"))
    assert "Traceback" not in logs


@pytest.mark.parametrize("platform", [True], indirect=True, ids=["tls"])
def test_the_units_commands_run(platform: Platform) -> None:
    found = {name.partition("/")[2]: text for name, text in target_files.of_platform("systemd").items()}
    for name, text in found.items():
        if name.startswith("bin/"):
            path = platform.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(platform.here(text))
            path.chmod(0o755)

    def unit(name: str) -> tuple[list[str], dict[str, str]]:
        text = found[name]
        lines = re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
        words = " ".join(line for line in lines if not line.startswith("PATH=")).split()
        (command,) = re.findall(rf"^ExecStart={platform_systemd.BIN}/(.*)$", text, re.MULTILINE)
        return [str(platform.folder / "bin" / command)], dict(word.split("=", 1) for word in words)

    for _ in range(2):  # the second time nothing is to do
        platform.finish("migrations", *unit("modelyard-migrations.service"))
    with socket.create_server(("127.0.0.1", int(platform.numbers["4200"])), backlog=512) as listening:
        for number in (1, 2):
            platform.start(f"prefect-{number}", *unit("modelyard-prefect-api@.service"), listening)
        platform.start("prefect-services", *unit("modelyard-prefect-services.service"))
        platform.start("mlflow", *unit("modelyard-mlflow.service"))
        waiting = platform.start("wait", [str(platform.folder / "bin" / "wait-for-servers")], {})
        assert waiting.wait(240) == 0
        _eventually(platform, lambda: _both_accept(platform))
        _check(platform, "prefect-1")


@pytest.mark.skipif(HAPROXY is None, reason="no haproxy here: apt-get install haproxy")
@pytest.mark.skipif(s3_server.missing() is not None, reason=str(s3_server.missing()))
def test_the_containers_commands_run(platform: Platform) -> None:
    services = yaml.safe_load(target_files.of_platform("compose")["platform/compose.yaml"])["services"]

    def service(name: str, port: str | None = None) -> tuple[list[str], dict[str, str]]:
        script = services[name]["command"][-1].replace("$$", "$").replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        script = script.replace("4200", port) if port is not None else script
        written = services[name]["environment"].items()
        defaults = {key: re.sub(r"^\$\{[A-Z_]+:-(.*)\}$", r"\1", value) for key, value in written}
        return [*services[name]["command"][:-1], platform.here(script)], defaults

    platform.finish("setup", *service("setup"))
    addresses = []
    for number in (1, 2):
        port = str(ports.choose(29400 + 50 * number, ()))
        addresses.append(f"127.0.0.1:{port}")
        platform.start(f"prefect-{number}", *service(f"prefect-{number}", port))
    platform.start("prefect-services", *service("prefect-services"))
    platform.start("mlflow", *service("mlflow"))
    configuration = platform_balancer.configuration(addresses, f"127.0.0.1:{platform.numbers['4200']}")
    (platform.folder / "haproxy.cfg").write_text(configuration)
    platform.start("prefect", [str(HAPROXY), "-f", str(platform.folder / "haproxy.cfg")], {})
    for address in addresses:
        _eventually(platform, lambda address=address: _status(f"http://{address}/api/health") == 200)
    probe = services["prefect"]["healthcheck"]["test"][1:]
    _eventually(
        platform, lambda: subprocess.run([platform.here(word) for word in probe], check=False).returncode == 0, 30
    )
    _check(platform, "prefect-2")
