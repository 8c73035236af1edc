"""A session with the agent of one host: a process of OpenSSH, or of this machine, that forwards the agent's socket.

The user's own `ssh` is called: names, keys, ports and jumps come from ~/.ssh/config and the key agent. It asks for no
password: a host that it cannot log in to by itself is absent.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shlex
import subprocess
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import httpx

from components.access import http_client, project_door
from components.contracts import settings as settings_file
from components.contracts.settings import HostSettings
from components.core.errors import ModelyardError, StackError
from components.core.project import Project
from flows.platform.process_mark import PROGRAM, STACK
from flows.serving_targets import session_folder
from flows.serving_targets.host_protocol import FORMAT, READY_LINE
from flows.serving_targets.session_folder import SessionFolder

CONNECT_SECONDS = 30.0
_SSH_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "LogLevel": "ERROR",
    "ExitOnForwardFailure": "yes",
    "StreamLocalBindUnlink": "yes",
    "ControlMaster": "no",
    "ControlPath": "none",
    "RequestTTY": "no",
}

_remove_left = functools.cache(session_folder.remove_left)  # once in a process


class HostAbsentError(StackError):
    """A host cannot be reached, or does not answer in time."""


class OtherVersionError(HostAbsentError):
    """The agent of a host speaks another interface than this version."""


def place(settings: HostSettings) -> str:
    """The folder of a host, as `scp` names it."""
    return f"{settings.ssh}:{settings.folder}" if settings.ssh else settings.folder


def absent(name: str, settings: HostSettings, why: str) -> HostAbsentError:
    """The error for a host that does not answer."""
    by_hand = f"`ssh {settings.ssh} true` shows whether it lets you in" if settings.ssh else None
    next_step = f"{by_hand or 'look at its folder'}; or take [hosts.{name}] out of {settings_file.FILE_NAME}"
    return HostAbsentError(f"the host {name} does not answer", where=place(settings), got=why, next_step=next_step)


def ssh_options(destination: str) -> Mapping[str, str]:
    """What `ssh` knows of a host; nothing where it cannot be asked."""
    words = ["ssh", "-G", destination]
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {key: value for key, _, value in (line.partition(" ") for line in reversed(said.stdout.splitlines()))}


class HostSession:
    """The process, and the folder with its socket.

    Args:
        address: by which others reach the host.
    """

    def __init__(self, project: Project, name: str, settings: HostSettings, address: str) -> None:
        self._project, self._name, self._settings, self._address = project, name, settings, address
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: SessionFolder | None = None

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def open(self) -> httpx.Client:
        """Begin anew; returns a client of the agent.

        Raises:
            HostAbsentError: the host does not let this in, or its agent does not start.
            OtherVersionError: the agent speaks another interface.
            ModelyardError: what the agent raised: the folder is another project's.
            OSError, httpx.HTTPError: the process cannot be started, or does not answer.
        """
        self.close()
        settings = self._settings
        if settings.ssh is None and not (Path(settings.folder) / settings.python).is_file():
            raise self._absent(f"{settings.folder} has no {settings.python}: `make install` there makes it")
        _remove_left()
        self._folder = SessionFolder()
        socket = self._folder.path / "agent"
        self._process = self._start(socket, self._folder.path / "stderr")
        self._greet(self._process, self._folder.path / "stderr")
        with ExitStack() as on_failure:
            client = http_client.over_socket(socket)
            on_failure.callback(client.close)
            secret = project_door.secret_of(self._project)
            names = sorted(settings_file.read(self._project.root).hosts)
            asked = {"secret": secret, "name": self._name, "names": names}
            response = client.post("/claim", json=asked, timeout=CONNECT_SECONDS)
            if not response.is_success:
                raise ModelyardError.from_dict(response.json())
            on_failure.pop_all()
        return client

    def close(self) -> None:
        """End the process, and remove its folder."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.remove()

    def _absent(self, why: str) -> HostAbsentError:
        return absent(self._name, self._settings, why)

    def _start(self, socket: Path, stderr: Path) -> subprocess.Popen[bytes]:
        # The marks of this process's own stack are not the host's.
        variables = {key: value for key, value in os.environ.items() if key not in (PROGRAM, STACK)}
        variables.pop("MODELYARD_PROJECT", None)
        with stderr.open("wb") as errors:
            return subprocess.Popen(
                self._command(socket),
                stdin=subprocess.PIPE,  # its end is the session's
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=None if self._settings.ssh else self._settings.folder,
                env=variables,
                start_new_session=True,  # Ctrl-C in a terminal ends what asks, which then ends this
            )

    def _greet(self, process: subprocess.Popen[bytes], stderr: Path) -> None:
        """Wait for the agent's first line, and refuse one of another version."""
        assert process.stdout is not None  # noqa: S101
        line = _line_within(process.stdout, CONNECT_SECONDS)
        if not line.startswith(READY_LINE):
            process.kill()
            process.wait()
            said = stderr.read_text(errors="replace").strip().splitlines()
            raise self._absent(" ".join(said[-3:])[-500:] or line or f"exit code {process.returncode}")
        if line.removeprefix(READY_LINE).strip() != str(FORMAT):
            raise OtherVersionError(
                f"the host {self._name} has another version of Modelyard",
                where=place(self._settings),
                got=f"it speaks interface {line.removeprefix(READY_LINE).strip()}",
                expected=f"interface {FORMAT}, as this version does",
                next_step="`git pull` and `make install` in the clone with the older version",
            )

    def _command(self, socket: Path) -> list[str]:
        settings = self._settings
        module = ["-m", "flows.serving_targets.host_agent", settings.folder]
        listen = ["--listen", settings.listen, "--address", self._address]
        if settings.ssh is None:
            return [str(Path(settings.folder) / settings.python), *module, str(socket), *listen]
        remote = f"{settings.folder}/.modelyard/hosts/{secrets.token_hex(4)}"
        inside = shlex.join([settings.python, *module, remote, *listen])
        # An own umask and no variables of the caller; `exec`, so that the end of the session reaches the agent.
        words = f"cd {shlex.quote(settings.folder)} && exec {inside}"
        options = [word for key, value in _SSH_OPTIONS.items() for word in ("-o", f"{key}={value}")]
        return ["ssh", "-T", *options, "-L", f"{socket}:{remote}", settings.ssh, "--", words]


def _line_within(stream: IO[bytes], seconds: float) -> str:
    """The first line of a stream; empty if none comes in time."""
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(stream.readline(500)), daemon=True)
    reader.start()
    reader.join(seconds)
    return found[0].decode(errors="replace").strip() if found else ""
