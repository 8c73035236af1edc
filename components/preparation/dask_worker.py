"""What runs on the workers of an existing Dask cluster before any of our code is there; it travels by value.

Imports the standard library and distributed alone.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import signal
import sys
from pathlib import Path
from typing import Any

from distributed.diagnostics.plugin import WorkerPlugin

ROOMS = ("components", "flows")
_FOLDER = "modelyard_code"  # attribute of `sys`: the folder whose code the worker has


class CodeFolder(WorkerPlugin):  # type: ignore[misc]  # its types are not read
    """Lets a worker import our code from a folder that it sees; a worker that joins later, or starts again, too.

    Modules of another copy that the worker has imported are forgotten.
    """

    name = "modelyard-code"

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def setup(self, worker: Any) -> None:
        """Called by the worker."""
        before = getattr(sys, _FOLDER, None)
        if before != self._folder:
            for name in [name for name in sys.modules if name.partition(".")[0] in ROOMS]:
                del sys.modules[name]
            sys.path[:] = [self._folder, *(path for path in sys.path if path != before)]
            importlib.invalidate_caches()
            setattr(sys, _FOLDER, self._folder)


class IgnoresInterrupt(WorkerPlugin):  # type: ignore[misc]
    """Keeps the terminal's Ctrl-C, which reaches all processes, from a worker on this machine: its cluster ends it."""

    name = "modelyard-interrupt"

    def setup(self, worker: Any) -> None:
        """Called by the worker, in its main thread."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def look(path: str, packages: list[str]) -> dict[str, Any]:
    """What a worker has: whether it sees a file, the versions of packages ("" if there is none), its host."""
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    return {"sees": Path(path).is_file(), "versions": versions, "host": os.uname().nodename}


def code_of_worker() -> str:
    """The folder whose code this process has been told to use; "" if it was told nothing."""
    return str(getattr(sys, _FOLDER, ""))
