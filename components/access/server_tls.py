"""Certificates that the URLs of servers name: `?sslmode=verify-full&sslrootcert=FILE`, `rediss://...?ssl_ca_certs=FILE`.

Paths are relative to the project, as those of credentials; `~` is the home folder. The names are those of libpq
(https://www.postgresql.org/docs/current/libpq-connect.html) and of redis-py.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from components.core.errors import StackError

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
SYSTEM = "system"  # as sslrootcert: the certificate authorities that the operating system trusts


def parameters(url: str) -> dict[str, str]:
    """What stands after the `?` of a URL."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def with_parameters(url: str, values: dict[str, str]) -> str:
    """A URL with these parameters in place of its own."""
    return urlunsplit((*urlsplit(url)[:3], urlencode(values, quote_via=quote, safe="/"), ""))


def with_files(url: str, root: Path) -> str:
    """A URL whose certificate files are named by absolute paths.

    Args:
        root: of the project.
    """
    values = parameters(url)
    found = {name: _absolute(name, value, root) for name, value in values.items() if name in FILES}
    return with_parameters(url, {**values, **found}) if found != {} else url


def require_files(url: str, where: str) -> None:
    """Check that this process can read the files that a URL names.

    Args:
        url: as `with_files` returns it.
        where: the URL as the settings have it, without credentials.

    Raises:
        StackError: a file cannot be read.
    """
    for name, value in parameters(url).items():
        if name not in FILES or (name, value) == ("sslrootcert", SYSTEM):
            continue
        try:
            Path(value).read_bytes()
        except OSError as error:
            raise StackError(
                "a certificate file of a server cannot be read",
                where=where,
                got=f"{name}={value}: {error.strerror}",
                expected="a PEM file that the user of this process may read",
                next_step=f"correct {name} in the URL, or put the file there",
            ) from error


def next_step(error: str, otherwise: str) -> str:
    """What to do about an error of a connection.

    Args:
        error: the driver's text.
        otherwise: where it is not about a certificate.
    """
    if "certificate" not in error.lower():
        return otherwise
    return (
        "the URL's sslrootcert (PostgreSQL) or ssl_ca_certs (Redis) has to be the authority that signed the server's "
        "certificate, and the host in the URL one that stands in it"
    )


def _absolute(name: str, value: str, root: Path) -> str:
    if (name, value) == ("sslrootcert", SYSTEM):
        return value
    return str(root / Path(value).expanduser())
