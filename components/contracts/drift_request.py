"""What the command asks of `components.monitoring`: judge the windows of a prediction log."""

from __future__ import annotations

from components.contracts.monitor_spec import MonitorSpec
from components.contracts.request_file import RequestFile


class DriftRequest(RequestFile):
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
