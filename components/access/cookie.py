"""The browser's cookie, and the codes that a person exchanges for one.

A code is good once and for ten minutes; `modelyard open` and `modelyard status` make them. A cookie is bound to the
user at the other end of the connection that it was given over: browsers send the cookies of 127.0.0.1 to every port,
so another user's server on this machine may see it, and cannot use it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

from components.access import secret as secrets_of_project

PARAMETER = "code"
CODE_SECONDS = 600
COOKIE_SECONDS = 30 * 24 * 3600
_CODE, _COOKIE = "open", "cookie"


def name(project: str) -> str:
    """The cookie's name; several projects on one machine keep theirs apart."""
    return f"modelyard-{project}"


def new_code(secret: str, now: float | None = None) -> str:
    """A code that opens a server of the project in a browser, once."""
    expires = int(now if now is not None else time.time()) + CODE_SECONDS
    text = f"{expires}.{secrets.token_hex(16)}"
    return f"{text}.{secrets_of_project.sign(secret, _CODE, text)}"


def use_code(code: str, secret: str, used: Path) -> bool:
    """Whether a code is good; it is not good a second time, in whatever process of the project.

    Args:
        used: the folder in which used codes are noted.
    """
    text, _, signature = code.rpartition(".")
    expires = text.partition(".")[0]
    if not secrets_of_project.matches(signature, secrets_of_project.sign(secret, _CODE, text)):
        return False
    now = time.time()
    if not expires.isdecimal() or not now <= int(expires) <= now + CODE_SECONDS + 60:
        return False
    used.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in used.iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int(path.name.partition(".")[0]) < now:
                path.unlink()
    try:
        os.close(os.open(used / text, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def issue(secret: str, user: int | None) -> str:
    """A cookie's value for the user at the other end of the connection."""
    text = f"{int(time.time()) + COOKIE_SECONDS}.{'any' if user is None else user}"
    return f"{text}.{secrets_of_project.sign(secret, _COOKIE, text)}"


def holder(value: str, secret: str) -> str | None:
    """The user id that a cookie was issued to (`any` where it was not known); None: it is not ours, or has expired."""
    text, _, signature = value.rpartition(".")
    if not secrets_of_project.matches(signature, secrets_of_project.sign(secret, _COOKIE, text)):
        return None
    expires, _, user = text.partition(".")
    return user if expires.isdecimal() and time.time() < int(expires) else None
