"""What the flow `monitor` asks of `components.monitoring.labelled_stage`: labelled answers as samples of a dataset."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from components.core.errors import UsageError
from components.core.strict import Strict


class LabelledRequest(Strict):
    """`python -m components.monitoring.labelled_stage REQUEST.json`; paths are relative to the working directory.

    Args:
        dataset: folder of the dataset.
        min_labels: samples that there must be at least; with fewer no file is written.
        target: the file of the result, `LabelledResult` as JSON.
    """

    log: str
    dataset: str
    min_labels: int
    target: str

    @staticmethod
    def read(arguments: list[str]) -> LabelledRequest:
        """The request in the file that the stage was called with.

        Raises:
            UsageError: not one argument, no such file, or it does not fit the contract.
        """
        if len(arguments) != 1:
            raise UsageError("one request file is expected", got=arguments, expected="REQUEST.json")
        try:
            return LabelledRequest.model_validate_json(Path(arguments[0]).read_bytes())
        except (OSError, ValidationError) as error:
            raise UsageError("the request cannot be read", where=arguments[0], got=error) from error


class LabelledResult(Strict):
    """The file of added samples.

    Args:
        path: relative to the dataset's folder; None: there were fewer samples than asked for.
        labels: new samples, by split.
        left_out: labelled answers that are no samples, by reason.
    """

    path: str | None
    sha256: str | None
    samples: int
    splits: dict[str, int]
    left_out: dict[str, int]
