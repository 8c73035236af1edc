"""The MLflow server's REST API, with retries of failed requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Self

import httpx

from components.access import http_client
from components.access.http_client import ClientFactory
from components.access.secret import Credentials
from components.core import disk_space
from components.core.errors import DiskFullError, RegistryError

TIMEOUT_SECONDS = 60.0
PATIENCE_SECONDS = 20.0
PIECE_BYTES = 1 << 20


class MissingError(RegistryError):
    """The requested resource is not in the registry."""


class TakenError(RegistryError):
    """The resource to create exists."""


class AliasMovedError(RegistryError):
    """Somebody else has set the alias since it was read; it was not changed."""


class _ServerUnavailableError(Exception):
    """A failure that a retry may resolve: the server is starting, or its database is locked."""


_PROXY = "/api/2.0/mlflow-artifacts/artifacts"


class Api:
    """One MLflow server. Use as a context manager; safe to share between threads.

    Args:
        credentials: credentials of the server; None: the server needs none.
        connect: factory of the HTTP client.
        patience_seconds: how long a request is retried while the server does not answer.
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

    def request(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """A request to a path of another version of the API than `get` and the others."""
        result: dict[str, Any] = self._send(method, path, **arguments).json()
        return result

    def pages(self, method: str, path: str, key: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All entries of a listing, page after page."""
        token = None
        while True:
            page_request = {**request, "page_token": token} if token else request
            page = self.get(path, **page_request) if method == "GET" else self.post(path, page_request)
            yield from page.get(key, ())
            token = page.get("next_page_token")
            if not token:
                return

    def upload(self, artifact_uri: str, name: str, content: bytes) -> None:
        """Upload a file to an artifact location that the server proxies (`mlflow-artifacts:/...`)."""
        self._send("PUT", f"{self._artifacts(artifact_uri)}/{name}", content=content)

    def upload_file(self, artifact_uri: str, name: str, path: Path) -> None:
        """Upload a file in pieces: memory does not grow with the file."""
        self._send("PUT", f"{self._artifacts(artifact_uri)}/{name}", source=path)

    def upload_folder(self, artifact_uri: str, folder: Path) -> None:
        """Upload all files of a folder, in sorted order."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.upload_file(artifact_uri, path.relative_to(folder).as_posix(), path)

    def download(self, artifact_uri: str, name: str) -> bytes:
        """Download one small file of an artifact location."""
        return self._send("GET", f"{self._artifacts(artifact_uri)}/{name}").content

    def download_file(self, artifact_uri: str, name: str, target: Path) -> None:
        """Download one file of an artifact location to `target`, in pieces: memory does not grow with the file.

        Raises:
            MissingError: there is no such file; nothing is written.
        """
        self._send("GET", f"{self._artifacts(artifact_uri)}/{name}", target=target)

    def artifact_bytes(self, artifact_uri: str) -> int:
        """Total size of the files at an artifact location that the server proxies; 0 where there are none."""
        root = self._artifacts(artifact_uri).removeprefix(f"{_PROXY}/")
        total, folders = 0, [root]
        while folders:
            folder = folders.pop()
            found = self._send("GET", _PROXY, params={"path": folder}).json().get("files", [])
            folders += [f"{folder}/{entry['path']}" for entry in found if entry.get("is_dir")]
            total += sum(int(entry.get("file_size") or 0) for entry in found if not entry.get("is_dir"))
        return total

    def _artifacts(self, artifact_uri: str) -> str:
        prefix = "mlflow-artifacts:/"
        if not artifact_uri.startswith(prefix):
            raise RegistryError(
                "artifacts are not proxied by the server", where=self.url, got=artifact_uri, expected=f"{prefix}..."
            )
        return f"{_PROXY}/{artifact_uri.removeprefix(prefix).lstrip('/')}"

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._send(method, f"/api/2.0/mlflow/{path}", **arguments).json()
        return result

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            try:
                return self._once(method, path, **arguments)
            except _ServerUnavailableError:
                if self._patience_seconds <= 0:
                    raise
                return self._send_again(method, path, **arguments)
        except _ServerUnavailableError as error:
            raise RegistryError(
                "the registry does not answer",
                where=self.url,
                got=error,
                next_step="`modelyard status`, then `modelyard up`",
            ) from error

    def _send_again(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        # Imported where it is needed: it imports tornado, a tenth of the time of a command that has nothing to do.
        from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

        retrying = Retrying(
            retry=retry_if_exception_type(_ServerUnavailableError),
            stop=stop_after_delay(self._patience_seconds),
            wait=wait_exponential_jitter(multiplier=0.1, max=2),
            reraise=True,
        )
        return retrying(self._once, method, path, **arguments)

    def _exchange(
        self, method: str, path: str, source: Path | None, target: Path | None, arguments: dict[str, Any]
    ) -> httpx.Response:
        """One request; its body is read from `source`, the body of a successful response is written to `target`."""
        with ExitStack() as stack:
            if source is not None:
                stream = stack.enter_context(source.open("rb"))
                arguments = {**arguments, "content": _chunks(stream), "headers": _content_length(source)}
            response = stack.enter_context(self._client.stream(method, path, **arguments))
            if target is None or not response.is_success:
                response.read()
                return response
            with target.open("wb") as out:
                for piece in response.iter_bytes(PIECE_BYTES):
                    out.write(piece)
            return response

    def _once(
        self, method: str, path: str, source: Path | None = None, target: Path | None = None, **arguments: Any
    ) -> httpx.Response:
        try:
            response = self._exchange(method, path, source, target, arguments)
        except httpx.TransportError as error:
            raise _ServerUnavailableError(f"{type(error).__name__}: {error}") from error
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
            raise _ServerUnavailableError(f"HTTP {response.status_code}")
        try:
            document = response.json()
        except ValueError:
            document = {}
        code, message = document.get("error_code"), document.get("message", response.text[:300])
        if "database is locked" in message:
            raise _ServerUnavailableError(message)
        if "UNIQUE constraint" in message or "duplicate key" in message:  # messages of SQLite and PostgreSQL
            code = "RESOURCE_ALREADY_EXISTS"
        error_class = {
            "RESOURCE_DOES_NOT_EXIST": MissingError,
            "RESOURCE_ALREADY_EXISTS": TakenError,
            "RESOURCE_CONFLICT": AliasMovedError,
        }.get(code, RegistryError)
        raise error_class(message, where=f"{method} {path}", got=f"HTTP {response.status_code} {code or ''}".strip())


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(PIECE_BYTES):
        yield piece


def _content_length(path: Path) -> dict[str, str]:
    """The Content-Length of a file; without the header the request is chunked, which not all proxies accept."""
    return {"Content-Length": str(path.stat().st_size)}
