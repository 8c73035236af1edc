"""The MLflow server's REST API, with retries where asking again is safe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Self

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from components.access import http_client
from components.access.http_client import ClientFactory
from components.access.secret import Credentials
from components.core import disk_space
from components.core.errors import DiskFullError, RegistryError

TIMEOUT_SECONDS = 60.0
PATIENCE_SECONDS = 20.0
PIECE_BYTES = 1 << 20


class MissingError(RegistryError):
    """What was asked for is not in the registry."""


class TakenError(RegistryError):
    """What was to be created is there already."""


class _PassingError(Exception):
    """Worth another try: the server is starting, restarting, or its database was locked."""


class Api:
    """One MLflow server. Use as a context manager; safe to share between threads.

    Args:
        credentials: what the server asks for; None: nothing.
        connect: makes the HTTP client.
        patience_seconds: for how long a server that does not answer is asked again.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        connect: ClientFactory = http_client.client,
    ) -> None:
        self.url = url
        self.credentials = credentials
        self._patience_seconds = patience_seconds
        self._client = connect(credentials, url, timeout=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """GET `/api/2.0/mlflow/<path>`."""
        return self._json("GET", path, params=parameters)

    def post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        """POST `/api/2.0/mlflow/<path>`."""
        return self._json("POST", path, json=body, headers=headers)

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """PATCH `/api/2.0/mlflow/<path>`."""
        return self._json("PATCH", path, json=body)

    def delete(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        """DELETE `/api/2.0/mlflow/<path>`."""
        return self._json("DELETE", path, json=body, headers=headers)

    def pages(self, method: str, path: str, key: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All entries of a listing, page after page."""
        token = None
        while True:
            asked = {**request, "page_token": token} if token else request
            page = self.get(path, **asked) if method == "GET" else self.post(path, asked)
            yield from page.get(key, ())
            token = page.get("next_page_token")
            if not token:
                return

    def upload(self, artifact_uri: str, name: str, content: bytes) -> None:
        """Put one file below an artifact location that the server proxies (`mlflow-artifacts:/...`)."""
        self._send("PUT", f"{self._artifacts(artifact_uri)}/{name}", content=content)

    def upload_file(self, artifact_uri: str, name: str, path: Path) -> None:
        """`upload` of a file, in pieces: memory does not grow with the file."""
        self._send("PUT", f"{self._artifacts(artifact_uri)}/{name}", source=path)

    def upload_folder(self, artifact_uri: str, folder: Path) -> None:
        """Put all files of a folder, in sorted order."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.upload_file(artifact_uri, path.relative_to(folder).as_posix(), path)

    def download(self, artifact_uri: str, name: str) -> bytes:
        """One small file below an artifact location."""
        return self._send("GET", f"{self._artifacts(artifact_uri)}/{name}").content

    def download_file(self, artifact_uri: str, name: str, target: Path) -> None:
        """Write one file below an artifact location to `target`, in pieces: memory does not grow with the file.

        Raises:
            MissingError: there is no such file; nothing is written.
        """
        self._send("GET", f"{self._artifacts(artifact_uri)}/{name}", target=target)

    def _artifacts(self, artifact_uri: str) -> str:
        prefix = "mlflow-artifacts:/"
        if not artifact_uri.startswith(prefix):
            raise RegistryError(
                "artifacts are not proxied by the server", where=self.url, got=artifact_uri, expected=f"{prefix}..."
            )
        return f"/api/2.0/mlflow-artifacts/artifacts/{artifact_uri.removeprefix(prefix).lstrip('/')}"

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._send(method, f"/api/2.0/mlflow/{path}", **arguments).json()
        return result

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        retrying = Retrying(
            retry=retry_if_exception_type(_PassingError),
            stop=stop_after_delay(self._patience_seconds),
            wait=wait_exponential_jitter(multiplier=0.1, max=2),
            reraise=True,
        )
        try:
            return retrying(self._once, method, path, **arguments)
        except _PassingError as error:
            raise RegistryError(
                "the registry does not answer",
                where=self.url,
                got=error,
                next_step="`modelyard status`, then `modelyard up`",
            ) from error

    def _exchange(
        self, method: str, path: str, source: Path | None, target: Path | None, arguments: dict[str, Any]
    ) -> httpx.Response:
        """One request; its body is read from `source`, and that of a good answer is written to `target`."""
        with ExitStack() as during:
            if source is not None:
                stream = during.enter_context(source.open("rb"))
                arguments = {**arguments, "content": _pieces(stream), "headers": _length(source)}
            response = during.enter_context(self._client.stream(method, path, **arguments))
            if target is None or not response.is_success:
                response.read()
                return response
            with target.open("wb") as written:
                for piece in response.iter_bytes(PIECE_BYTES):
                    written.write(piece)
            return response

    def _once(
        self, method: str, path: str, source: Path | None = None, target: Path | None = None, **arguments: Any
    ) -> httpx.Response:
        try:
            response = self._exchange(method, path, source, target, arguments)
        except httpx.TransportError as error:
            raise _PassingError(f"{type(error).__name__}: {error}") from error
        if response.is_success:
            return response
        if response.is_server_error and disk_space.message_says_full(response.text):
            raise DiskFullError(
                "no space left on the disk of the registry",
                where=f"{self.url}, {method} {path}",
                got=f"HTTP {response.status_code}: {' '.join(response.text.split())[:200]}",
                next_step=disk_space.NEXT_STEP,
            )
        if response.status_code in (429, 502, 503, 504):
            raise _PassingError(f"HTTP {response.status_code}")
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        code, message = answer.get("error_code"), answer.get("message", response.text[:300])
        if "database is locked" in message:
            raise _PassingError(message)
        if "UNIQUE constraint" in message or "duplicate key" in message:  # as SQLite and PostgreSQL say it
            code = "RESOURCE_ALREADY_EXISTS"
        kind = {"RESOURCE_DOES_NOT_EXIST": MissingError, "RESOURCE_ALREADY_EXISTS": TakenError}.get(code, RegistryError)
        raise kind(message, where=f"{method} {path}", got=f"HTTP {response.status_code} {code or ''}".strip())


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(PIECE_BYTES):
        yield piece


def _length(path: Path) -> dict[str, str]:
    """The size of a file that is sent in pieces; without it the request is chunked, which not all proxies take."""
    return {"Content-Length": str(path.stat().st_size)}
