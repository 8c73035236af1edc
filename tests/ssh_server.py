"""A real `sshd` of OpenSSH for one host of a test, on a free port, that lets one key in; and the `ssh` that uses it."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd") or next((path for path in ("/usr/sbin/sshd",) if Path(path).exists()), None)


def missing() -> str | None:
    """Why there can be none here; None if there can."""
    if SSHD is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        return "sshd and ssh of OpenSSH are not installed"
    return None


@dataclass
class SshServer:
    """One server; its name for `ssh` is that of its folder."""

    folder: Path
    port: int
    pid: int | None = None

    @property
    def name(self) -> str:
        """As `ssh` takes it."""
        return self.folder.name

    def start(self) -> None:
        """Start it; the key is made the first time."""
        self.folder.mkdir(exist_ok=True)
        for key in ("host", "user"):
            if not (self.folder / key).exists():
                words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key)]
                subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        lines = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self.folder / "host",
            "AuthorizedKeysFile": self.folder / "user.pub",
            "PidFile": self.folder / "pid",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
        }
        configuration = self.folder / "sshd_config"
        configuration.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        assert SSHD is not None
        (self.folder / "pid").unlink(missing_ok=True)
        subprocess.run([SSHD, "-f", str(configuration), "-E", str(self.folder / "log")], check=True)
        deadline = time.monotonic() + 10
        while not (self.folder / "pid").exists():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)
        self.pid = int((self.folder / "pid").read_text())

    def stop(self) -> None:
        """End it and its sessions, as if the machine were cut off."""
        import psutil

        if self.pid is None:
            return
        try:
            process = psutil.Process(self.pid)
            family = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        for one in family:
            try:
                one.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.pid = None


def client(folder: Path, servers: list[SshServer]) -> Mapping[str, str]:
    """The environment in which `ssh` knows the servers by name, as ~/.ssh/config would tell it."""
    folder.mkdir(exist_ok=True)
    sections = [
        f"Host {server.name}\n  HostName 127.0.0.1\n  Port {server.port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {server.folder / 'user'}\n  IdentitiesOnly yes\n  StrictHostKeyChecking accept-new\n"
        f"  UserKnownHostsFile {folder / 'known'}\n"
        for server in servers
    ]
    (folder / "config").write_text("\n".join(sections))
    program = folder / "ssh"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder / "config"} "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
