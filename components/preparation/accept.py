"""Replace the prepared dataset with the staged one and its verdict."""

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
    """Seal the staged folder together with the verdict on exactly these bytes, and move it to `prepared/`; atomic.

    Raises:
        NotFoundError: there is no staged dataset, or no verdict on it.
        CorruptArtifactError: the staged dataset changed after the verdict, or the verdict is negative.
    """
    staging = Project(Path()).state / "staging" / folder.resolve().name
    staged = manifest.verify(staging / "prepared", "prepared")
    verdict_file = staging / VERDICT
    if not verdict_file.is_file():
        raise NotFoundError("no verdict on the staged dataset", where=str(verdict_file))
    verdict = json.loads(verdict_file.read_text())
    if verdict["subject_digest"] != staged.digest or verdict["success"] is not True:
        raise CorruptArtifactError(
            "the verdict is negative, or on another dataset",
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
