"""What the stack remembers between commands: its ports, and the token by which its servers are known."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from components.contracts import atomic
from components.contracts.errors import StackError
from components.contracts.project import Project

LONGEST_SOCKET_PATH = 88  # Unix allows 107 bytes; supervisord binds to a longer name first and renames


@dataclass(frozen=True)
class StackState:
    """`stack/state.json`.

    Args:
        token: each of our servers sends it in a header, so a foreign server on the same port is never taken for ours.
        wanted: the stack is to run; a supervisor that dies is started again only while this holds.
        ports: by program; kept, so that URLs stay the same after a restart.
    """

    token: str
    wanted: bool = False
    ports: dict[str, int] = field(default_factory=dict)

    def with_port(self, program: str, port: int) -> StackState:
        """The same with one port set."""
        return replace(self, ports={**self.ports, program: port})


def folder(project: Project) -> Path:
    """The stack's folder: state, configuration, logs."""
    return project.state / "stack"


def load(project: Project) -> StackState | None:
    """The state, or None where there is none (or an unreadable one: it can be made anew)."""
    try:
        document = json.loads((folder(project) / "state.json").read_text())
        return StackState(str(document["token"]), bool(document["wanted"]), dict(document["ports"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def load_or_new(project: Project) -> StackState:
    """The state, or a fresh one with its own token."""
    return load(project) or StackState(secrets.token_hex(16))


def save(project: Project, state: StackState) -> None:
    """Write the state; readers see the old or the new."""
    folder(project).mkdir(parents=True, exist_ok=True)
    atomic.write_text(folder(project) / "state.json", json.dumps(asdict(state), indent=1, sort_keys=True) + "\n")


@contextlib.contextmanager
def lock(project: Project, name: str = "stack") -> Iterator[None]:
    """One process at a time changes the stack (or one thing of it); the others wait."""
    folder(project).mkdir(parents=True, exist_ok=True)
    with (folder(project) / f"{name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def socket_path(project: Project) -> Path:
    """Where the supervisor listens: in the stack's folder, or in a private temporary folder if that path is too long.

    Raises:
        StackError: the temporary folder belongs to somebody else.
    """
    near = folder(project) / "supervisor.sock"
    if len(os.fsencode(near)) <= LONGEST_SOCKET_PATH:
        return near
    private = Path(tempfile.gettempdir()) / f"modelyard-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    about = private.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise StackError(
            "the folder for the supervisor's socket is not ours alone",
            where=str(private),
            expected="a folder of this user with mode 0700",
            next_step="remove it, or set TMPDIR to a folder of yours",
        )
    return private / (hashlib.sha256(os.fsencode(project.root)).hexdigest()[:16] + ".sock")
