"""The upkeep of the prediction logs, by the controller: hours that are over are sealed within minutes.

A process of its own does it, as it may take minutes and its libraries are large; one at a time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from components.contracts import settings as settings_file
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import ModelyardError
from components.core.project import Project
from components.monitoring import upkeep_request
from components.monitoring.upkeep_request import UpkeepRequest
from flows.platform import connections

PERIOD_SECONDS = 30.0
REMOVAL_PERIOD_SECONDS = 600.0
RETRY_SECONDS = 600.0  # after an upkeep that failed


class LogUpkeep:
    """Starts the upkeep of a log where it is due."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._process: subprocess.Popen[bytes] | None = None
        self._model = ""
        self._next = self._next_removal = 0.0
        self._not_before: dict[str, float] = {}

    def is_at_work(self) -> bool:
        """Whether an upkeep is being done."""
        return self._process is not None and self._process.poll() is None

    def look(self) -> None:
        """Start an upkeep that is due, unless one is at work; cheap where nothing is."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process, self._next = None, 0.0  # the next log at once
            self._not_before[self._model] = now + (RETRY_SECONDS if code else PERIOD_SECONDS)
        if now < self._next:
            return
        is_thorough = now >= self._next_removal
        for log in sorted((self._project.state / "predictions").glob("*")):
            if now < self._not_before.get(log.name, 0.0):
                continue
            is_due = upkeep_request.is_sealing_due(log, time.time())
            if not is_due and not is_thorough:
                continue
            request = request_of(self._project, log)
            if is_due or upkeep_request.is_removal_due(request, time.time()):
                words = [sys.executable, "-m", "components.monitoring.upkeep", request.model_dump_json()]
                self._process, self._model = subprocess.Popen(words, stdin=subprocess.DEVNULL), log.name
                return
        self._next = now + PERIOD_SECONDS
        if is_thorough:
            self._next_removal = now + REMOVAL_PERIOD_SECONDS


def request_of(project: Project, log: Path, *, push: bool = False) -> UpkeepRequest:
    """What the upkeep of a log is, as the pipeline's file and modelyard.toml say.

    Args:
        push: push sealed hours, whatever modelyard.toml says.

    Raises:
        SpecError: modelyard.toml is wrong.
    """
    settings = settings_file.read(project.root).predictions
    return UpkeepRequest(
        log=log,
        model=log.name,
        retention_days=_retention_days(project, log.name),
        store=connections.artifact_folder(project) if push or settings.push else None,
    )


def _retention_days(project: Project, model: str) -> int | None:
    file = project.pipeline_file(model)
    try:
        return located_yaml.read(file, PipelineSpec).serving.log.retention_days if file.is_file() else None
    except ModelyardError:  # whoever runs the pipeline hears of it; until then nothing is removed
        return None
