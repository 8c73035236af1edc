"""DVC's record of who reads and writes what, `.dvc/tmp/rwlock`, where a kill left half of it.

DVC writes it anew in place; killed in that moment it leaves a file that is no JSON, and from then on DVC refuses all
work until somebody removes it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

_SETTLED_SECONDS = 0.2


def clear(root: Path) -> None:
    """Remove the record if it is torn, and stays so: a `dvc` command of somebody's own may be writing it just now."""
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
