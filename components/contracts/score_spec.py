"""How a batch is scored: the options of `modelyard score`, and the section `score:` of a pipeline file."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from components.contracts.schedule_spec import ScheduleSpec
from components.core.strict import Strict

_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%")
_FIELDS = {"{date}", "{time}"}


class ScoreOptions(Strict):
    """What is read, answered and written.

    Args:
        format: of the files of predictions.
        keep: columns of the input in the output: `others`, those that the model does not read, such as keys; `all`;
            `none`; or their names.
        column: the column of a table that is the sample, where samples are texts, pictures, sounds or series.
        split: of a dataset; None: all of its samples.
        max_errors: how many samples may be unreadable or without an answer: a number, or a share such as `1%`; with
            more, the output is not made.
        parameters: of the endpoint, as in a request.
        expectations: whether the dataset's expectations are judged over the input: `report`, `refuse` (no output where
            one is not met) or `off`.
    """

    format: Literal["parquet", "csv", "jsonl"] = "parquet"
    keep: Literal["others", "all", "none"] | list[str] = "others"
    column: str | None = Field(default=None, min_length=1)
    split: Literal["train", "validation", "test"] | None = None
    max_errors: int | str = "1%"
    parameters: dict[str, Any] = Field(default={})
    expectations: Literal["report", "refuse", "off"] = "report"

    @field_validator("max_errors")
    @classmethod
    def _is_limit(cls, value: int | str) -> int | str:
        text = str(value).strip()
        match = _SHARE.fullmatch(text)
        if text.isdecimal() or (match is not None and float(match[1]) <= 100):
            return value
        raise ValueError("a number of samples, or a share such as 1%")

    def allowed_errors(self, samples: int) -> int:
        """How many of so many samples may have an error."""
        match = _SHARE.fullmatch(str(self.max_errors).strip())
        return int(self.max_errors) if match is None else int(samples * float(match[1]) / 100)


class ScoreSpec(ScoreOptions):
    """`score:` of a pipeline file: what is scored by itself, when, and where the output is.

    Args:
        input: a file, a folder or a dataset of the project; or a list of files and folders. A relative path starts at
            the project.
        out: folder of the output, a new one each time: `{date}` is the day, `{time}` the minute as 0315.
        schedule: when.
        alias: which version answers; `champion` is what is in production.
        processes: of this machine, that score; None: as `run:` says, else as many as there are processors.
    """

    input: str | list[str]
    out: str
    schedule: ScheduleSpec
    alias: str = Field(default="champion", pattern=r"^[A-Za-z0-9_-]+$")
    processes: int | None = Field(default=None, ge=1, le=256)

    @field_validator("out")
    @classmethod
    def _has_a_date(cls, value: str) -> str:
        fields = re.findall(r"\{[^}]*\}", value)
        if "{date}" not in fields or set(fields) - _FIELDS:
            raise ValueError("a folder with {date} in its name, and perhaps {time}, such as scores/{date}")
        return value

    @model_validator(mode="after")
    def _has_input(self) -> Self:
        if not self.input:
            raise ValueError("input: names nothing")
        return self

    @property
    def inputs(self) -> list[str]:
        """What is scored."""
        return [self.input] if isinstance(self.input, str) else self.input

    @property
    def options(self) -> ScoreOptions:
        """The options alone."""
        return ScoreOptions.model_validate(self.model_dump(include=set(ScoreOptions.model_fields)))
