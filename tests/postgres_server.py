"""A real PostgreSQL server in a temporary folder, for tests; run as root it has a user of its own."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.free_ports import free_port

INSTALL = "apt-get install postgresql"
USER, PASSWORD = "yard", "a-secret-of-the-test"


def _program(name: str) -> str | None:
    """The path of a program: Debian keeps the server's beside no other's."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name) or next((str(place / name) for place in places if (place / name).exists()), None)


def missing() -> str | None:
    """Why there can be no server here; None if there can."""
    if _program("initdb") is None:
        return f"no PostgreSQL here: {INSTALL}"
    if os.geteuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        return f"no user `postgres`, and root may not run the server: {INSTALL}"
    return None


@dataclass
class PostgresServer:
    """A server that can be stopped and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    has_tls: bool = False

    @property
    def url(self) -> str:
        """Of its database, without credentials."""
        return f"postgresql://127.0.0.1:{self.port}/postgres"

    @property
    def credentials(self) -> str:
        """USER:PASSWORD."""
        return f"{USER}:{PASSWORD}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = [str(_program("postgres")), "-D", str(self.folder / "data"), "-p", str(self.port)]
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_buffers": "16MB"}
        if self.has_tls:
            files = {"ssl_cert_file": self.folder / "tls.crt", "ssl_key_file": self.folder / "tls.key"}
            settings |= {"ssl": "on", **{key: str(path) for key, path in files.items()}}
        words += [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_as_user())
        ready = [str(_program("pg_isready")), "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, capture_output=True, check=False).returncode != 0:
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, as a crash does: its log makes it whole at the next start."""
        if self.process is not None:
            self.process.send_signal(3)  # "immediate"
            self.process.wait()
            self.process = None


@contextmanager
def running(tls: tuple[Path, Path] | None = None) -> Iterator[PostgresServer]:
    """A new server with an empty database, whose user needs a password.

    Args:
        tls: files of its certificate and key; it accepts no connection without TLS then.
    """
    folder = Path(tempfile.mkdtemp(prefix="yard-postgres-"))
    server = PostgresServer(folder, free_port())
    try:
        (folder / "password").write_text(PASSWORD)
        folder.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            shutil.chown(folder / "password", "postgres")
        words = [str(_program("initdb")), "-D", str(folder / "data"), "-U", USER, "-A", "scram-sha-256"]
        words += ["--pwfile", str(folder / "password"), "--no-sync", "-E", "UTF8"]
        subprocess.run(words, check=True, capture_output=True, cwd=folder, **_as_user())
        for source, name in zip(tls or (), ("tls.crt", "tls.key"), strict=False):
            (folder / name).write_bytes(source.read_bytes())
            (folder / name).chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(folder / name, "postgres")
        if tls is not None:
            server.has_tls = True
            rules = folder / "data" / "pg_hba.conf"
            rules.write_text(re.sub(r"(?m)^host\b", "hostssl", rules.read_text()))
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _as_user() -> dict[str, str | list[str]]:
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
