"""What follows from the alarms of a monitored model: the section `actions:` of `monitor:` in a pipeline file.

Triggers:
    drift: the sequential test found that inputs or outputs have changed.
    expectations: more rows miss an expectation of the training data than `limits.missed`.
    distance: a column's population stability index is above `limits.psi`.
    estimated_quality: the accuracy, estimated without labels, fell by more than `limits.quality_drop`.
    live_quality: the accuracy on labels that were told is below `limits.live_accuracy`, by a test over time.

Actions:
    notify: a message to each of `notify`.
    retrain: the ordinary pipeline; a version that passes its gates becomes challenger.
    roll_back: production goes back to what served well before.
    stop: the alias champion is deleted, and the service stops after its grace period.
"""

from __future__ import annotations

import re
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from components.core.strict import Strict

Trigger = Literal["drift", "expectations", "distance", "estimated_quality", "live_quality"]
TRIGGERS: tuple[Trigger, ...] = get_args(Trigger)
Action = Literal["notify", "retrain", "roll_back", "stop"]
ACTIONS: tuple[Action, ...] = get_args(Action)

_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class Recipient(Strict):
    """Where messages go. Exactly one key is given; neither holds a credential.

    Args:
        block: a notification block of Prefect, `slack-webhook/team`: its type and its name, as Prefect's UI shows them.
        url_env: an environment variable with a URL of Apprise (`mailto://...`, `slack://...`, `json://...`).
    """

    block: str | None = None
    url_env: str | None = Field(default=None, pattern=_VARIABLE)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.block is None) == (self.url_env is None):
            raise ValueError("give either block: (of Prefect) or url_env: (a variable with a URL of Apprise)")
        if self.block is not None and not re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", self.block):
            raise ValueError("block: is TYPE/NAME, such as slack-webhook/team")
        return self

    @property
    def name(self) -> str:
        """The recipient in messages and in the ledger, without any secret."""
        return self.block if self.block is not None else f"${self.url_env}"


class RetrainSpec(Strict):
    """How a model is trained again, and when the new version takes the champion's place.

    Args:
        data: `source`: the dataset is read from its source again; `log`: labelled answers, whose inputs the service
            kept (`serving.log.inputs`), are added to the dataset first.
        min_labels: labelled answers that `log` needs at least; with fewer nothing is trained.
        promote: `by_hand`: the new version stays challenger until a person decides; `if_better`: a test on live labels
            that may be looked at any time promotes it, or takes it away.
        alpha: probability, at most, that the test promotes a challenger that is not better.
        min_effect: accuracy that the challenger has to gain.
        max_labels: labelled answers of the challenger after which an undecided one is taken away.
    """

    data: Literal["source", "log"] = "source"
    min_labels: int = Field(default=100, ge=1)
    promote: Literal["by_hand", "if_better"] = "by_hand"
    alpha: float = Field(default=0.05, gt=0, le=0.5)
    min_effect: float = Field(default=0.0, ge=0, lt=1)
    max_labels: int = Field(default=5000, ge=10)


class ActionsSpec(Strict):
    """Actions by trigger, and their bounds.

    Args:
        propose_only: nothing but messages is done by itself: a person carries a proposal out with `modelyard monitor
            --approve`.
        cooldown_hours: an action is not repeated sooner; a message of one trigger neither.
        max_per_day: retrainings, rollbacks and stops in 24 hours at most, all together.
    """

    drift: list[Action] = Field(default=[])
    expectations: list[Action] = Field(default=[])
    distance: list[Action] = Field(default=[])
    estimated_quality: list[Action] = Field(default=[])
    live_quality: list[Action] = Field(default=[])
    propose_only: bool = False
    cooldown_hours: float = Field(default=24.0, ge=0, le=24 * 366)
    max_per_day: int = Field(default=1, ge=1, le=100)
    notify: list[Recipient] = Field(default=[])
    retrain: RetrainSpec = RetrainSpec()

    def of(self, trigger: Trigger) -> list[Action]:
        """The actions of a trigger."""
        chosen: list[Action] = getattr(self, trigger)
        return chosen

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for trigger in TRIGGERS:
            chosen = self.of(trigger)
            if len(set(chosen)) < len(chosen):
                raise ValueError(f"{trigger} names an action twice")
            if {"stop", "roll_back"} <= set(chosen):
                raise ValueError(f"{trigger} cannot both roll back and stop")
        if not self.notify and any("notify" in self.of(trigger) for trigger in TRIGGERS):
            raise ValueError("notify is an action, and nobody is to be notified: add notify: [{url_env: NAME}]")
        return self
