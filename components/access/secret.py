"""The project's secret: one file that only its owner can read, and how clients send what is in it.

Every server of a project asks for it. Clients send it as the password of HTTP Basic authentication (RFC 7617), which
the clients of Prefect and MLflow can do by themselves; the user name is who they say they are.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import threading
from pathlib import Path
from typing import NamedTuple

from components.core.errors import StackError

SECRET_FILE = "MODELYARD_SECRET_FILE"  # noqa: S105  # the environment variable that names the file
BYTES = 32
_RENEWAL = "then `modelyard down` and `modelyard up`: a new secret is made"


class Credentials(NamedTuple):
    """A user name, as claimed, and the secret.

    Args:
        bearer: the secret is a token that is sent without a user name (RFC 6750).
    """

    user: str
    secret: str
    bearer: bool = False

    @property
    def header(self) -> str:
        """The value of the header `Authorization`."""
        if self.bearer:
            return f"Bearer {self.secret}"
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()

    @property
    def headers(self) -> dict[str, str]:
        """What an HTTP client sends with each request."""
        return {"Authorization": self.header}


def create(path: Path) -> str:
    """Write a new secret, readable by the owner alone; one that is there is replaced."""
    fresh, value = _written_beside(path)
    fresh.replace(path)
    return value


def put(path: Path, value: str) -> None:
    """Write a secret that another machine has, readable by the owner alone; one that is there is replaced."""
    fresh, _ = _written_beside(path, value)
    fresh.replace(path)


def create_once(path: Path) -> None:
    """Write a new secret where there is none; of several processes at once, one writes it."""
    if path.exists():
        return
    fresh, _ = _written_beside(path)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()


def _written_beside(path: Path, value: str | None = None) -> tuple[Path, str]:
    """A secret, by default a new one, in a file beside its place, on the disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    value = value or secrets.token_urlsafe(BYTES)
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(value + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return fresh, value


def read(path: Path, what: str = "the project's secret", after_removal: str = _RENEWAL) -> str | None:
    """The secret; None where there is none.

    Args:
        what: the secret's name in errors.
        after_removal: what an error tells to do once a secret that others could read is removed.

    Raises:
        StackError: the file belongs to another user, or others may read it.
    """
    try:
        with path.open() as stream:
            about = os.fstat(stream.fileno())
            value = stream.read().strip()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StackError(
            f"{what} cannot be read by this user",
            where=str(path),
            next_step="run Modelyard as the user who started the stack",
        ) from error
    if about.st_uid != os.geteuid():  # root can read it; whoever owns it knows it
        raise StackError(
            f"{what} belongs to another user",
            where=str(path),
            got=f"user id {about.st_uid}",
            expected=f"user id {os.geteuid()}",
            next_step="run Modelyard as the user who started the stack",
        )
    if about.st_mode & 0o077:
        raise StackError(
            f"others can read {what}",
            where=str(path),
            got=f"mode {about.st_mode & 0o777:o}",
            expected="mode 600",
            next_step=f"rm {path}, {after_removal}",
        )
    return value or None


def from_header(value: str) -> Credentials | None:
    """The credentials in a header `Authorization`, Basic or Bearer; None if there are none in it."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() == "bearer":
        return Credentials("", rest.strip())
    if scheme.lower() != "basic":
        return None
    try:
        return from_text(base64.b64decode(rest.strip(), validate=True).decode())
    except ValueError:  # binascii.Error and UnicodeDecodeError too
        return None


def from_text(value: str) -> Credentials:
    """The credentials in `user:secret`."""
    user, _, password = value.rpartition(":")
    return Credentials(user, password)


def matches(given: str, secret: str) -> bool:
    """Whether two secrets are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(errors="surrogatepass"), secret.encode(errors="surrogatepass"))


def sign(secret: str, purpose: str, text: str) -> str:
    """HMAC-SHA256 (RFC 2104) of a text, hexadecimal; a signature for one purpose is of no use for another."""
    return hmac.new(secret.encode(), f"{purpose}\n{text}".encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
