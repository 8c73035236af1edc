"""What the flow `monitor` asks of `components.monitoring.live_stage`: how good answers were whose truth was told."""

from __future__ import annotations

from pydantic import Field

from components.contracts.monitor_spec import Window
from components.contracts.request_file import RequestFile
from components.core.strict import Strict


class ChallengerRequest(Strict):
    """The challenger that is compared with the champion.

    Args:
        package: its digest.
        canary_percent: share of the requests that it answers; 0: it shadows.
        alpha, min_effect: of the test (`components.drift.live_comparison`).
    """

    package: str
    canary_percent: float
    alpha: float
    min_effect: float


class LiveRequest(RequestFile):
    """`python -m components.monitoring.live_stage REQUEST.json`; paths are relative to the working directory.

    Args:
        champion: digest of the package that serves.
        limit: least accuracy of the champion; None: it is not tested.
        window: by which labels that arrive are grouped; one that is not over is not counted.
        target: the file of the result, `LiveResult` as JSON.
    """

    model: str
    log: str
    target: str
    champion: str
    challenger: ChallengerRequest | None
    limit: float | None
    false_alarms_per_month: float
    window: Window


class LowAccuracy(Strict):
    """The test of the champion's accuracy (`components.drift.accuracy_watch`).

    Args:
        window: in which the alarm was raised; None without one.
        began: the window from which the accuracy seems to be too low.
    """

    limit: float
    log10_evidence: float | None
    log10_threshold: float
    window: str | None
    began: str | None


class ComparisonResult(Strict):
    """Champion and challenger on labels.

    Args:
        paired: whether both answered the same samples.
        labels, right: of the champion and of the challenger.
        low, high: confidence sequence of the difference of their accuracies.
        closer: whether answers are numbers, of which the one closer to the truth counts as right.
    """

    package: str
    decision: str
    paired: bool
    labels: tuple[int, int]
    right: tuple[int, int]
    low: float
    high: float
    closer: bool = False


class LiveResult(Strict):
    """What labels say.

    Args:
        labels, right: of the champion's answers.
        unscored: labels of another kind than the answer, or of a task without right, wrong and errors.
        low_accuracy: None where no limit is given.
        note: why nothing is compared.
        unknown_classes: how many labels of the champion's answers have each name that is no class of the model.
        unknown_note: the same in words.
    """

    champion: str
    labels: int
    right: int
    unscored: int
    low_accuracy: LowAccuracy | None
    comparison: ComparisonResult | None
    note: str | None = None
    unknown_classes: dict[str, int] = Field(default_factory=dict)
    unknown_note: str | None = None
