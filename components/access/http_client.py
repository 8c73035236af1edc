"""The one place where HTTP clients of Modelyard's servers are made, so that none goes without credentials or TLS."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any, Protocol

import httpx

from components.access.secret import Credentials
from components.core import outward
from components.core.urls import is_loopback, is_secure


class ClientFactory(Protocol):
    """Makes a client for a server."""

    def __call__(self, credentials: Credentials | None, url: str, **settings: Any) -> httpx.Client:
        """A client whose requests are relative to `url` and carry the credentials."""
        ...


def client(credentials: Credentials | None, url: str, **settings: Any) -> httpx.Client:
    """A client for a server. A server on this machine is reached directly, another one as the environment says.

    Args:
        credentials: sent with each request; None: nothing is sent.
        settings: of `httpx.Client`.
    """
    headers = credentials.headers if credentials is not None else {}
    if is_loopback(url):
        return httpx.Client(base_url=url, headers=headers, trust_env=False, verify=is_secure(url), **settings)
    with outward.restored():  # a client reads proxies and certificates when it is made
        # A file .netrc is not read: it would replace the credentials.
        return httpx.Client(base_url=url, headers=headers, verify=is_secure(url), auth=_sent_as_they_are, **settings)


def over_socket(path: Path) -> httpx.Client:
    """A client for a server that listens on a Unix socket: who may open the socket may ask."""
    return httpx.Client(base_url="http://agent", transport=httpx.HTTPTransport(uds=str(path)), trust_env=False)


def get_here(credentials: Credentials | None, url: str, path: str, timeout_seconds: float) -> tuple[int, bytes]:
    """Ask a server on this machine once, by the standard library: a fifth of the time that an httpx client takes.

    The connection is closed: a kept one would stay with a worker process that ends.

    Args:
        url: http://HOST:PORT.

    Returns:
        The status of the response, and its body.

    Raises:
        OSError, http.client.HTTPException: no response.
    """
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout_seconds)
    try:
        connection.request("GET", path, headers=credentials.headers if credentials is not None else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _sent_as_they_are(request: httpx.Request) -> httpx.Request:
    return request
