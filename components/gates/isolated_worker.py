"""Start one worker process of a Bento that imports our modules from the Bento only.

    python -I -B isolated_worker.py BENTO --fd N ...

The process is the one that `bentoml serve` starts for each worker, without the supervisor (two thirds of the start-up
time). With an editable install of this project, Python finds `components` from any folder; this script hides it first,
so that the import of a module that the Bento lacks fails.
"""

from __future__ import annotations

import runpy
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

WORKER = "_bentoml_impl.worker.service"
ROOM = "components"


def hide_installed_rooms() -> None:
    """Keep only Python's own finders, and only folders of sys.path without `components`."""
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]
    sys.path[:] = [entry for entry in sys.path if not (Path(entry) / ROOM).exists()]
    sys.path_importer_cache.clear()


if __name__ == "__main__":
    hide_installed_rooms()
    runpy.run_module(WORKER, run_name="__main__", alter_sys=True)
