"""API keys of a service: a file of JSON lines with names, scopes and digests; the keys themselves are nowhere.

A key is 32 random bytes. Its SHA-256 is enough at rest: slow hashes (bcrypt, Argon2) protect words that people choose,
which can be guessed; 256 random bits cannot, however fast the hash is. A slow hash would cost each request its time.

`python -m components.access.api_keys FILE NAME [predict|admin]` adds a key where Modelyard's command line is not
installed, such as in a bundle.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, ValidationError

from components.core import atomic
from components.core.errors import ModelyardError, NotFoundError, ServingError, UsageError
from components.core.strict import Strict

API_KEYS = "MODELYARD_API_KEYS"  # the environment variable that names the file, or is NO_KEYS
NO_KEYS = "none"
PREFIX = "mdy_"  # so that tools that look for leaked keys find them
BYTES = 32
CHECK_SECONDS = 1.0  # between two looks at the file: a revoked key is good for so long
MAX_KEY_LENGTH = 200  # of what is compared

Scope = Literal["predict", "admin"]  # admin: also figures and states; it includes predict
SCOPES: tuple[Scope, ...] = get_args(Scope)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class ApiKey(Strict):
    """One line of the file.

    Args:
        sha256: of the key, hexadecimal.
        created, revoked: times, UTC; a revoked key opens nothing.
    """

    name: str = Field(pattern=f"^{_NAME.pattern}$")
    scope: Scope
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created: str = ""
    revoked: str | None = Field(default=None, exclude_if=lambda time: time is None)


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def read(path: Path) -> list[ApiKey]:
    """The keys of a file, revoked ones too; [] where there is none.

    Raises:
        ServingError: the file cannot be read, or a line is no key.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ServingError("the API keys cannot be read", where=str(path), got=error) from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(ApiKey.model_validate_json(line))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'line'}: {one['msg']}" for one in error.errors())
            raise ServingError(
                "this line is no API key",
                where=f"{path} line {number}",
                got=wrong,
                expected='{"name": ..., "scope": "predict" or "admin", "sha256": ...}',
                next_step="remove the line; `modelyard keys add` writes another",
            ) from error
    return found


def add(path: Path, name: str, scope: Scope) -> str:
    """Add a key to a file, which is made if there is none; returns the key, which is nowhere else.

    Raises:
        UsageError: the name is no name, or a key that is not revoked has it.
        ServingError: the file cannot be read or written.
    """
    if not _NAME.fullmatch(name):
        expected = "up to 64 letters, digits, . _ @ -"
        raise UsageError("this is no name of an API key", got=repr(name)[:80], expected=expected)
    key = PREFIX + secrets.token_urlsafe(BYTES)
    with _changing(path) as known:
        if any(one.name == name and one.revoked is None for one in known):
            raise UsageError(
                "there is an API key of this name",
                where=str(path),
                got=name,
                next_step="choose another name, or revoke it",
            )
        known.append(ApiKey(name=name, scope=scope, sha256=digest(key), created=_now()))
    return key


def revoke(path: Path, name: str) -> None:
    """Revoke the key of a name; its line stays.

    Raises:
        NotFoundError: there is no such key, or it is revoked.
        ServingError: the file cannot be read or written.
    """
    with _changing(path) as known:
        place = next((place for place, one in enumerate(known) if one.name == name and one.revoked is None), None)
        if place is None:
            names = ", ".join(one.name for one in known if one.revoked is None)
            raise NotFoundError(
                "there is no such API key", where=str(path), got=name, expected=names or "none is there"
            )
        known[place] = known[place].model_copy(update={"revoked": _now()})


class KeyFile:
    """The keys of a file, read again when it changes.

    A file that cannot be read any more leaves the keys as they were; `error` says why. A file that had keys and is gone
    or empty opens nothing: a service that asked for keys goes on asking.

    Raises:
        ServingError: the file cannot be read at the start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: ModelyardError | None = None
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._keys = _by_digest(read(path))
        self._had_keys = bool(self._keys)
        self._next_check = time.monotonic() + CHECK_SECONDS

    @property
    def has_keys(self) -> bool:
        """Whether there is or was any key, revoked ones too: a file without valid keys opens nothing."""
        self._refresh()
        return self._had_keys

    def find(self, key: str) -> ApiKey | None:
        """The key that a request has sent, unless it is unknown or revoked.

        Digests are compared, each with every one, in a time that does not depend on where they differ.
        """
        self._refresh()
        sent = digest(key[:MAX_KEY_LENGTH])
        found = None
        for known, entry in self._keys.items():
            if hmac.compare_digest(known, sent):
                found = entry
        return found if found is not None and found.revoked is None else None

    def _refresh(self) -> None:
        now = time.monotonic()
        if now < self._next_check:
            return
        with self._lock:
            self._next_check = now + CHECK_SECONDS
            stamp = _stamp(self.path)
            if stamp == self._stamp:
                return
            try:
                self._keys = _by_digest(read(self.path))
            except ServingError as error:
                self.error = error
            else:
                self._stamp, self.error = stamp, None
                self._had_keys = self._had_keys or bool(self._keys)


def _by_digest(keys: list[ApiKey]) -> Mapping[str, ApiKey]:
    return {one.sha256: one for one in keys}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns, about.st_size


@contextmanager
def _changing(path: Path) -> Iterator[list[ApiKey]]:
    """The keys of a file, to be changed; written when the block ends without an error, readable by the owner alone."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = read(path)
            yield known
            text = "".join(one.model_dump_json() + "\n" for one in known)
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
            atomic.write_text(path, text)
            path.chmod(mode)
    except OSError as error:
        raise ServingError("the API keys cannot be written", where=str(path), got=error) from error


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def main(arguments: list[str]) -> int:
    """Add a key and print it."""
    if len(arguments) not in (2, 3) or (len(arguments) == 3 and arguments[2] not in SCOPES):
        print(f"usage: python -m components.access.api_keys FILE NAME [{'|'.join(SCOPES)}]", file=sys.stderr)
        return 2
    scope: Scope = "admin" if arguments[2:] == ["admin"] else "predict"
    try:
        print(add(Path(arguments[0]), arguments[1], scope))
    except ModelyardError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
