"""What a rehearsal of one policy in one scenario found."""

from __future__ import annotations

from typing import Any

from components.core.strict import Strict


class RehearsedAlarm(Strict):
    """An alarm.

    Args:
        hour: in which it was raised, from the begin of the rehearsal.
        window: the window that it is of.
        is_true: whether something has really changed since the data of the version that answers; of `live_quality`:
            whether its accuracy is really below the limit. None in recorded traffic, of which nobody knows.
    """

    hour: float
    window: str
    trigger: str
    text: str
    is_true: bool | None


class RehearsedOrder(Strict):
    """An order that an alarm led to.

    Args:
        mode: `carry_out`, `propose` or `hold_back`, as `components.monitoring.policy` decides.
        why: what held it back.
        outcome: what came of it; "" while nothing has.
    """

    hour: float
    window: str
    trigger: str
    action: str
    mode: str
    why: str
    outcome: str = ""


class RehearsedEvent(Strict):
    """What happened to a version: `challenger`, `promoted`, `taken_away`, `rolled_back`, `stopped`, `started`.

    Args:
        version: 1 is the package.
        accuracy: expected of it on the rows of that hour; None if it is not known.
    """

    hour: float
    kind: str
    version: int
    text: str
    accuracy: float | None


class RehearsedDay(Strict):
    """A day.

    Args:
        requests: that the service could have answered.
        wrong, wrong_without: answers that were wrong, with the policy and without one; None if it is not known.
        accuracy: of the labels that were told on the day, as people would have seen it; None without labels.
    """

    requests: int
    answers: int
    wrong: int | None
    wrong_without: int | None
    labels: int
    accuracy: float | None


class Cost(Strict):
    """What the time cost.

    Args:
        unanswered: requests that came while the service was stopped.
        refused: requests that the service did not answer, as it could not read them or they missed an expectation.
        retraining_seconds: of all retrainings; None if the model's training time is not known.
    """

    answers: int
    wrong: int | None
    wrong_without: int | None
    unanswered: int
    refused: int
    messages: int
    retrainings: int
    retraining_seconds: float | None


class Rehearsed(Strict):
    """The result of one policy in one scenario.

    Args:
        changed: hour of the change; None without one.
        found_after: hours from the change to the first true alarm; None if there was none.
        answers_before, wrong_before: given between the two, or until the end.
        false_alarms: alarms without a change.
        notes: what could not be watched, and why.
    """

    scenario: str
    policy: str
    says: str
    parameters: dict[str, Any]
    hours: int
    changed: int | None
    found_after: float | None
    answers_before: int | None
    wrong_before: int | None
    true_alarms: int
    false_alarms: int
    stated_false_alarms: float
    held_back: dict[str, int]
    cost: Cost
    alarms: list[RehearsedAlarm]
    orders: list[RehearsedOrder]
    events: list[RehearsedEvent]
    days: list[RehearsedDay]
    notes: list[str]
