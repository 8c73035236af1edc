"""The connection from this process to the agent of one host: requests over a session, which is made again when lost."""

from __future__ import annotations

import functools
import getpass
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError

from components.contracts.settings import HostSettings
from components.core.errors import ModelyardError, StackError
from components.core.project import Project
from flows.platform.ports import LOOPBACK
from flows.serving_targets import host_session
from flows.serving_targets.host_protocol import Grant, HostObservation
from flows.serving_targets.host_session import CONNECT_SECONDS, HostAbsentError, HostSession

LONGEST_PAUSE_SECONDS = 30.0
OBSERVE_SECONDS = 3.0
EVERYWHERE = (LOOPBACK, "0.0.0.0")  # noqa: S104  # names no machine for others
FRESH_SECONDS = 0.3  # so long, one observation of a host serves all its models
LOST_AFTER = 3  # requests in a row without an answer


class HostConnection:
    """One host. Requests of several threads go over one connection, which is made again where it is lost."""

    def __init__(self, project: Project, name: str, settings: HostSettings) -> None:
        self.name, self.settings = name, settings
        self._project = project
        self._lock = threading.Lock()
        self._observe_lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._session: HostSession | None = None
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
        return host_session.place(self.settings)

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
        if settings.ssh is None:
            return LOOPBACK  # else the host's own name, where `ssh` has been told another one for it (~/.ssh/config)
        return self._ssh_options.get("hostname") or settings.ssh.rpartition("@")[2]

    @property
    def user(self) -> str:
        """As whom the host is logged in to."""
        return (self._ssh_options.get("user") if self.settings.ssh else None) or getpass.getuser()

    @functools.cached_property
    def _ssh_options(self) -> Mapping[str, str]:
        return host_session.ssh_options(str(self.settings.ssh))

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
            raise host_session.absent(self.name, self.settings, f"no answer within {timeout_seconds:g} s") from error
        except (httpx.TransportError, RuntimeError) as error:  # RuntimeError: another thread has closed it
            self._drop(client)
            raise host_session.absent(self.name, self.settings, str(error) or type(error).__name__) from error
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
            raise host_session.absent(self.name, self.settings, str(error) or type(error).__name__) from error

    def close(self) -> None:
        """End the session; the services go on."""
        with self._lock:
            client = self._client
        self._drop(client)

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._client is not None and self._session is not None and self._session.is_alive():
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
            raise self._error or host_session.absent(self.name, self.settings, "the connection is being made")

    def _connect(self) -> None:
        error: ModelyardError | None = None
        client = None
        try:
            client = self._open()
        except ModelyardError as failure:
            error = failure
        except (OSError, httpx.HTTPError) as failure:
            error = host_session.absent(self.name, self.settings, str(failure) or type(failure).__name__)
        with self._lock:
            self._client, self._error, self._is_new = client, error, False
            if error is None:
                self._attempts, self._silent = 0, 0
            else:
                self._next_attempt = time.monotonic() + min(self.longest_pause_seconds, 2.0 ** min(self._attempts, 5))
        if error is not None:
            self._end_session()

    def _drop(self, client: httpx.Client | None) -> None:
        """Give a connection up, unless another thread has, and has perhaps made the next one."""
        with self._lock:
            if client is not self._client:
                return
            self._client = self._observed = None
            self._error = None
        if client is not None:
            client.close()
        self._end_session()

    def _open(self) -> httpx.Client:
        self._end_session()
        self._session = HostSession(self._project, self.name, self.settings, self.address)
        return self._session.open()

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
