"""A real Redis in a temporary folder, for tests; it asks for a password."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from flows.platform import ports

INSTALL = "apt-get install redis-server"
PASSWORD = "another-secret-of-the-test"  # noqa: S105


def missing() -> str | None:
    """Why there can be no Redis here; None if there can."""
    return None if shutil.which("redis-server") else f"no redis-server here: {INSTALL}"


@dataclass(frozen=True)
class RedisServer:
    """A running Redis."""

    port: int

    @property
    def url(self) -> str:
        """Of a database of it, without the password."""
        return f"redis://127.0.0.1:{self.port}/3"


@contextmanager
def running() -> Iterator[RedisServer]:
    """A new, empty Redis."""
    folder = Path(tempfile.mkdtemp(prefix="yard-redis-"))
    port = ports.choose(26379, ())
    (folder / "redis.conf").write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass {PASSWORD}\nsave ""\nappendonly no\ndir {folder}\n'
    )
    process = subprocess.Popen(["redis-server", str(folder / "redis.conf")], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with redis.Redis(port=port, password=PASSWORD, protocol=2) as client:
                    client.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.05)
        yield RedisServer(port)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
