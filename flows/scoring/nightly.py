"""Where the output of `score:` of a pipeline file goes, and which output was the last."""

from __future__ import annotations

import glob
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from components.contracts.score_spec import ScoreSpec
from components.core.project import Project
from components.identity import manifest as manifests

_FIELDS = ("{date}", "{time}")


def folder(project: Project, spec: ScoreSpec, moment: datetime) -> Path:
    """The folder of the output of a moment; its day and minute are of the schedule's time zone."""
    local = moment.astimezone(ZoneInfo(spec.schedule.timezone))
    text = spec.out.replace("{date}", local.date().isoformat()).replace("{time}", local.strftime("%H%M"))
    return project.root / text


def last(project: Project, spec: ScoreSpec, but: Path) -> Path | None:
    """The newest whole output, by name; None if there is none but that one."""
    pattern = glob.escape(spec.out)
    for field in _FIELDS:
        pattern = pattern.replace(glob.escape(field), "*")
    texts = glob.glob(str(project.root / pattern))  # noqa: PTH207  # `out` may be absolute
    found = [path for text in texts if (path := Path(text)) != but]
    whole = sorted(path for path in found if (path / manifests.FILE_NAME).is_file())
    return whole[-1] if whole else None
