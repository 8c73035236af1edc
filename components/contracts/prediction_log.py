"""The prediction log: what a service writes of its answers, and what people say later of their truth.

A worker appends to `<folder>/<hour>/<process>.predictions.jsonl`, the hour in UTC as `2026-11-29T13`. A line is a JSON
object, a block of answers in columns. What they share is under `model`, `version`, `package`, `role`. Format
`BY_REQUEST` has a value for each request under `id`, `time_us` (since 1970), `latency_us` and `outputs` (a list for its
samples); the former `BLOCK_FORMAT` has one for each sample under `id`, `index`, `time`, `latency_ms`, `output`, in
seconds and milliseconds. `rows` holds the columns that the task's expectations see, a value for each sample, for the
blocks that were described; `inputs` the inputs, where they are kept. `dropped` counts requests that are missing, as
they came faster than they could be written; it may stand in a line alone. A line that is cut off is the last of a
process that was killed.

Feedback is in `<hour of arrival>/<process>.feedback.jsonl`, a `Feedback` a line.

These types cross the boundary between a bundle and the Modelyard of today, so a field added later has a default.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from components.contracts.serving_spec import Tolerant
from components.core.strict import Strict

FOLDER = "MODELYARD_PREDICTION_LOG"  # names the folder of the log; without it a service writes none
OPEN, SEALED = "open", "sealed"  # folders of a model's log in a project: lines of workers, and sealed hours
PREDICTION_HEADER = "X-Modelyard-Prediction"
BLOCK_FORMAT, BY_REQUEST = 1, 2
HOUR_SECONDS = 3600.0
DAY_SECONDS = 24 * HOUR_SECONDS
PREDICTIONS, FEEDBACK = ".predictions.jsonl", ".feedback.jsonl"
REDACTED = "[redacted]"
FLAGS = "contract.flags"  # column of a row: columns that miss an expectation of the training data, a list as JSON
_HOUR = "%Y-%m-%dT%H"
_ID = re.compile(r"([0-9a-f]{8})-[0-9a-f]{16}")


class LogSpec(Strict):
    """What a service logs of its answers.

    Args:
        share: of the requests, drawn at random; 0: none.
        inputs: whether the inputs are kept too, as the service received them.
        retention_days: after which logged inputs are deleted. All else of the log stays.
        redact: names of columns or keys of inputs, and regular expressions in texts, whose values are not kept.
    """

    share: float = Field(default=1.0, ge=0, le=1)
    inputs: bool = False
    retention_days: int = Field(default=30, ge=1, le=3650)
    redact: list[str] = Field(default=[])

    @field_validator("redact")
    @classmethod
    def _compiles(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return value


class LogSettings(Tolerant):
    """`LogSpec` as a bundle's service reads it."""

    share: float = 1.0
    inputs: bool = False
    redact: tuple[str, ...] = ()


class Feedback(Strict):
    """The truth of an answer, told later.

    Args:
        id: of the prediction, from the answer's header or body.
        index: place of the sample in its request.
        truth: what is right: a label, a number, a list, as the task's predictions have it.
        at: when it was found out, seconds since 1970; null: when it arrived.
    """

    id: str
    index: int = Field(default=0, ge=0, lt=2**31)
    truth: Any
    at: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @field_validator("truth")
    @classmethod
    def _is_json(cls, value: Any) -> Any:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError("no value of JSON, such as a label, a finite number or a list") from error
        return value

    @field_validator("at")
    @classmethod
    def _is_past(cls, value: float | None) -> float | None:
        if value is not None and value > time.time() + DAY_SECONDS:
            raise ValueError("lies in the future; seconds since 1970 are expected, not milliseconds")
        return value

    @field_validator("id")
    @classmethod
    def _is_id(cls, value: str) -> str:
        if not _ID.fullmatch(value):
            raise ValueError("no prediction id: 8 and 16 hex digits with a hyphen between, as an answer has it")
        return value


def hour_of(seconds: float) -> str:
    """The name of the hour that a time is in; seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_HOUR)


def begin_of(hour: str) -> float:
    """The begin of an hour, seconds since 1970.

    Raises:
        ValueError: the text names no hour.
    """
    return datetime.strptime(hour, _HOUR).replace(tzinfo=UTC).timestamp()


def answered_at(prediction_id: str) -> int:
    """When a prediction was made, as its id says: whole seconds since 1970."""
    return int(prediction_id[:8], 16)


def hours(folder: Path) -> list[str]:
    """The hours of a log, in order."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            begin_of(path.name)
        except ValueError:
            continue
        found.append(path.name)
    return sorted(found)
