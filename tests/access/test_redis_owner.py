"""Two Prefects on one database of Redis are told apart, before a server starts; the same database is one Prefect."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis

from components.access import redis_owner, server_database, server_redis
from components.core.errors import StackError, UsageError
from components.core.project import Project
from flows.platform import diagnostics, lifecycle, migrations, prefect_server, prefect_services
from tests import postgres_server, redis_server

MISSING = postgres_server.missing() or redis_server.missing()
pytestmark = [pytest.mark.skipif(MISSING is not None, reason=str(MISSING)), pytest.mark.slow]
TOML = """[servers]
prefect = "{database}"
credentials = {{env = "MODELYARD_SERVERS_CREDENTIALS"}}
redis = "{redis}"
"""


@dataclass
class Servers:
    database: postgres_server.PostgresServer
    redis: redis_server.RedisServer

    def project(self, folder: Path, database: str, host: str = "127.0.0.1") -> Project:
        """A project with a database of its own, or with that of another machine."""
        folder.mkdir(parents=True)
        named = f"postgresql://{host}:{self.database.port}/{database}"
        (folder / "modelyard.toml").write_text(TOML.format(database=named, redis=self.redis.url))
        return Project(folder)

    def messages(self) -> redis.Redis:
        return redis.Redis(port=self.redis.port, db=3, password=redis_server.PASSWORD, protocol=2)


@pytest.fixture(scope="module")
def started() -> Iterator[Servers]:
    with postgres_server.running() as database, redis_server.running() as messages:
        user, _, password = database.credentials.partition(":")
        with closing(psycopg.connect(database.url, user=user, password=password, autocommit=True)) as connection:
            for name in (b"one", b"two"):
                connection.execute(b"CREATE DATABASE " + name)
        yield Servers(database, messages)


@pytest.fixture
def servers(started: Servers, monkeypatch: pytest.MonkeyPatch) -> Servers:
    monkeypatch.setenv(server_redis.CREDENTIALS, redis_server.PASSWORD)
    monkeypatch.setenv("MODELYARD_SERVERS_CREDENTIALS", started.database.credentials)
    with started.messages() as client:
        client.flushall()
    return started


def test_machines_of_one_database_share_a_redis_and_another_database_does_not(servers: Servers, tmp_path: Path) -> None:
    first = servers.project(tmp_path / "a", "one")
    assert not redis_owner.check(first)
    redis_owner.claim(first)
    beside = servers.project(tmp_path / "b", "one", host="localhost")
    redis_owner.claim(beside)
    assert redis_owner.check(beside)
    other = servers.project(tmp_path / "c", "two")
    with pytest.raises(redis_owner.ForeignRedisError) as caught:
        redis_owner.claim(other)
    assert f"postgresql://127.0.0.1:{servers.database.port}/one" in str(caught.value.got)
    assert "--take-redis" in str(caught.value.next_step)
    assert f"127.0.0.1:{servers.redis.port}/7;" in str(caught.value.next_step)
    assert caught.value.where == servers.redis.url
    text = " ".join(caught.value.lines())
    assert redis_server.PASSWORD not in text
    assert postgres_server.PASSWORD not in text
    redis_owner.claim(other, take=True)
    with pytest.raises(redis_owner.ForeignRedisError):
        redis_owner.check(first)
    with servers.messages() as client:
        assert postgres_server.PASSWORD.encode() not in client.get(redis_owner.KEY)
        client.set(redis_owner.KEY, b"\xff")
    with pytest.raises(redis_owner.ForeignRedisError, match="another Prefect"):
        redis_owner.check(first)


def test_of_two_that_claim_at_once_one_succeeds(servers: Servers, tmp_path: Path) -> None:
    for number in range(5):
        with servers.messages() as client:
            client.delete(redis_owner.KEY)
        projects = [servers.project(tmp_path / f"{name}{number}", name) for name in ("one", "two")]
        owners = [redis_owner.of_project(project) for project in projects]
        refused, barrier = [], threading.Barrier(2)

        def claim(index: int, projects=projects, owners=owners, refused=refused, barrier=barrier) -> None:  # type: ignore[no-untyped-def]
            barrier.wait()
            try:
                redis_owner.write(server_redis.url(projects[index]), servers.redis.url, owners[index])
            except redis_owner.ForeignRedisError:
                refused.append(index)

        threads = [threading.Thread(target=claim, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1


def test_nothing_of_a_stack_starts_on_another_ones_redis(servers: Servers, tmp_path: Path) -> None:
    redis_owner.claim(servers.project(tmp_path / "a", "one"))
    other = servers.project(tmp_path / "b", "two")
    with pytest.raises(redis_owner.ForeignRedisError):
        lifecycle.up(other, log=lambda _: None)
    assert not (other.state / "stack" / "programs").exists()
    assert server_database_is_empty(other)
    for start in (prefect_server.require_own_redis, lambda project: migrations.run_if_shared(project, print)):
        with pytest.raises(redis_owner.ForeignRedisError):
            start(other)
    finding = next(one for one in diagnostics.diagnose(other) if one.check == "redis")
    assert (finding.verdict, "another Prefect" in finding.found) == ("fail", True)
    assert "--take-redis" in finding.what_to_do
    own = next(one for one in diagnostics.diagnose(Project(tmp_path / "a")) if one.check == "redis")
    assert own.verdict == "ok"
    said: list[str] = []
    lifecycle._take_redis(other, said.append)
    assert said == [f"{servers.redis.url} is this project's from now on"]
    assert redis_owner.check(other)


def server_database_is_empty(project: Project) -> bool:
    address = server_database.url(project, "prefect", "postgresql")
    with server_database.first_start(address, "[servers] prefect") as is_empty:
        return is_empty


def test_services_claim_an_emptied_redis_again_and_end_on_one_that_was_taken(servers: Servers, tmp_path: Path) -> None:
    project, other = servers.project(tmp_path / "a", "one"), servers.project(tmp_path / "b", "two")

    async def keep() -> None:
        keeping = asyncio.create_task(prefect_services._keep_redis(project, 0.05))
        for _ in range(2):
            while not await asyncio.to_thread(redis_owner.check, project):
                await asyncio.sleep(0.02)
            with servers.messages() as client:
                client.flushdb()
        while not await asyncio.to_thread(redis_owner.check, project):
            await asyncio.sleep(0.02)
        (project.root / "modelyard.toml").write_text("[wrong]\n")  # of the next start
        redis_owner.claim(other, take=True)
        await keeping

    with pytest.raises(redis_owner.ForeignRedisError):
        asyncio.run(asyncio.wait_for(keep(), 20))


def test_servers_start_while_a_redis_is_away(servers: Servers, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    project = servers.project(tmp_path / "a", "one")
    path = project.root / "modelyard.toml"
    path.write_text(path.read_text().replace(servers.redis.url, "redis://127.0.0.1:1"))
    prefect_server.require_own_redis(project)
    assert "could not be asked" in capfd.readouterr().err
    with pytest.raises(StackError):
        redis_owner.claim(project)


def test_without_a_redis_there_is_nothing_to_take(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Redis to take"):
        lifecycle.up(Project(tmp_path), log=lambda _: None, take_redis=True)
