"""What the flow asks of `components.tuning`, and the report that comes of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from components.contracts import request_file
from components.contracts.tune_spec import TuneSpec
from components.core.strict import Strict


class TuneReportRequest(Strict):
    """`python -m components.tuning REQUEST.json`; paths are relative to the working directory, the workspace.

    Args:
        storage: URL of the database of the studies.
        metric: name of the figure on the validation split.
        target: folder of the report; it takes the place of one that stood there.
    """

    kind: Literal["study"] = "study"
    storage: str
    study: str
    pipeline: str
    task: str
    dataset: str
    metric: str
    spec: TuneSpec
    target: str


class RatePlotRequest(Strict):
    """A request for the picture of a learning-rate range test.

    Args:
        curve: the file that the test left.
        present: the learning rate of the pipeline file.
        target: the PNG file.
    """

    kind: Literal["rates"] = "rates"
    pipeline: str
    curve: str
    present: float
    target: str


_Request = Annotated[TuneReportRequest | RatePlotRequest, Field(discriminator="kind")]
_REQUEST: TypeAdapter[TuneReportRequest | RatePlotRequest] = TypeAdapter(_Request)


def read_request(arguments: list[str]) -> TuneReportRequest | RatePlotRequest:
    """The request in the file that the stage was called with.

    Raises:
        UsageError: not one argument, no such file, or it does not fit the contract.
    """
    return request_file.read(_REQUEST, arguments)


class TrialRow(Strict):
    """A trial.

    Args:
        settings: what differs from the pipeline file, by dotted key; empty: the recipe of the file.
        values: the objectives; of a trial that ended early, the last figure.
        loss: on the validation split, of the epoch whose weights are kept.
        epochs: that it was trained.
        seconds: of training.
        note: why it failed, or which trial it repeats.
    """

    number: int
    state: Literal["complete", "pruned", "failed", "unfinished"]
    settings: dict[str, Any]
    values: list[float]
    loss: float | None
    fingerprint: str | None
    parameters: int | None
    epochs: int
    seconds: float | None
    note: str = ""


class TuneReport(Strict):
    """`report.json`.

    Args:
        objectives: names, the metric first.
        directions: `maximize` or `minimize`, of each.
        best: number of the best complete trial by the first objective; None if no trial is complete.
        front: numbers of the trials on the Pareto front, of several objectives.
        recipe: values of the file's own recipe; empty if it is not complete.
        importances: share of each key in the variance of the figure (fANOVA); empty if it cannot be told.
        advice: what to try next, a sentence each.
        pictures: names of the PNG files, and what they show.
        notes: what could not be drawn or computed, and why.
    """

    study: str
    pipeline: str
    task: str
    dataset: str
    metric: str
    objectives: list[str]
    directions: list[str]
    trials: list[TrialRow]
    best: int | None
    front: list[int]
    recipe: list[float]
    importances: dict[str, float]
    advice: list[str]
    pictures: dict[str, str]
    notes: list[str] = Field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Number of trials of each state."""
        counts: dict[str, int] = {}
        for trial in self.trials:
            counts[trial.state] = counts.get(trial.state, 0) + 1
        return counts

    def trial(self, number: int) -> TrialRow:
        """The trial of a number."""
        return next(trial for trial in self.trials if trial.number == number)

    def ranked(self) -> list[TrialRow]:
        """The complete trials, the best first; of equal ones the one of fewer parameters, then of the lower loss.

        The loss alone says little of equal figures: label smoothing and a network that is sure of itself move it.
        """
        sign = -1 if self.directions[0] == "maximize" else 1
        complete = [trial for trial in self.trials if trial.state == "complete"]
        return sorted(
            complete,
            key=lambda trial: (sign * trial.values[0], trial.parameters or 0, trial.loss or 0.0, trial.number),
        )

    @property
    def markdown(self) -> str:
        """The best trials as Markdown, for the pages of MLflow and Prefect."""
        counts = ", ".join(f"{count} {state}" for state, count in self.counts().items())
        lines = [
            f"Study `{self.study}` of {self.pipeline}: {counts}. Figures of the validation split.",
            "",
            "| trial | " + " | ".join([self.metric, *self.objectives[1:]]) + " | settings |",
            "|---|" + "---|" * (len(self.objectives) + 1),
        ]
        for trial in self.ranked()[:10]:
            figures = " | ".join(number_text(value) for value in trial.values)
            lines.append(f"| {trial.number} | {figures} | {settings_text(trial.settings)} |")
        return "\n".join([*lines, "", *(f"- {sentence}" for sentence in self.advice)])


def number_text(value: float) -> str:
    """A figure: a whole number with its thousands, another one with four digits."""
    return f"{value:,.0f}" if value == round(value) and abs(value) >= 10 else f"{value:.4g}"


def settings_text(settings: dict[str, Any]) -> str:
    """Settings of a trial as one line."""
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "the recipe as it is"
