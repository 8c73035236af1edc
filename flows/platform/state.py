"""The stack's persistent state: the project's folder, whether the stack should run, and its ports."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from components.access import project_door
from components.access import secret as secrets
from components.core import atomic, file_lock
from components.core.errors import StackError
from components.core.log import Log
from components.core.project import Project

LONGEST_SOCKET_PATH = 88  # Unix allows 107 bytes; supervisord binds to a longer name first and renames


@dataclass(frozen=True)
class StackState:
    """`stack/state.json`.

    Args:
        root: the project's folder. If it differs from the current folder, the project was copied or moved.
        wanted: whether the stack should run; a killed supervisor is restarted only if this is true.
        ports: port by program; kept, so that URLs stay the same after a restart.
        profile: what `modelyard up --profile` named last; None: nothing was named.
    """

    root: str
    wanted: bool = False
    ports: dict[str, int] = field(default_factory=dict)
    profile: str | None = None

    def with_port(self, program: str, port: int) -> StackState:
        """A copy with one port set."""
        return replace(self, ports={**self.ports, program: port})


_known: dict[Path, tuple[tuple[int, int, int], StackState]] = {}  # by file: what it was when it was read last


def folder(project: Project) -> Path:
    """The stack's folder: state, configuration, logs."""
    return project.state / "stack"


def load(project: Project) -> StackState | None:
    """The state; None if it is missing, unreadable, or belongs to another folder."""
    stack_state = _read(project)
    return stack_state if stack_state is not None and stack_state.root == str(project.root) else None


def profile(project: Project) -> str | None:
    """What `modelyard up --profile` named last, also before a moved project was moved; None: nothing, or a copy."""
    found = _read(project)
    if found is None or (found.root != str(project.root) and is_there(found.root)):
        return None
    return found.profile


def load_or_new(project: Project) -> StackState:
    """The state; a new one if `load` returns None."""
    return load(project) or StackState(str(project.root))


def claim(project: Project) -> tuple[StackState, str | None]:
    """Take over the state for this folder, and create a missing secret; the caller holds the lock.

    A moved project keeps its ports and its secret. A copied project gets new ones, and the original's services, process
    records and used codes are removed from the copy.

    Returns:
        The state, and the folder that the project was moved or copied from, or None.
    """
    stack_state = _read(project)
    came_from = stack_state.root if stack_state is not None and stack_state.root != str(project.root) else None
    if stack_state is not None and came_from is not None:
        if is_there(came_from):
            for name in ("serving.d", "programs", "running", "used-codes"):
                shutil.rmtree(folder(project) / name, ignore_errors=True)
            project_door.secret_file(project).unlink(missing_ok=True)
            for path in (project.state / "flows").glob("*.json"):  # the original's processes: killed runs in the copy
                atomic.write_text(path, json.dumps({"pid": 0, "start": 0, "boot": ""}))
            stack_state = StackState(str(project.root))
        else:
            stack_state = replace(stack_state, root=str(project.root))
    if stack_state is None:
        stack_state = StackState(str(project.root))
    if project_door.secret_of(project) is None:
        secrets.create(project_door.secret_file(project))
    save(project, stack_state)
    return stack_state, came_from


def is_there(root: str) -> bool:
    """Whether a folder contains the state of a project's stack."""
    try:
        return (Path(root) / ".modelyard" / "stack" / "state.json").exists()
    except PermissionError:  # another user's project
        return True


def _read(project: Project) -> StackState | None:
    try:
        path = folder(project) / "state.json"
        about = path.stat()
        stamp = (about.st_ino, about.st_mtime_ns, about.st_size)  # each state is a new file
        known = _known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        document = json.loads(path.read_text())
        wanted, profile = bool(document["wanted"]), document.get("profile")
        found = StackState(str(document["root"]), wanted, dict(document["ports"]), profile)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    _known[path] = (stamp, found)
    return found


def save(project: Project, state: StackState) -> None:
    """Write the state atomically."""
    folder(project).mkdir(parents=True, exist_ok=True)
    atomic.write_text(folder(project) / "state.json", json.dumps(asdict(state), indent=1, sort_keys=True) + "\n")


@contextlib.contextmanager
def lock(project: Project, log: Log | None = None) -> Iterator[None]:
    """Lock the stack for changes; other processes wait.

    Args:
        log: called every ten seconds while another process holds the lock.
    """
    holder = "another command that starts or stops servers of this project"
    with file_lock.locked(folder(project) / "stack.lock", holder, log):
        yield


def socket_path(project: Project) -> Path:
    """The supervisor's Unix socket: in the stack's folder, or in a private temporary folder if that path is too long.

    Raises:
        StackError: the temporary folder belongs to another user, or others can access it.
    """
    path = folder(project) / "supervisor.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    temporary_folder = Path(tempfile.gettempdir()) / f"modelyard-{os.getuid()}"
    temporary_folder.mkdir(mode=0o700, exist_ok=True)
    status = temporary_folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StackError(
            "the folder for the supervisor's socket is not private to this user",
            where=str(temporary_folder),
            expected="a folder of this user with mode 0700",
            next_step="remove the folder, or set TMPDIR to a folder of your own",
        )
    return temporary_folder / (hashlib.sha256(os.fsencode(project.root)).hexdigest()[:16] + ".sock")
