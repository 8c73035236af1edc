"""Base class of processors: the fitted state as processor.json, so that equal states are equal bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from components.core.errors import CorruptArtifactError
from components.core.strict import Strict
from components.tasks.task import EMBEDDING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunOutputs

FILE_NAME = "processor.json"
FILES = (FILE_NAME, "tokenizer.json")  # all files that `save` may write
# Names of settings in datasets and packages of earlier versions, and their names since.
RENAMED_FIELDS = {"longest": "max_length", "longest_seconds": "max_seconds", "least": "min_frequency"}


class BaseProcessor(Strict):
    """A processor whose whole state is its fields; a processor with a tokenizer extends `save` and `load`."""

    def save(self, folder: Path) -> None:
        """Write processor.json: sorted keys, no times."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")

    def embed(self, run: RunOutputs, samples: Sequence[Arrays]) -> NDArray[np.float32]:
        """What the network's last layer reads of each sample, float32 (N, D); not normalised."""
        from components.preprocessing.batch import collate

        own: Any = self  # arrays and inputs are the task's
        specs = own.input_arrays() if hasattr(own, "input_arrays") else own.arrays()
        names = [spec.name for spec in specs if spec.name in own.inputs()]
        return run("model", collate(specs, samples, names), [EMBEDDING])[EMBEDDING]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read processor.json, also with the field names of earlier versions.

        Raises:
            CorruptArtifactError: the file cannot be read or does not fit.
        """
        path = folder / FILE_NAME
        try:
            state = json.loads(path.read_bytes())
            for old, new in RENAMED_FIELDS.items():
                if old in state and new in cls.model_fields:
                    state[new] = state.pop(old)
            return cls.model_validate_json(json.dumps(state))
        except (OSError, ValueError, TypeError) as error:
            raise CorruptArtifactError("the processor cannot be read", where=str(path), got=error) from error
