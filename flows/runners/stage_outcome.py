"""The outcome of a stage on another machine: the last line of its output that is one (`stage_job`)."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from components.contracts.stage_request import StageResult
from components.core.errors import ModelyardError
from flows.runners import stage_job
from flows.runners.stage_runner import LineSink

_BEGINS = (f'{{"{stage_job.RESULT}": ', f'{{"{stage_job.ERROR}": ')


class StageOutcome:
    """Reads the lines of a job's output. A job that is queued again may have more than one outcome: the last counts.

    Args:
        on_event: called with each line that is none.
    """

    def __init__(self, on_event: LineSink) -> None:
        self._on_event = on_event
        self._found: dict[str, Any] | None = None

    def take(self, line: str) -> None:
        """Take a line."""
        if line.startswith(_BEGINS):
            with suppress(ValueError):  # a line that a kill cut off
                self._found = json.loads(line)
                return
        self._found = None  # the job goes on after it
        self._on_event(line)

    def read(self, path: Path) -> None:
        """Take the lines of a file; nothing if it is not there."""
        with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self.take(line.rstrip("\n"))

    def forget_error(self) -> None:
        """Forget an error: the job is queued again, so that it is of an earlier attempt. A result stays."""
        if self.error is not None:
            self._found = None

    @property
    def is_known(self) -> bool:
        """Whether the last line was an outcome."""
        return self._found is not None

    @property
    def error(self) -> ModelyardError | None:
        """The stage's error; None if it has none, or nothing is known."""
        if self._found is None or stage_job.ERROR not in self._found:
            return None
        return ModelyardError.from_dict(self._found[stage_job.ERROR])

    def result(self) -> StageResult:
        """What the stage left.

        Raises:
            ModelyardError: the stage's error.
        """
        assert self._found is not None  # noqa: S101  # the caller has looked
        if (error := self.error) is not None:
            raise error
        return StageResult.model_validate_json(json.dumps(self._found[stage_job.RESULT]))
