"""The folder of an output, while it is made and when it is whole.

    predictions/, inputs/, errors.csv, summary.json, expectations.json     the output
    manifest.json       kind `predictions`: the seal; it appears last
    .scoring/           while it is made: run.json (what of), parts/ (seals of parts), result/ (the output so far)

Whoever makes it holds a lock on the folder. A result is sealed in `.scoring/result` and moved from there, file by file,
the manifest last: a kill in between is completed by the next run.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.core import atomic
from components.core.errors import CorruptArtifactError, UsageError
from components.identity import manifest as manifests
from components.identity.manifest import Manifest
from components.scoring.part import INPUTS, PREDICTIONS, RESULT, SEALS

WORK, RUN_FILE = ".scoring", "run.json"
ERRORS, SUMMARY, EXPECTATIONS = "errors.csv", "summary.json", "expectations.json"
_OWN = {WORK, PREDICTIONS, INPUTS, ERRORS, SUMMARY, EXPECTATIONS, manifests.FILE_NAME}
SCORED = "scored"  # the fact of a manifest that says what the folder is


class OutputFolder:
    """The folder of an output, locked by this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / WORK
        self.result = self.work / RESULT

    def sealed(self) -> Manifest | None:
        """The manifest of a whole output; None if there is none.

        Raises:
            CorruptArtifactError: the manifest cannot be read, or is of something else.
        """
        return sealed(self.path)

    def begin(self, run: str, facts: dict[str, Any], *, force: bool) -> None:
        """Begin, or go on with what is there of the same run.

        Args:
            run: digest of the model and of the options.
            facts: the same in words, for the error.

        Raises:
            UsageError: the folder holds an unfinished output of another run, and `force` is not set.
        """
        try:
            before = json.loads((self.work / RUN_FILE).read_text())
        except (FileNotFoundError, ValueError):
            before = None
        if before is not None and before.get("run") != run and not force:
            differ = [name for name, value in facts.items() if before.get("facts", {}).get(name) != value]
            raise UsageError(
                "the folder holds an unfinished output of another run",
                where=str(self.path),
                got=", ".join(f"{name} {before.get('facts', {}).get(name)}" for name in differ) or "other code",
                expected=", ".join(f"{name} {facts[name]}" for name in differ) or "the same code",
                next_step="name the model and the options of that run to finish it, choose another folder, or write "
                "--force to begin anew",
            )
        if before is None or before.get("run") != run:
            shutil.rmtree(self.work, ignore_errors=True)
        for folder in (self.work / SEALS, self.result / PREDICTIONS, self.result / INPUTS):
            folder.mkdir(parents=True, exist_ok=True)
        atomic.write_text(self.work / RUN_FILE, json.dumps({"run": run, "facts": facts}, indent=1) + "\n")

    def publish(self) -> None:
        """Move a sealed result into its place; nothing to do without one."""
        if not (self.result / manifests.FILE_NAME).is_file():
            return
        (self.path / manifests.FILE_NAME).unlink(missing_ok=True)  # of an output that is replaced
        for name in sorted(_OWN - {WORK, manifests.FILE_NAME}):
            source, target = self.result / name, self.path / name
            if source.exists():
                _remove(target)
                source.rename(target)
            elif name == EXPECTATIONS and name not in _top(manifests.load(self.result, "predictions")):
                _remove(target)  # of an output that is replaced
        (self.result / manifests.FILE_NAME).rename(self.path / manifests.FILE_NAME)
        shutil.rmtree(self.work)

    def keep_only(self, names: set[str]) -> None:
        """Remove all files of the result but these: those of other pieces, and what a kill left."""
        for folder in (PREDICTIONS, INPUTS):
            for path in (self.result / folder).iterdir():
                if f"{folder}/{path.name}" not in names:
                    path.unlink()
        for path in self.result.iterdir():
            if path.is_file():
                path.unlink()


@contextmanager
def opened(path: Path) -> Iterator[OutputFolder]:
    """Create and lock the folder of an output, and complete what a killed run had nearly done.

    Raises:
        UsageError: it is no folder, holds other files, or another process makes an output there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError("the output is a folder", where=str(path), got="a file") from error
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                "another process makes an output in this folder",
                where=str(path),
                next_step="wait until it is done, or choose another folder",
            ) from error
        others = sorted({child.name for child in path.iterdir()} - _OWN)
        is_ours = (path / WORK).is_dir() or (path / manifests.FILE_NAME).is_file() or not any(path.iterdir())
        if others or not is_ours:
            names = others or sorted(child.name for child in path.iterdir())
            raise UsageError(
                "the folder holds other files",
                where=str(path),
                got=", ".join(names[:5]),
                expected="a new or empty folder",
                next_step="choose another folder: --out DIR",
            )
        folder = OutputFolder(path)
        folder.publish()
        yield folder
    finally:
        os.close(descriptor)


def sealed(path: Path) -> Manifest | None:
    """The manifest of a whole output; None if there is none.

    Raises:
        CorruptArtifactError: the manifest cannot be read, or is of something else.
    """
    if not (path / manifests.FILE_NAME).is_file():
        return None
    found = manifests.load(path, "predictions")
    if SCORED not in found.facts:
        raise CorruptArtifactError("not an output of `modelyard score`", where=str(path / manifests.FILE_NAME))
    return found


def _top(manifest: Manifest) -> set[str]:
    return {name.partition("/")[0] for name in manifest.files}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
