"""Properties of URLs."""

from __future__ import annotations

from urllib.parse import urlsplit

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def is_secure(url: str) -> bool:
    """Whether a URL needs TLS, for `verify=` of httpx: loading certificates takes 60 ms of CPU for each client."""
    return url.startswith("https://")


def is_loopback(url: str) -> bool:
    """Whether a URL names a server on this machine."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS
