"""The staged dataset, sealed with its verdict, takes the place of the last good one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from components.core import atomic
from components.core.errors import CorruptArtifactError, NotFoundError
from components.core.project import Project
from components.identity import digest, manifest

VERDICT = "verdict.json"


def accept(folder: Path) -> manifest.Manifest:
    """Seal the staged folder with the verdict passed on exactly these bytes, and swap it in; atomic.

    Raises:
        NotFoundError: nothing is staged, or no verdict was passed on it.
        CorruptArtifactError: it was changed after the verdict, or the verdict is not a good one.
    """
    staging = Project(Path()).state / "staging" / folder.resolve().name
    staged = manifest.verify(staging / "prepared", "prepared")
    verdict_file = staging / VERDICT
    if not verdict_file.is_file():
        raise NotFoundError("no verdict on the staged dataset", where=str(verdict_file))
    verdict = json.loads(verdict_file.read_text())
    if verdict["subject_digest"] != staged.digest or verdict["success"] is not True:
        raise CorruptArtifactError(
            "the verdict is not on this dataset, or not a good one",
            where=str(verdict_file),
            got=f"{verdict['subject_digest']}, success: {verdict['success']}",
            expected=f"{staged.digest}, success: True",
        )
    with atomic.folder(folder / "prepared") as fresh:
        for path in sorted((staging / "prepared").iterdir()):
            if path.name != manifest.FILE_NAME:
                shutil.move(path, fresh / path.name)
        shutil.move(verdict_file, fresh / VERDICT)
        facts = {**staged.facts, "verdict_digest": digest.of_file(fresh / VERDICT)}
        sealed = manifest.seal(fresh, "prepared", facts)
    shutil.rmtree(staging, ignore_errors=True)
    return sealed
