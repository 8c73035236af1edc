"""Removes DVC's record of readers and writers, `.dvc/tmp/rwlock`, if a killed process has left the file incomplete.

DVC overwrites the file in place. If DVC is killed while writing, the file is invalid JSON, and DVC refuses all further
work until the file is removed.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

_SETTLED_SECONDS = 0.2


def clear(root: Path) -> None:
    """Remove the record if it is invalid and stays so: a `dvc` command of the user may be writing the file."""
    path = root / ".dvc" / "tmp" / "rwlock"
    if _is_torn(path):
        time.sleep(_SETTLED_SECONDS)
        if _is_torn(path):
            path.unlink(missing_ok=True)


def _is_torn(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False
