"""Models measured side by side: what the flow asks of `components.comparison`, and the table that comes of it."""

from __future__ import annotations

from typing import Literal

from components.contracts.request_file import RequestFile
from components.core.strict import Strict


class Compared(Strict):
    """A model that was trained for a comparison, as far as the flow knows it.

    Args:
        name: as people asked for it: a pipeline, or a family and an architecture.
        architecture: the model's name in its spec.
        package: folder of the sealed package.
        epochs, kept_epoch: trained, and the one whose weights are kept.
        training_seconds: in the training loop, validation included; None where nobody took the time.
        samples_per_second: training samples over that time.
        bundle_bytes: of the bundle on disk; None where there is none of this package.
    """

    name: str
    family: str
    architecture: str
    package: str
    parameters: int
    epochs: int
    kept_epoch: int
    training_seconds: float | None
    samples_per_second: float | None
    bundle_bytes: int | None


class ComparisonRequest(RequestFile):
    """`python -m components.comparison REQUEST.json`; paths are relative to the working directory, the workspace.

    Args:
        title: what is compared, in words.
        budget: what each model was given, in words.
        prepared: folder of the prepared dataset that all were trained on.
        data_digest: of its manifest; another one on disk is refused.
        scoring: identity of the code that scores; qualities found with the same code are not found again.
        known: folder of qualities found before.
        target: folder of the report; it takes the place of one that stood there.
        failed: models that could not be trained, and why.
    """

    title: str
    dataset: str
    budget: str
    prepared: str
    data_digest: str
    scoring: str
    known: str
    target: str
    models: list[Compared]
    failed: dict[str, str]


class Quality(Strict):
    """A figure on the split that models are chosen by; the interval holds the true one with 95 % confidence."""

    value: float
    lower: float
    upper: float


class Row(Compared):
    """A model with everything that was measured of it.

    Args:
        latency_ms: median time of one answer, from the body of a request to the prediction, in one process.
        serves_bytes: files of the package that serving needs: all but the weights for training on.
    """

    quality: Quality
    latency_ms: float
    serves_bytes: int


class ComparisonTable(Strict):
    """`table.json`.

    Args:
        metric, words: the task's first metric, and what it is.
        split: the split that the models were measured on: validation, since a person chooses by the table.
        interval: how the intervals were found, in words.
    """

    title: str
    dataset: str
    task: str
    budget: str
    metric: str
    words: str
    higher_is_better: bool
    split: Literal["validation"] = "validation"
    interval: str
    samples: int
    rows: list[Row]
    failed: dict[str, str]
