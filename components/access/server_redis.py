"""The Redis of a project's own Prefect, where `[servers] redis` names one: two API servers exchange messages there.

The URL with its password is made in the process that needs it, and stands in no file and in no command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from components.access import named_credentials, server_tls
from components.contracts import settings
from components.core.errors import StackError
from components.core.project import Project

CREDENTIALS = "MODELYARD_REDIS_CREDENTIALS"
TIMEOUT_SECONDS = 5.0
OLDEST = (6, 2)  # of Redis: Prefect's queues use XAUTOCLAIM (https://redis.io/docs/latest/commands/xautoclaim/)


@dataclass(frozen=True)
class RedisState:
    """What a Redis says of itself.

    Args:
        may_evict: whether it removes keys when its memory is full, so that messages would be lost.
    """

    version: str
    may_evict: bool


def is_named(project: Project) -> bool:
    """Whether the project's own Prefect runs as two API servers.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    return settings.read(project.root).servers.redis is not None


def named(project: Project) -> str:
    """The URL as the settings have it, without credentials.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    return str(settings.read(project.root).servers.redis)


def with_another_number(place: str) -> str:
    """A URL without credentials whose number is another one; its host and its parameters stay.

    Args:
        place: as `named` returns it; also HOST[:PORT][/NUMBER] alone, as the units of the platform have it.
    """
    scheme, found, rest = place.rpartition("://")
    _, host, path, query, _ = urlsplit(f"redis://{rest}")
    number = 8 if path == "/7" else 7
    return f"{scheme}{found}{host}/{number}{'?' if query else ''}{query}"


def url(project: Project) -> str:
    """The URL with user and password.

    Raises:
        SpecError, StackError: `modelyard.toml` or the credentials cannot be read.
    """
    found = settings.read(project.root).servers
    known = named_credentials.read(project.root, "redis", found.redis_credentials, CREDENTIALS)
    place = server_tls.with_files(str(found.redis), project.root)
    server_tls.require_files(place, str(found.redis))
    scheme, host, path, query, _ = urlsplit(place)
    login = f"{quote(known.user, safe='')}:{quote(known.secret, safe='')}@" if known is not None else ""
    return urlunsplit((scheme, login + host, path or "/0", query, ""))


def variables(address: str) -> dict[str, str]:
    """The settings of Prefect for servers that share a Redis, with the password.

    As in https://docs.prefect.io/v3/advanced/self-hosted, section "High availability".

    Args:
        address: as `url` returns it.
    """
    return {
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_URL": address,
        "PREFECT_SERVER_DOCKET_URL": address,
    }


@contextmanager
def client(address: str, where: str) -> Iterator[Any]:
    """A client of a Redis, of class `redis.Redis`.

    Args:
        address: as `url` returns it.
        where: the URL without credentials.

    Raises:
        StackError: the Redis does not answer, or refuses what the block asks.
    """
    import redis

    try:
        with redis.Redis.from_url(
            address, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, protocol=2
        ) as found:
            yield found
    except redis.RedisError as error:
        got = " ".join(str(error).split())
        otherwise = "correct redis and redis_credentials below [servers] in modelyard.toml, or start Redis"
        raise StackError(
            "the Redis of Prefect's servers does not answer, or may not be written to",
            where=where,
            got=got,
            next_step=server_tls.next_step(got, where, otherwise),
        ) from error


def examine(project: Project) -> RedisState:
    """Ask the Redis for its version, and write a key there and remove it.

    Raises:
        StackError: the Redis does not answer, is too old, or refuses to be written to.
    """
    where = named(project)
    with client(url(project), where) as found:
        about = found.info()
        found.set("modelyard:examined", "1", ex=60)
        found.delete("modelyard:examined")
    version = str(about["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise StackError("this Redis is too old", where=where, got=version, expected="6.2 or later")
    evicts = str(about.get("maxmemory_policy", "noeviction")) != "noeviction" and int(about.get("maxmemory", 0)) > 0
    return RedisState(version, evicts)
