"""What one trial may know of the others: always the same, however fast the others are and however often all is killed.

The trial of number n knows the outcome of the trials 0 to n - lag, and of those in between only that they run, and with
which values. It is proposed from that knowledge, and ends early by it. So a search gives the same trials and the same
winner whether its trials run side by side or are killed and resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from components.contracts.tune_spec import TuneSpec
from components.tuning import samplers, space


@dataclass(frozen=True)
class Proposal:
    """What a trial is to try.

    Args:
        settings: keys of the pipeline file and their values.
        parameters, distributions: the same for Optuna.
        system: what the sampler remembers.
    """

    settings: dict[str, Any]
    parameters: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    system: dict[str, Any]


class TrialView:
    """The knowledge of one trial.

    Args:
        trials: the trials before it, by number.
        known: how many of these have an outcome that counts; the others are taken as running.
        further: trials of earlier studies, which count as finished ones.
        epochs: the most that a trial trains.
    """

    def __init__(
        self,
        spec: TuneSpec,
        name: str,
        directions: Sequence[StudyDirection],
        trials: Sequence[FrozenTrial],
        known: int,
        epochs: int,
        further: Sequence[FrozenTrial] = (),
    ) -> None:
        self._spec, self._number = spec, len(trials)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            study_name=name,
            directions=list(directions),
            sampler=samplers.sampler(spec, self._number),
            pruner=samplers.pruner(spec, epochs),
        )
        # Trials of earlier studies come first, so that numbers stay those of the storage up to a constant.
        self._study.add_trials(list(further))
        self._study.add_trials([trial if trial.number < known else _running(trial) for trial in trials])
        self._trial: Trial | None = None

    def propose(self) -> Proposal:
        """Let the sampler choose."""
        self._trial = trial = self._study.ask()
        settings = space.suggest(trial, self._spec)
        frozen = self._study.get_trials(deepcopy=False)[trial.number]
        return Proposal(settings, dict(frozen.params), dict(frozen.distributions), dict(frozen.system_attrs))

    def take(self, proposal: Proposal) -> None:
        """Go on with what was proposed before, or with what a person asked for."""
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=proposal.parameters,
                distributions=proposal.distributions,
                system_attrs=proposal.system,
            )
        )
        last = self._study.get_trials(deepcopy=False)[-1]
        self._trial = Trial(self._study, last._trial_id)  # ask() would let the sampler choose

    def ends_early(self, epoch: int, value: float) -> bool:
        """Whether the trial ends after an epoch with this figure; epochs are reported in their order, each once."""
        assert self._trial is not None  # noqa: S101  # proposed or taken before
        if len(self._spec.objectives) > 1:
            return False
        self._trial.report(value, epoch)
        return self._trial.should_prune()

    def system(self) -> dict[str, Any]:
        """What sampler and pruner remember of the trial now."""
        assert self._trial is not None  # noqa: S101  # proposed or taken before
        return dict(self._study.get_trials(deepcopy=False)[self._trial.number].system_attrs)


def _running(trial: FrozenTrial) -> FrozenTrial:
    return create_trial(
        state=TrialState.RUNNING,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=_of_sampler(trial.system_attrs),
    )


def _of_sampler(system: dict[str, Any]) -> dict[str, Any]:
    """What a sampler wrote when the trial began; a pruner's words come later, and depend on how far the trial is."""
    return {key: value for key, value in system.items() if not key.startswith(("completed_rung_", "hyperband"))}
