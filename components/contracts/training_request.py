"""The request of a training and evaluation process, and the events that training emits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from components.contracts.model_spec import ModelSpec
from components.contracts.request_file import RequestFile
from components.contracts.track_spec import TrackSpec
from components.contracts.train_spec import TrainSpec
from components.core.strict import Strict


class TrainRequest(RequestFile):
    """Request file of `python -m components.training REQUEST.json` and of `components.evaluation`.

    Paths are relative to the working directory, the stage's workspace.

    Args:
        pipeline: name of the pipeline.
        train_fingerprint: identity of this training (data, specs, code, libraries); a training whose fingerprint has a
            result is not run again.
        data_digest: digest of the prepared dataset's manifest; a dataset with another digest is refused.
        prepared: folder of the prepared dataset.
        run_folder: folder of checkpoints and of the trained parts; a run in this folder is continued.
        package: folder of the sealed model package, written by the evaluation.
        lineage: facts about the inputs, for the package (data chain, code digest, lock digest).
        pretrained_folder: the package of `registry:<model>@<alias>` at the time of the request.
        parts: whether the parts of the package are written. Without them the training leaves its last checkpoint and
            its figures (`TrainingFigures`), and a later request writes the parts without training on.
        cores: processor cores that it may use; None: all, or what `train.threads` says.
        rates: lowest and highest rate and number of batches of a learning-rate range test, which is run in place of the
            training and leaves a `RateCurve`.
        track: further receivers of the events.
        profile: whether to record where the time goes, into `profile/` of the run folder; the training is the same.
        forced: whether it was asked for although its result is known (`--force train`): only the same call goes on.
    """

    pipeline: str
    train_fingerprint: str = Field(validation_alias=AliasChoices("train_fingerprint", "train_key"))
    data_digest: str
    prepared: str
    run_folder: str
    package: str
    model: ModelSpec
    train: TrainSpec
    lineage: dict[str, str]
    pretrained_folder: str | None = None
    parts: bool = True
    cores: int | None = Field(default=None, ge=1)
    rates: tuple[float, float, int] | None = None
    track: TrackSpec | None = None
    profile: bool = False
    forced: bool = Field(default=False, exclude_if=lambda forced: not forced)


class Started(Strict):
    """Training starts, or resumes from a checkpoint at `epoch` and `step`; `history` has a row for each epoch done."""

    event: Literal["started"] = "started"
    epoch: int
    step: int
    total_epochs: int
    steps_per_epoch: int
    parameters: int
    device: str
    precision: str
    compiled: bool
    resumed: bool
    history: list[dict[str, float]] = Field(default_factory=list)


class TrainingProgress(Strict):
    """Position of the training loop, for a progress line, a few times a second; `metric` is of the last validation."""

    event: Literal["progress"] = "progress"
    epoch: int
    step: int
    total_steps: int
    loss: float
    metric: float | None
    metric_name: str = "accuracy"
    samples_per_second: float
    seconds_left: float


class Metrics(Strict):
    """Named values at a step, for tracking: `train/loss`, `validation/accuracy`, `learning_rate`, ..."""

    event: Literal["metrics"] = "metrics"
    step: int
    epoch: int
    values: dict[str, float]


class Finished(Strict):
    """Training has ended: the epoch whose weights are kept, and the reason of the end."""

    event: Literal["finished"] = "finished"
    epochs: int
    kept_epoch: int
    reason: Literal["epochs", "early_stopping"]
    seconds: float


RATES_FILE = "rates.json"


class RateCurve(Strict):
    """`rates.json`: what a learning-rate range test found.

    Args:
        rates: learning rate of each batch.
        losses, smoothed: training loss of each batch, and its exponential moving average.
        suggested: where the smoothed loss falls fastest.
        lowest: where it is lowest.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggested: float
    lowest: float


AUGMENTED_FILE = "augmentation/augmented-batch.png"  # in the run folder: the first batch, before and after
FIGURES_FILE = "figures.json"


class TrainingFigures(Strict):
    """`figures.json` in the folder of a run whose training has ended: what it came to.

    Args:
        history: one row of named figures for each epoch.
        kept_epoch: the epoch whose weights are kept, counted from 1.
        seconds: in the training loop, validation included.
    """

    train_fingerprint: str
    history: list[dict[str, float]]
    kept_epoch: int
    parameters: int
    seconds: float


Event = Annotated[Started | TrainingProgress | Metrics | Finished, Field(discriminator="event")]
