"""A challenger of a rehearsal: its labels against the champion's, and what becomes of it."""

from __future__ import annotations

from components.contracts.monitor_actions import RetrainSpec
from components.drift.live_comparison import LiveComparison
from components.rehearsal.model_version import ModelVersion

PERSON_LABELS = 30  # of the challenger, that a person waits for
_MOST_CHAMPIONS = 1000


class Challenger:
    """A retrained version that is compared.

    Args:
        hour: from which it answers.
        is_scored: whether answers are right or wrong.
    """

    def __init__(
        self, version: ModelVersion, hour: int, spec: RetrainSpec, canary_percent: float, is_scored: bool
    ) -> None:
        self.version, self.hour, self._spec, self._is_scored = version, hour, spec, is_scored
        self.is_shadow = canary_percent == 0
        ratio = 1 if self.is_shadow else (100 - canary_percent) / canary_percent
        self.comparison = LiveComparison(
            alpha=spec.alpha,
            min_effect=spec.min_effect,
            paired=self.is_shadow,
            champions=max(1, min(_MOST_CHAMPIONS, round(ratio))),
        )

    def learn(self, champion: list[bool], challenger: list[bool]) -> None:
        """Add the labels that arrived in a window; of a shadow both lists are of the same samples."""
        if not champion and not challenger:
            return
        if self.is_shadow:
            pairs = list(zip(champion, challenger, strict=True))
            self.comparison = self.comparison.update_paired(
                both_right=pairs.count((True, True)),
                only_challenger=pairs.count((False, True)),
                only_champion=pairs.count((True, False)),
                both_wrong=pairs.count((False, False)),
            )
            return
        self.comparison = self.comparison.update(
            champion_right=champion.count(True),
            champion_wrong=champion.count(False),
            challenger_right=challenger.count(True),
            challenger_wrong=challenger.count(False),
        )

    def decision(self, now: float, person_hours: float) -> tuple[bool, str] | None:
        """Whether it is promoted, and why; None while it is not decided.

        Args:
            now: hours of the rehearsal.
            person_hours: after which a person decides, where the pipeline leaves it to one.
        """
        right, wrong, other_right, other_wrong = self.comparison.labels
        labels = other_right + other_wrong
        told = f"{other_right} of {labels} labels right, the champion {right} of {right + wrong}"
        if self._spec.promote == "if_better":
            if self.comparison.decision == "better":
                return True, f"better on live labels: {told}"
            if self.comparison.decision == "worse":
                return False, f"worse on live labels: {told}"
            if labels >= self._spec.max_labels:
                return False, f"undecided after {labels} labels (actions.retrain.max_labels): {told}"
            return None
        if now < self.hour + person_hours or (self._is_scored and (labels < PERSON_LABELS or not right + wrong)):
            return None
        if not self._is_scored:
            return True, "a person promotes what passed its gates"
        is_better = other_right / labels >= right / (right + wrong)
        return is_better, f"a person compares: {told}"
