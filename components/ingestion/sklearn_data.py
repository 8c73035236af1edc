"""Files of data inside the installed scikit-learn, found without an import, which takes seconds."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from components.core.errors import SourceError


def path(name: str) -> Path:
    """The file of a name.

    Raises:
        SourceError: scikit-learn is not installed, or has no such file.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError("scikit-learn is not installed", next_step="make venv")
    found = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name
    if not found.is_file():
        raise SourceError("scikit-learn came without its data", where=str(found), next_step="reinstall scikit-learn")
    return found
