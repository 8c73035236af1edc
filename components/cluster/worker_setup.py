"""What runs on the workers of an existing Dask cluster before any of our code is there; it travels by value.

Imports the standard library and distributed alone.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
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


def look(paths: list[str], packages: list[str]) -> dict[str, Any]:
    """What a worker has: the paths that it sees, the versions of packages ("" if there is none), its host."""
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    return {"sees": [path for path in paths if Path(path).exists()], "versions": versions, "host": os.uname().nodename}
