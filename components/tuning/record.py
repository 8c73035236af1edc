"""The record of a search in Optuna's relational storage: what was tried, and what came of it.

A trial is written in one transaction when it begins, with all that is needed to begin it again, and is told once, when
its outcome is known. A trial that was not told goes on at the next call. `optuna-dashboard` opens on the storage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage, get_storage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from components.core.errors import SearchError

BUSY_SECONDS = 60  # another program, such as the dashboard, may hold SQLite's lock
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
_SETTINGS, _SYSTEM = "settings", "optuna"

Outcome = Literal["complete", "pruned", "failed"]
Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Told:
    """The outcome of a trial.

    Args:
        values: the objectives, of a complete trial.
        facts: JSON values: seconds, parameters, why it failed, ...
        system: what Optuna's sampler and pruner remember of it.
    """

    outcome: Outcome
    values: tuple[float, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    system: Mapping[str, Any] = field(default_factory=dict)


class StudyRecord:
    """One study.

    Args:
        url: of the database, as SQLAlchemy takes it.
        name: of the study.
        directions: of the objectives, `maximize` or `minimize`, for a study that is new; None: the study is there.
    """

    def __init__(self, url: str, name: str, directions: Sequence[Direction] | None = None) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.url, self.name = url, name
        self._database = open_storage(url)
        try:
            self._storage = get_storage(self._database)  # keeps what is finished in memory
            if directions is None:
                self.study = optuna.load_study(storage=self._storage, study_name=name)
            else:
                self.study = optuna.create_study(
                    storage=self._storage, study_name=name, load_if_exists=True, directions=list(directions)
                )
            self._id = self._storage.get_study_id_from_name(name)
        except (SQLAlchemyError, RuntimeError, ValueError, KeyError) as error:
            raise _unreadable(url, error) from error

    @property
    def directions(self) -> list[StudyDirection]:
        """Of the objectives."""
        return self.study.directions

    def trials(self) -> list[FrozenTrial]:
        """All trials by number."""
        return self._storage.get_all_trials(self._id, deepcopy=False)

    def note(self, key: str, value: Any) -> None:
        """Keep a JSON value of the study."""
        self._storage.set_study_user_attr(self._id, key, value)

    def notes(self) -> dict[str, Any]:
        """The JSON values of the study."""
        return dict(self._storage.get_study_user_attrs(self._id))

    def begin(
        self,
        number: int,
        settings: Mapping[str, Any],
        parameters: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        system: Mapping[str, Any],
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a trial that begins.

        Args:
            settings: keys of the pipeline file and their values.
            system: what Optuna's sampler remembers of it.
            facts: JSON values that it begins with.

        Raises:
            SearchError: the storage has another trial of this number: another process tunes this study.
        """
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(parameters),
            distributions=dict(distributions),
            system_attrs=dict(system),
            user_attrs={_SETTINGS: json.dumps(settings), **(facts or {})},
        )
        trial_id = self._storage.create_new_trial(self._id, template_trial=template)
        if self._storage.get_trial_number_from_id(trial_id) != number:
            raise SearchError(
                "another process tunes this study",
                where=f"study {self.name} in {_without_password(self.url)}",
                next_step="wait until it has ended; or tune under another name: --study NAME",
            )

    def report(self, number: int, epoch: int, value: float) -> None:
        """Keep the figure of an epoch."""
        self._storage.set_trial_intermediate_value(self._trial_id(number), epoch, value)

    def tell(self, number: int, told: Told) -> None:
        """Write the outcome of a trial; it is final."""
        trial_id = self._trial_id(number)
        for key, value in told.facts.items():
            self._storage.set_trial_user_attr(trial_id, key, value)
        for key, value in told.system.items():
            self._storage.set_trial_system_attr(trial_id, key, value)
        values = list(told.values) if told.outcome == "complete" else None
        if told.outcome == "pruned" and (last := _last(self._storage.get_trial(trial_id))) is not None:
            values = [last]
        self._storage.set_trial_state_values(trial_id, STATES[told.outcome], values)

    def close(self) -> None:
        """Give the connections back."""
        self._storage.remove_session()
        self._database.engine.dispose()

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)


def settings_of(trial: FrozenTrial) -> dict[str, Any]:
    """The keys of the pipeline file that a trial sets, with their values."""
    settings: dict[str, Any] = json.loads(trial.user_attrs.get(_SETTINGS, "{}"))
    return settings


def open_storage(url: str) -> RDBStorage:
    """The storage of a database, whose tables are made if there are none.

    Raises:
        SearchError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    connect = {"timeout": BUSY_SECONDS} if url.startswith("sqlite") else {}
    try:
        return RDBStorage(url, engine_kwargs={"connect_args": connect})
    except (SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
        raise _unreadable(url, error) from error


def _unreadable(url: str, error: Exception) -> SearchError:
    return SearchError(
        "the record of the search cannot be opened",
        where=_without_password(url),
        got=str(error).splitlines()[0],
        next_step="name another database: --storage, or MODELYARD_TUNE_STORAGE",
    )


def names(url: str) -> list[str]:
    """The studies of a database.

    Raises:
        SearchError: it cannot be opened.
    """
    storage = open_storage(url)
    try:
        return optuna.get_all_study_names(storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _last(trial: FrozenTrial) -> float | None:
    values = trial.intermediate_values
    return values[max(values)] if values else None


def _without_password(url: str) -> str:
    head, sign, rest = url.partition("@")
    return f"{head.rpartition(':')[0]}:***@{rest}" if sign and head.count(":") > 1 else url
