"""A real Redis in a temporary folder, for tests; it asks for a password."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
    has_tls: bool = False

    @property
    def url(self) -> str:
        """Of a database of it, without the password."""
        return f"redis{'s' if self.has_tls else ''}://127.0.0.1:{self.port}/3"


@contextmanager
def running(tls: tuple[Path, Path] | None = None) -> Iterator[RedisServer]:
    """A new, empty Redis.

    Args:
        tls: files of its certificate and key; it accepts no connection without TLS then.
    """
    folder = Path(tempfile.mkdtemp(prefix="yard-redis-"))
    port = ports.choose(26379, ())
    listen = f"port {port}\n"
    if tls is not None:
        listen = f"port 0\ntls-port {port}\ntls-cert-file {tls[0]}\ntls-key-file {tls[1]}\ntls-auth-clients no\n"
    (folder / "redis.conf").write_text(
        f'bind 127.0.0.1\n{listen}requirepass {PASSWORD}\nsave ""\nappendonly no\ndir {folder}\n'
    )
    process = subprocess.Popen(["redis-server", str(folder / "redis.conf")], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)):
                    break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.05)
        yield RedisServer(port, tls is not None)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
