"""The connection from this process to the agent of one host: a session of OpenSSH that forwards the agent's socket.

The user's own `ssh` is called: names, keys, ports and jumps come from ~/.ssh/config and the key agent. It asks for no
password: a host that it cannot log in to by itself is absent.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import secrets
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import httpx
from pydantic import ValidationError

from components.access import http_client, project_door
from components.contracts import settings as settings_file
from components.contracts.settings import HostSettings
from components.core.errors import ModelyardError, StackError
from components.core.project import Project
from flows.platform.ports import LOOPBACK
from flows.platform.process_mark import PROGRAM, STACK
from flows.serving_targets import session_folder
from flows.serving_targets.host_protocol import FORMAT, READY_LINE, Grant, HostObservation
from flows.serving_targets.session_folder import SessionFolder

CONNECT_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 30.0
OBSERVE_SECONDS = 3.0
EVERYWHERE = (LOOPBACK, "0.0.0.0")  # noqa: S104  # names no machine for others
FRESH_SECONDS = 0.3  # so long, one observation of a host serves all its models
LOST_AFTER = 3  # requests in a row without an answer
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


class HostConnection:
    """One host. Requests of several threads go over one connection, which is made again where it is lost."""

    def __init__(self, project: Project, name: str, settings: HostSettings) -> None:
        self.name, self.settings = name, settings
        self._project = project
        self._lock = threading.Lock()
        self._observe_lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: SessionFolder | None = None
        self._attempt: threading.Thread | None = None
        self._attempts = self._silent = 0
        self._next_attempt = 0.0
        self.longest_pause_seconds = LONGEST_PAUSE_SECONDS  # between two attempts to reach it
        self._is_new = True
        self._error: ModelyardError | None = None
        self._observed: tuple[float, HostObservation] | None = None

    @property
    def place(self) -> str:
        """The folder, as `scp` names it."""
        return f"{self.settings.ssh}:{self.settings.folder}" if self.settings.ssh else self.settings.folder

    @property
    def is_own_folder(self) -> bool:
        """Whether the host is the folder of the project that decides: this machine serves as well."""
        settings = self.settings
        return settings.ssh is None and Path(settings.folder).resolve() == self._project.root.resolve()

    def url(self, port: int) -> str:
        """Where a service of this host is asked by others."""
        return f"http://{self.address}:{port}"

    @property
    def address(self) -> str:
        """The name or address by which others reach the host."""
        settings = self.settings
        if settings.address is not None or settings.listen not in EVERYWHERE:
            return settings.address or settings.listen
        return self._name_for_ssh if settings.ssh else LOOPBACK

    @property
    def _name_for_ssh(self) -> str:
        """The host's own name or address, where `ssh` has been told another one for it (~/.ssh/config)."""
        return self._ssh_options.get("hostname") or str(self.settings.ssh).rpartition("@")[2]

    @property
    def user(self) -> str:
        """As whom the host is logged in to."""
        return (self._ssh_options.get("user") if self.settings.ssh else None) or getpass.getuser()

    @functools.cached_property
    def _ssh_options(self) -> Mapping[str, str]:
        """What `ssh` knows of the host; nothing where it cannot be asked."""
        words = ["ssh", "-G", str(self.settings.ssh)]
        try:
            said = subprocess.run(
                words, capture_output=True, text=True, timeout=10, check=True, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.SubprocessError):
            return {}
        return {key: value for key, _, value in (line.partition(" ") for line in reversed(said.stdout.splitlines()))}

    def fresh_observation(self) -> HostObservation | None:
        """What the host said within the last `FRESH_SECONDS`; None: it is to be asked."""
        observed = self._observed
        return observed[1] if observed is not None and time.monotonic() - observed[0] <= FRESH_SECONDS else None

    def observe(self) -> HostObservation:
        """What the host says of itself and all models, at most `FRESH_SECONDS` old.

        Raises:
            HostAbsentError: it does not answer.
        """
        with self._observe_lock:
            if (found := self.fresh_observation()) is None:
                content = self.read("/observe", OBSERVE_SECONDS if not self._silent else 0.5)
                try:
                    found = HostObservation.model_validate_json(content)
                except ValidationError as error:
                    raise HostAbsentError(f"{self.name} answers what this version cannot read", got=error) from error
                self._observed = (time.monotonic(), found)
            return found

    def ask(
        self, method: str, path: str, document: Any = None, *, content: Any = None, timeout_seconds: float = 30.0
    ) -> Any:
        """One request; the JSON of its answer.

        Args:
            document: sent as JSON; `content`: bytes, or a stream of them, sent as they are.

        Raises:
            HostAbsentError: the host cannot be reached, or does not answer in time.
            ModelyardError: what the host raised, with its name.
        """
        sent: dict[str, Any] = {"content": content} if content is not None else {}
        if document is not None:
            sent = {"json": document}
        try:
            return self._send(method, path, timeout_seconds, **sent).json()
        finally:
            if method != "GET":  # what was seen is not so any more
                self._observed = None

    def grant(self, grant: Grant) -> list[str]:
        """Grant the host leases; returns the models whose grants it has taken.

        Raises:
            HostAbsentError, ModelyardError: as `ask`.
        """
        return list(self._send("POST", "/leases", OBSERVE_SECONDS, json=grant.model_dump()).json()["taken"])

    def read(self, path: str, timeout_seconds: float = 60.0) -> bytes:
        """The bytes that a path answers with.

        Raises:
            HostAbsentError, ModelyardError: as `ask`.
        """
        return self._send("GET", path, timeout_seconds).content

    def _send(self, method: str, path: str, timeout_seconds: float, **sent: Any) -> httpx.Response:
        client = self._connected()
        try:
            response = client.request(method, path, timeout=timeout_seconds, **sent)
        except httpx.TimeoutException as error:
            self._silent += 1
            if self._silent >= LOST_AFTER:
                self._drop(client)
            raise self._absent(f"no answer within {timeout_seconds:g} s") from error
        except (httpx.TransportError, RuntimeError) as error:  # RuntimeError: another thread has closed it
            self._drop(client)
            raise self._absent(str(error) or type(error).__name__) from error
        self._silent = 0
        if response.is_success:
            return response
        try:
            failure = ModelyardError.from_dict(response.json())
        except (ValueError, TypeError):
            failure = StackError("the agent of the host failed", got=response.text[:300])
        failure.where = f"{self.name} ({self.settings.ssh or 'here'}): {failure.where or self.settings.folder}"
        raise failure

    def send_bundle(self, key: str, model: str, archive: Path) -> str:
        """Send a bundle's tar file; returns the digest of what the host has now."""

        def pieces() -> Iterator[bytes]:
            with archive.open("rb") as stream:
                while piece := stream.read(1 << 20):
                    yield piece

        answer = self.ask("PUT", f"/models/{model}/bundles/{key}", content=pieces(), timeout_seconds=600)
        return str(answer["digest"])

    def fetch_bundle(self, key: str, model: str, archive: Path) -> None:
        """Write a bundle of the host to a tar file.

        Raises:
            HostAbsentError: the host does not answer, or not to the end.
            StackError: it does not have the bundle.
        """
        client, path = self._connected(), f"/models/{model}/bundles/{key}/archive"
        try:
            with client.stream("GET", path, timeout=600) as response, archive.open("wb") as stream:
                if not response.is_success:
                    raise StackError(f"{self.name} does not give the bundle {key}", got=response.read()[:300])
                for piece in response.iter_bytes(1 << 20):
                    stream.write(piece)
        except httpx.HTTPError as error:
            raise self._absent(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """End the session; the services go on."""
        with self._lock:
            client = self._client
        self._drop(client)

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._client is not None and self._process is not None and self._process.poll() is None:
                return self._client
            lost, self._client = self._client, None
            attempt = self._attempt
            if (attempt is None or not attempt.is_alive()) and time.monotonic() >= self._next_attempt:
                attempt = self._attempt = threading.Thread(target=self._connect, name=f"host {self.name}", daemon=True)
                self._attempts += 1
                attempt.start()
            is_first = self._is_new
        if lost is not None:
            lost.close()
        if attempt is not None and is_first:  # later ones go on behind: who looks at many hosts does not wait for one
            attempt.join(CONNECT_SECONDS + 5)
        return self._made()

    def _made(self) -> httpx.Client:
        with self._lock:
            if self._client is not None:
                return self._client
            raise self._error or self._absent("the connection is being made")

    def _absent(self, why: str) -> HostAbsentError:
        by_hand = f"`ssh {self.settings.ssh} true` shows whether it lets you in" if self.settings.ssh else None
        next_step = f"{by_hand or 'look at its folder'}; or take [hosts.{self.name}] out of {settings_file.FILE_NAME}"
        return HostAbsentError(f"the host {self.name} does not answer", where=self.place, got=why, next_step=next_step)

    def _connect(self) -> None:
        error: ModelyardError | None = None
        client = None
        try:
            client = self._open()
        except ModelyardError as failure:
            error = failure
        except (OSError, httpx.HTTPError) as failure:
            error = self._absent(str(failure) or type(failure).__name__)
        with self._lock:
            self._client, self._error, self._is_new = client, error, False
            if error is None:
                self._attempts, self._silent = 0, 0
            else:
                self._next_attempt = time.monotonic() + min(self.longest_pause_seconds, 2.0 ** min(self._attempts, 5))
        if error is not None:
            self._end_process()

    def _open(self) -> httpx.Client:
        self._end_process()
        if self.settings.ssh is None and not (Path(self.settings.folder) / self.settings.python).is_file():
            raise self._absent(f"{self.settings.folder} has no {self.settings.python}: `make install` there makes it")
        _remove_left()
        self._folder = SessionFolder()
        socket = self._folder.path / "agent"
        command = self._command(socket)
        stderr = self._folder.path / "stderr"
        # The marks of this process's own stack are not the host's.
        variables = {key: value for key, value in os.environ.items() if key not in (PROGRAM, STACK)}
        variables.pop("MODELYARD_PROJECT", None)
        with stderr.open("wb") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # its end is the session's
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=None if self.settings.ssh else self.settings.folder,
                env=variables,
                start_new_session=True,  # Ctrl-C in a terminal ends what asks, which then ends this
            )
        self._process = process
        assert process.stdout is not None  # noqa: S101
        line = _line_within(process.stdout, CONNECT_SECONDS)
        if not line.startswith(READY_LINE):
            process.kill()
            process.wait()
            said = stderr.read_text(errors="replace").strip().splitlines()
            raise self._absent(" ".join(said[-3:])[-500:] or line or f"exit code {process.returncode}")
        if line.removeprefix(READY_LINE).strip() != str(FORMAT):
            raise OtherVersionError(
                f"the host {self.name} has another version of Modelyard",
                where=self.place,
                got=f"it speaks interface {line.removeprefix(READY_LINE).strip()}",
                expected=f"interface {FORMAT}, as this version does",
                next_step="`git pull` and `make install` in the clone with the older version",
            )
        with ExitStack() as on_failure:
            client = http_client.over_socket(socket)
            on_failure.callback(client.close)
            secret = project_door.secret_of(self._project)
            names = sorted(settings_file.read(self._project.root).hosts)
            asked = {"secret": secret, "name": self.name, "names": names}
            response = client.post("/claim", json=asked, timeout=CONNECT_SECONDS)
            if not response.is_success:
                raise ModelyardError.from_dict(response.json())
            on_failure.pop_all()
        return client

    def _command(self, socket: Path) -> list[str]:
        settings = self.settings
        module = ["-m", "flows.serving_targets.host_agent", settings.folder]
        listen = ["--listen", settings.listen, "--address", self.address]
        if settings.ssh is None:
            return [str(Path(settings.folder) / settings.python), *module, str(socket), *listen]
        remote = f"{settings.folder}/.modelyard/hosts/{secrets.token_hex(4)}"
        inside = shlex.join([settings.python, *module, remote, *listen])
        # An own umask and no variables of the caller; `exec`, so that the end of the session reaches the agent.
        words = f"cd {shlex.quote(settings.folder)} && exec {inside}"
        options = [word for key, value in _SSH_OPTIONS.items() for word in ("-o", f"{key}={value}")]
        return ["ssh", "-T", *options, "-L", f"{socket}:{remote}", settings.ssh, "--", words]

    def _drop(self, client: httpx.Client | None) -> None:
        """Give a connection up, unless another thread has, and has perhaps made the next one."""
        with self._lock:
            if client is not self._client:
                return
            self._client = self._observed = None
            self._error = None
        if client is not None:
            client.close()
        self._end_process()

    def _end_process(self) -> None:
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


def _line_within(stream: IO[bytes], seconds: float) -> str:
    """The first line of a stream; empty if none comes in time."""
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(stream.readline(500)), daemon=True)
    reader.start()
    reader.join(seconds)
    return found[0].decode(errors="replace").strip() if found else ""


@functools.cache
def _known() -> dict[tuple[str, str, HostSettings], HostConnection]:
    return {}


_known_lock = threading.Lock()


def connections(project: Project, model: str | None = None) -> tuple[HostConnection, ...]:
    """The connections of this process to the hosts that `modelyard.toml` names.

    Args:
        model: only those that are to serve it.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    root = str(project.root)
    with _known_lock:
        named = _named(project)
        # Which models a host serves makes no difference to how it is reached.
        reached = {name: settings.model_copy(update={"models": None}) for name, settings in named.items()}
        known = _known()
        for key in [key for key in known if key[0] == root and reached.get(key[1]) != key[2]]:
            known.pop(key).close()
        for name, settings in reached.items():
            known.setdefault((root, name, settings), HostConnection(project, name, settings))
        chosen = [name for name in sorted(named) if model is None or named[name].serves(model)]
        return tuple(known[root, name, reached[name]] for name in chosen)


def _named(project: Project) -> Mapping[str, HostSettings]:
    """The hosts of `modelyard.toml`, which is read again when it has changed."""
    path = project.root / settings_file.FILE_NAME
    try:
        about = path.stat()
        stamp = (about.st_ino, about.st_mtime_ns, about.st_size)
    except OSError:
        stamp = (0, 0, 0)
    known = _read.get(path)
    if known is None or known[0] != stamp:
        known = _read[path] = (stamp, settings_file.read(project.root).hosts)
    return known[1]


_read: dict[Path, tuple[tuple[int, int, int], Mapping[str, HostSettings]]] = {}


def close_all() -> None:
    """End all sessions of this process; called at its end."""
    with _known_lock:
        for connection in _known().values():
            connection.close()
        _known().clear()
