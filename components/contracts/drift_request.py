"""What the command asks of `components.monitoring`: judge the windows of a prediction log."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from components.contracts.monitor_spec import MonitorSpec
from components.core.errors import UsageError
from components.core.strict import Strict


class DriftRequest(Strict):
    """`python -m components.monitoring REQUEST.json`; paths are relative to the working directory.

    Args:
        log: folder of the model's prediction log.
        dataset: folder of the dataset that the model was trained on.
        packages: folders below which sealed packages lie.
        references: folder of references that were made before.
        target: folder of the model's judged windows.
        since, until: names of the first and the last window, or the begin of one: `2026-11-29`; None: all.
        again: whether to judge windows that were judged before.
    """

    model: str
    log: str
    dataset: str
    packages: list[str]
    references: str
    target: str
    monitor: MonitorSpec
    since: str | None = None
    until: str | None = None
    again: bool = False

    @staticmethod
    def read(arguments: list[str]) -> DriftRequest:
        """The request in the file that the stage was called with.

        Raises:
            UsageError: not one argument, no such file, or it does not fit the contract.
        """
        if len(arguments) != 1:
            raise UsageError("one request file is expected", got=arguments, expected="REQUEST.json")
        try:
            return DriftRequest.model_validate_json(Path(arguments[0]).read_bytes())
        except (OSError, ValidationError) as error:
            raise UsageError("the request cannot be read", where=arguments[0], got=error) from error
