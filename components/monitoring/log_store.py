"""Sealed hours in the artifact store: by digest as every artifact, and by name in `predictions/<model>/<hour>.json`."""

from __future__ import annotations

import json
from pathlib import Path

from components.core import atomic
from components.identity.artifact_store import LocalArtifactStore
from components.monitoring import sealing

FOLDER = "predictions"


def push(log: Path, model: str, store: Path) -> int:
    """Copy every sealed hour that the store has not, or has in an earlier form; returns their number.

    The earlier form of an hour whose inputs were removed, or a person's rows, leaves the store.

    Raises:
        CorruptArtifactError: a file is not as it was sealed.
        OSError: the store cannot be written to.
    """
    return _push(log, model, store, only_known=False)


def _push(log: Path, model: str, store: Path, *, only_known: bool) -> int:
    artifacts, count = LocalArtifactStore(store), 0
    for one in sealing.sealed_hours(log):
        place = store / FOLDER / model / f"{one.name}.json"
        earlier = _digest(place)
        if earlier == one.manifest.digest or (only_known and earlier is None):
            continue
        artifacts.put(one.folder, "predictions")
        atomic.write_text(place, json.dumps({"hour": one.name, "digest": one.manifest.digest}) + "\n")
        if earlier is not None:
            artifacts.remove(earlier)
        count += 1
    return count


def refresh(log: Path, model: str, store: Path) -> int:
    """`push` of those hours alone that the store has in an earlier form."""
    return _push(log, model, store, only_known=True)


def _digest(place: Path) -> str | None:
    try:
        return str(json.loads(place.read_bytes())["digest"])
    except (FileNotFoundError, ValueError, KeyError):
        return None
