"""Certificates that the URLs of servers name: `?sslmode=verify-full&sslrootcert=FILE`, `rediss://...?ssl_ca_certs=FILE`.

Paths are relative to the project, as those of credentials; `~` is the home folder. The names are those of libpq
(https://www.postgresql.org/docs/current/libpq-connect.html) and of redis-py.
"""

from __future__ import annotations

import re
import shlex
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


def next_step(error: str, where: str, otherwise: str) -> str:
    """What to do about an error of a connection.

    libpq says of an expired certificate what it says of one of another authority; redis-py says which it is.

    Args:
        error: the driver's text.
        where: the URL of the server, without credentials.
        otherwise: where it is not about a certificate.
    """
    text = error.lower()
    if "certificate" not in text:
        return otherwise
    if "has expired" in text or "not yet valid" in text:
        return "renew the server's certificate; or set the clock of this machine, if that is wrong"
    host = "the host in the URL has to be one that stands in the server's certificate"
    if "does not match" in text or "mismatch" in text:
        return host
    is_postgres = where.startswith("postgres")
    name = "sslrootcert" if is_postgres else "ssl_ca_certs"
    return (
        f"the URL's {name} has to be the authority that signed the server's certificate, the certificate must not have "
        f"expired, and {host}; {_question(where, parameters(where).get(name))} says which: see its `Verify return code`"
    )


def _question(where: str, authority: str | None) -> str:
    """The command that shows what is wrong with the certificate of a server."""
    scheme, places, *_ = urlsplit(where)
    place = places.partition(",")[0]  # libpq takes several
    port = 5432 if scheme.startswith("postgres") else 6379
    words = ["openssl s_client", "-connect", place if re.search(r":[0-9]+$", place) else f"{place}:{port}"]
    words += ["-starttls postgres"] if scheme.startswith("postgres") else []
    words += ["-CAfile", shlex.quote(authority)] if authority not in (None, SYSTEM) else []
    return f"`{' '.join(words)} </dev/null`"


def _absolute(name: str, value: str, root: Path) -> str:
    if (name, value) == ("sslrootcert", SYSTEM):
        return value
    return str(root / Path(value).expanduser())
