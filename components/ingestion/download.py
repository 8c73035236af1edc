"""Download one file with retries and resumption; the file is kept only if its sha256 is the expected one."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import tenacity

from components.contracts.dataset import RemoteFile
from components.core import outward
from components.core.errors import SourceError
from components.core.progress import Progress
from components.identity import digest
from components.ingestion import mirror

_ATTEMPTS = 5
_TIMEOUT_SECONDS = 30.0
_MEGABYTE = 1_000_000


class _TransientDownloadError(Exception):
    """The response of the server allows another attempt."""


def fetch(file: RemoteFile, folder: Path, *, wait_seconds: float = 1.0) -> Path:
    """The file in the download folder, named by its sha256; downloaded if missing.

    Raises:
        SourceError: the file has no URL, cannot be fetched, or has another sha256 (then nothing is kept).
    """
    if file.url is None:
        raise SourceError(
            f"no mirror has {file.name}, and it has no URL",
            where=os.environ.get(mirror.VARIABLE) or f"{mirror.VARIABLE} is not set",
            expected=f"sha256 {file.sha256}",
            next_step=f"put it below a folder that {mirror.VARIABLE} names; the original: {file.origin}",
        )
    target = folder / file.sha256
    if target.is_file() and digest.of_file(target) == file.sha256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{file.sha256}.part"
    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=wait_seconds, max=20 * wait_seconds),
        retry=tenacity.retry_if_exception_type((httpx.TransportError, _TransientDownloadError)),
        reraise=True,
    )
    try:
        with _client(file.url) as client:
            attempts(_append, client, file, file.url, part)
    except (httpx.HTTPError, _TransientDownloadError) as error:
        raise SourceError(
            f"cannot be fetched: {file.name}",
            where=file.url,
            got=f"{type(error).__name__}: {error}",
            expected=f"sha256 {file.sha256}",
            next_step="try again later, or put the file below a folder that MODELYARD_MIRROR names",
        ) from error
    if (actual := digest.of_file(part)) != file.sha256:
        part.unlink()
        raise SourceError(
            "another file than the one asked for; nothing of it was kept",
            where=file.url,
            got=f"sha256 {actual}",
            expected=f"sha256 {file.sha256}",
            next_step="if the publisher replaced the file on purpose, look at it and put its sha256 into dataset.yaml",
        )
    part.replace(target)
    return target


def _client(url: str) -> httpx.Client:
    """A client with the proxies and the certificates of the environment."""
    try:
        with outward.restored():
            return httpx.Client(follow_redirects=True, timeout=_TIMEOUT_SECONDS)
    except (ValueError, ImportError) as error:
        raise SourceError(
            "the proxy that the environment names cannot be used",
            where=url,
            got=error,
            expected="http://, https:// or socks5:// in HTTP_PROXY, HTTPS_PROXY and ALL_PROXY",
            next_step="correct or unset these variables; NO_PROXY names hosts that are asked directly",
        ) from error
    except OSError as error:
        raise SourceError(
            "the certificates that the environment names cannot be read",
            where="environment variables SSL_CERT_FILE and SSL_CERT_DIR",
            got=error,
            next_step="let SSL_CERT_FILE name a file of certificates (PEM), or unset it",
        ) from error


def _append(client: httpx.Client, file: RemoteFile, url: str, part: Path) -> None:
    received = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={received}-"} if received else {})}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if digest.of_file(part) == file.sha256:
                return
            part.unlink()
            raise _TransientDownloadError("the part kept before does not fit the file")
        if response.status_code >= 500 or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise _TransientDownloadError(f"the server answered {response.status_code}")
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        length = response.headers.get("Content-Length")
        total = int(length) + (received if resumed else 0) if length else None
        with (
            part.open("ab" if resumed else "wb") as out,
            Progress(f"fetching {file.name}", total, "MB", _MEGABYTE) as progress,
        ):
            progress.advance(received if resumed else 0)
            for piece in response.iter_bytes():
                out.write(piece)
                progress.advance(len(piece))
