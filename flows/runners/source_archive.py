"""The code that a stage on another machine runs: a sealed copy in a folder that both machines see, by its digest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from components.identity import manifest as manifests
from components.identity import user_source

ROOMS = ("components", "flows")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")


def ensure(folder: Path, source_root: Path, modules: Iterable[str]) -> Path:
    """The copy of the present code in a folder; it is made unless it is there.

    Args:
        folder: of all copies.
        source_root: the folder that holds our rooms.
        modules: that a pipeline names: of ours, which are copied anyway, and of the user's.

    Raises:
        FileNotFoundError: a module is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".", dir=folder))
    try:
        for room in ROOMS:
            shutil.copytree(source_root / room, fresh / room, ignore=_LEFT_OUT)
        user_source.copy([name for name in modules if not user_source.is_ours(name)], source_root, fresh)
        target = folder / manifests.seal(fresh, "source", {}).digest[:32]
        if not (target / manifests.FILE_NAME).is_file():
            fresh.chmod(0o755)
            try:
                fresh.rename(target)
            except OSError:  # another process was faster
                manifests.load(target, "source")
        os.utime(target)  # when it was used last: `modelyard gc` removes old ones
        return target
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
