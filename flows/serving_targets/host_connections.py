"""The connections of this process to the hosts of its projects: one a host, kept until `modelyard.toml` changes it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from pathlib import Path

from components.contracts import settings as settings_file
from components.contracts.settings import HostSettings
from components.core.project import Project
from flows.serving_targets.host_connection import HostConnection


@functools.cache
def _known() -> dict[tuple[str, str, HostSettings], HostConnection]:
    return {}


_known_lock = threading.Lock()


def connections(project: Project, model: str | None = None) -> tuple[HostConnection, ...]:
    """The connections of this process to the hosts that `modelyard.toml` names.

    Args:
        model: only those that are to serve it.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    root = str(project.root)
    with _known_lock:
        named = _named(project)
        # Which models a host serves makes no difference to how it is reached.
        reached = {name: settings.model_copy(update={"models": None}) for name, settings in named.items()}
        known = _known()
        for key in [key for key in known if key[0] == root and reached.get(key[1]) != key[2]]:
            known.pop(key).close()
        for name, settings in reached.items():
            known.setdefault((root, name, settings), HostConnection(project, name, settings))
        chosen = [name for name in sorted(named) if model is None or named[name].serves(model)]
        return tuple(known[root, name, reached[name]] for name in chosen)


def _named(project: Project) -> Mapping[str, HostSettings]:
    """The hosts of `modelyard.toml`, which is read again when it has changed."""
    path = project.root / settings_file.FILE_NAME
    try:
        about = path.stat()
        stamp = (about.st_ino, about.st_mtime_ns, about.st_size)
    except OSError:
        stamp = (0, 0, 0)
    known = _read.get(path)
    if known is None or known[0] != stamp:
        known = _read[path] = (stamp, settings_file.read(project.root).hosts)
    return known[1]


_read: dict[Path, tuple[tuple[int, int, int], Mapping[str, HostSettings]]] = {}


def close_all() -> None:
    """End all sessions of this process; called at its end."""
    with _known_lock:
        for connection in _known().values():
            connection.close()
        _known().clear()
