"""DVC's hash of a folder, without DVC: the hash recorded in dvc.lock, and the hash of the files on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import yaml

from components.core.errors import CorruptArtifactError


def recorded(root: Path, output: str) -> str | None:
    """The md5 of an output (`data/digits/raw`) in dvc.lock; None if dvc.lock has none.

    Raises:
        CorruptArtifactError: dvc.lock cannot be read.
    """
    path = root / "dvc.lock"
    if not path.is_file():
        return None
    try:
        stages = yaml.safe_load(path.read_bytes())["stages"].values()
        outputs = [out for stage in stages for out in stage.get("outs", ())]
        return next((str(out["md5"]) for out in outputs if out["path"] == output), None)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CorruptArtifactError("dvc.lock cannot be read", where=str(path), got=error) from error


def of_folder(folder: Path) -> str:
    """DVC's md5 of a folder: of the sorted list of its files and their md5, as JSON.

    As in dvc-data's `Tree.as_bytes`.
    """
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listed = [{"md5": _of_file(folder / name), "relpath": name} for name in files]
    return _md5(json.dumps(listed, sort_keys=True).encode()) + ".dir"


def _of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
