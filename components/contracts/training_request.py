"""What the flow asks of the training and evaluation processes, and the live events they answer with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, ValidationError

from components.contracts.model_spec import ModelSpec
from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.core.strict import Strict


class TrainRequest(Strict):
    """`python -m components.training REQUEST.json`, and the same file for `components.evaluation`.

    Paths are relative to the working directory, which is the project's root.

    Args:
        pipeline: name of the pipeline.
        train_fingerprint: identity of this training (data, specs, code, libraries); a training whose fingerprint has a
            result is not run again.
        data_digest: digest of the prepared dataset's manifest; another one on disk is refused.
        prepared: folder of the prepared dataset.
        run_folder: where the training keeps its checkpoint and leaves its parts; a run found there is continued.
        package: where the evaluation puts the sealed model package.
        lineage: facts about the inputs that belong into the package (data chain, code digest, lock digest).
        pretrained_folder: the package that `registry:<model>@<alias>` stood for when the request was made.
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

    @staticmethod
    def read(arguments: list[str]) -> TrainRequest:
        """The request in the file that a stage was called with.

        Raises:
            UsageError: not one argument, no such file, or it does not fit the contract.
        """
        if len(arguments) != 1:
            raise UsageError("one request file is expected", got=" ".join(arguments) or "nothing")
        try:
            return TrainRequest.model_validate_json(Path(arguments[0]).read_bytes())
        except (OSError, ValidationError) as error:
            raise UsageError("the request cannot be read", where=arguments[0], got=error) from error


class Started(Strict):
    """Training begins, or goes on from a checkpoint at `epoch` and `step`."""

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


class TrainingProgress(Strict):
    """Several times a second at most: where the loop is, for a progress line; `metric` is the last validation's."""

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
    """Named values at a step, for the tracker: `train/loss`, `validation/accuracy`, `learning_rate`, ..."""

    event: Literal["metrics"] = "metrics"
    step: int
    epoch: int
    values: dict[str, float]


class Finished(Strict):
    """The loop ended: which epoch's weights were kept and why it ended."""

    event: Literal["finished"] = "finished"
    epochs: int
    kept_epoch: int
    reason: Literal["epochs", "early_stopping"]
    seconds: float


Event = Annotated[Started | TrainingProgress | Metrics | Finished, Field(discriminator="event")]
