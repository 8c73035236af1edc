"""URLs."""

from __future__ import annotations


def is_secure(url: str) -> bool:
    """Whether a URL needs TLS: for `verify=` of httpx, which loads all certificates for each client, 60 ms of CPU."""
    return url.startswith("https://")
