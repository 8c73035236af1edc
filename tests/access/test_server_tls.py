"""TLS to PostgreSQL and Redis with an authority of one's own, by every driver that a project's servers use."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.access import redis_owner, server_database, server_redis, server_tls
from components.core.errors import StackError
from components.core.project import Project
from components.release import ledger_place
from flows.platform import diagnostics, prefect_server
from tests import postgres_server, redis_server
from tests.authority import Authority

MISSING = postgres_server.missing() or redis_server.missing()
pytestmark = [pytest.mark.skipif(MISSING is not None, reason=str(MISSING)), pytest.mark.slow]


@dataclass
class Servers:
    """Of which each accepts TLS only, and the files of authorities: theirs, and another one."""

    database: postgres_server.PostgresServer
    redis: redis_server.RedisServer
    own: Authority
    other: Authority

    def project(self, folder: Path, authority: str, host: str = "127.0.0.1") -> Project:
        """A project that trusts one authority."""
        place = f"{host}:{self.database.port}/postgres?sslmode=verify-full&sslrootcert={authority}"
        (folder / "modelyard.toml").write_text(
            f'[servers]\nprefect = "postgresql://{place}"\n'
            f'redis = "rediss://{host}:{self.redis.port}/3?ssl_ca_certs={authority}"\n'
            f'[connections]\nledger = "postgresql://{place}"\n'
        )
        return Project(folder)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("certificates")
    own, other = Authority.new(folder), Authority.new(folder, "other")
    files = own.server("db.example")
    with postgres_server.running(files) as database, redis_server.running(files) as messages:
        yield Servers(database, messages, own, other)


@pytest.fixture
def servers(started: Servers, monkeypatch: pytest.MonkeyPatch) -> Servers:
    monkeypatch.setenv(server_redis.CREDENTIALS, redis_server.PASSWORD)
    for name in (server_database.CREDENTIALS, ledger_place.CREDENTIALS):
        monkeypatch.setenv(name, started.database.credentials)
    for name in [name for name in os.environ if name.startswith("PGSSL")]:
        monkeypatch.delenv(name)
    return started


def is_encrypted(project: Project, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Ask PostgreSQL through Prefect's own engine."""
    import sqlalchemy
    from prefect.context import SettingsContext, get_settings_context
    from prefect.server.database.configurations import AsyncPostgresConfiguration
    from prefect.settings import Settings

    variables = prefect_server.variables(project)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    async def ask() -> bool:
        engine = await AsyncPostgresConfiguration(variables["PREFECT_SERVER_DATABASE_CONNECTION_URL"]).engine()
        async with engine.connect() as connection:
            query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            found = (await connection.execute(sqlalchemy.text(query))).scalar_one()
        await engine.dispose()
        return bool(found)

    with SettingsContext(profile=get_settings_context().profile, settings=Settings()):
        return asyncio.run(ask())


async def uses_redis(address: str) -> None:
    """Prefect's messages and background tasks."""
    import docket
    from prefect_redis.connection import redis_from_url

    async with redis_from_url(address, asynchronous=True) as client:
        await client.ping()
    async with docket.Docket(name="test", url=address) as queue:
        await queue.workers()


def test_every_driver_of_the_servers_verifies_both(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "ca.pem").write_bytes(servers.own.certificate.read_bytes())
    project = servers.project(tmp_path, "a%20folder/ca.pem")  # relative to the project
    monkeypatch.chdir("/")
    redis_owner.claim(project)
    assert is_encrypted(project, monkeypatch)
    asyncio.run(uses_redis(server_redis.url(project)))
    findings = {one.check: one for one in diagnostics.diagnose(project)}
    for check in ("databases", "redis", "ledger"):
        assert findings[check].verdict == "ok", findings[check]


def test_a_wrong_authority_is_one_clear_error(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = servers.project(tmp_path, str(servers.other.certificate))
    asking = (
        lambda: server_redis.examine(project),
        lambda: redis_owner.of_project(project),
    )
    for ask in asking:
        with pytest.raises(StackError) as caught:
            ask()
        assert "certificate verify failed" in str(caught.value.got)
        assert "has to be the authority that signed" in str(caught.value.next_step)
        assert str(caught.value.where).endswith(str(servers.other.certificate))
        assert "unable to verify the first certificate" in answer_of(str(caught.value.next_step))
    with pytest.raises(ssl.SSLError):
        is_encrypted(project, monkeypatch)


def answer_of(next_step: str) -> str:
    """What the command that an error names prints."""
    command = re.search(r"`(openssl [^`]+)`", next_step)
    assert command is not None, next_step
    done = subprocess.run(["sh", "-c", command[1]], capture_output=True, text=True, check=False)
    return next(line for line in done.stdout.splitlines() if "Verify return code" in line)


def test_an_expired_certificate_is_told_from_another_authority(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_server.running(servers.own.server("late.example", has_expired=True)) as late:
        place = f"127.0.0.1:{late.port}/postgres?sslmode=verify-full&sslrootcert={servers.own.certificate}"
        (tmp_path / "modelyard.toml").write_text(f'[servers]\nprefect = "postgresql://{place}"\n')
        monkeypatch.setenv(server_database.CREDENTIALS, late.credentials)
        with pytest.raises(StackError) as caught:
            redis_owner.of_project(Project(tmp_path))
        assert "must not have expired" in str(caught.value.next_step)
        assert "certificate has expired" in answer_of(str(caught.value.next_step))


def test_redis_says_itself_that_a_certificate_has_expired() -> None:
    got = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)"
    assert "renew the server's certificate" in server_tls.next_step(got, "rediss://h:1/0", "start it")
    assert server_tls.next_step("refused", "rediss://h:1/0", "start it") == "start it"


def test_a_certificate_for_another_host_is_refused(servers: Servers, tmp_path: Path) -> None:
    project = servers.project(tmp_path, str(servers.own.certificate), host="localhost")
    for ask in (server_redis.examine, redis_owner.of_project):
        with pytest.raises(StackError) as caught:
            ask(project)
        assert "the host in the URL has to be one that stands in" in str(caught.value.next_step)


def test_a_file_that_is_not_there_is_named(servers: Servers, tmp_path: Path) -> None:
    project = servers.project(tmp_path, "certificates/ca.pem")
    for ask in (server_redis.examine, redis_owner.of_project, prefect_server.variables):
        with pytest.raises(StackError, match="certificate file of a server cannot be read") as caught:
            ask(project)
        assert f"{tmp_path}/certificates/ca.pem: No such file" in str(caught.value.got)


def test_the_authorities_of_the_system(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = servers.project(tmp_path, server_tls.SYSTEM)
    path = project.root / "modelyard.toml"
    path.write_text(path.read_text().replace("?ssl_ca_certs=system", ""))
    with pytest.raises(StackError):
        redis_owner.claim(project)
    monkeypatch.setenv("SSL_CERT_FILE", str(servers.own.certificate))
    redis_owner.claim(project)
    assert is_encrypted(project, monkeypatch)
