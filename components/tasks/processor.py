"""The fitted half of a task on disk: processor.json, sorted and without times, so that equal states are equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from components.core.errors import CorruptArtifactError
from components.core.strict import Strict

FILE_NAME = "processor.json"
FILES = (FILE_NAME, "tokenizer.json")  # all that `save` may write


class Fitted(Strict):
    """A processor whose whole state is its fields; one with a tokenizer extends both methods."""

    def save(self, folder: Path) -> None:
        """Write processor.json."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            CorruptArtifactError: it cannot be read.
        """
        path = folder / FILE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise CorruptArtifactError("the processor cannot be read", where=str(path), got=error) from error
