"""Start one worker process of a Bento that finds nothing of ours but what lies in the Bento.

    python -I -B isolated_worker.py BENTO --fd N ...

It is the process that `bentoml serve` starts for each worker, without the supervisor above it (two thirds of the time
until it answers). Where this project is installed for editing, Python finds its rooms from anywhere; they are hidden
here first, so that a module missing in the Bento is missing.
"""

from __future__ import annotations

import runpy
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

WORKER = "_bentoml_impl.worker.service"
ROOM = "components"


def hide_installed_rooms() -> None:
    """Keep only Python's own ways to find a module, and only folders without rooms of ours."""
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]
    sys.path[:] = [entry for entry in sys.path if not (Path(entry) / ROOM).exists()]
    sys.path_importer_cache.clear()


if __name__ == "__main__":
    hide_installed_rooms()
    runpy.run_module(WORKER, run_name="__main__", alter_sys=True)
