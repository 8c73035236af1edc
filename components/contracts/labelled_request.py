"""What the flow `monitor` asks of `components.monitoring.labelled_stage`: labelled answers as samples of a dataset."""

from __future__ import annotations

from components.contracts.request_file import RequestFile
from components.core.strict import Strict


class LabelledRequest(RequestFile):
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
