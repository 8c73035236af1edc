"""A search comes to the same trials, whatever runs side by side, in whichever order, and however often it dies."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from components.contracts.tune_spec import TuneSpec
from components.core.errors import SearchError
from components.tuning.record import Direction, StudyRecord, Told, settings_of
from components.tuning.view import Proposal, TrialView

SPACE: dict[str, Any] = {
    "train.learning_rate": {"float": [1e-4, 1e-1], "log": True},
    "train.optimizer": {"choice": ["adamw", "sgd"]},
    "train.momentum": {"float": [0.5, 0.99], "when": {"train.optimizer": "sgd"}},
}
GRID: dict[str, Any] = {
    "train.batch_size": {"choice": [16, 32, 64]},
    "model": {"choice": [{"family": "cnn", "name": "kim"}, {"family": "rnn", "name": "gru"}]},
}
EPOCHS, LAG, NAME = 5, 4, "a-study"


def figure(settings: dict[str, Any], epoch: int) -> float:
    """A made-up learning curve, higher is better."""
    rate = settings.get("train.learning_rate", 0.02) * settings.get("train.batch_size", 32) / 32
    momentum: float = settings.get("train.momentum", 0.7)
    return float(-(abs(rate - 0.03) + abs(momentum - 0.9)) * (1 + 3 / epoch))


def outcome(record: StudyRecord, spec: TuneSpec, view: TrialView, number: int, settings: dict[str, Any]) -> Told:
    known = record.trials()[number].intermediate_values
    for epoch in range(1, EPOCHS + 1):
        value = figure(settings, epoch)
        if epoch not in known:
            record.report(number, epoch, value)
        if epoch < EPOCHS and view.ends_early(epoch, value):
            return Told("pruned", system=view.system())
    values = (figure(settings, EPOCHS), 7.0)[: len(spec.objectives)]
    return Told("complete", values, {"seconds": 1.0}, view.system())


def search(spec: TuneSpec, path: Path, count: int, seed: int, dies_at: int | None = None) -> None:
    """Two trials side by side that end in an order of their own; with `dies_at`, all ends after so many outcomes."""
    rng = random.Random(seed)  # noqa: S311  # an order, no secret
    directions: list[Direction] = ["maximize", "minimize"]
    record = StudyRecord(f"sqlite:///{path}", NAME, directions[: len(spec.objectives)])
    running: dict[int, tuple[TrialView, dict[str, Any]]] = {}
    pending = [trial.number for trial in record.trials() if not trial.state.is_finished()]
    told = 0
    while True:
        while len(running) < 2:
            trials = record.trials()
            number = pending.pop(0) if pending else len(trials)
            known = max(0, number - LAG + 1)
            if number >= count or any(not trial.state.is_finished() for trial in trials[:known]):
                break
            view = TrialView(spec, NAME, record.directions, trials[:number], known, EPOCHS)
            if number == len(trials):
                proposal = view.propose()
                record.begin(number, proposal.settings, proposal.parameters, proposal.distributions, proposal.system)
                settings = proposal.settings
            else:
                own = trials[number]
                settings = settings_of(own)
                view.take(Proposal(settings, dict(own.params), dict(own.distributions), dict(own.system_attrs)))
            running[number] = (view, settings)
        if not running:
            break
        number = rng.choice(list(running))
        told_now = outcome(record, spec, running[number][0], number, running[number][1])
        if told == dies_at:
            break  # what was found out is lost, and the others too
        record.tell(number, told_now)
        del running[number]
        told += 1
    record.close()


def trials_of(path: Path) -> list[tuple[str, dict[str, Any], Any]]:
    record = StudyRecord(f"sqlite:///{path}", NAME)
    found = [(trial.state.name, settings_of(trial), trial.values) for trial in record.trials()]
    record.close()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "pruner", "space", "objectives"),
    [
        ("tpe", "asha", SPACE, ["metric"]),
        ("cmaes", "percentile", SPACE, ["metric"]),
        ("nsga2", "none", SPACE, ["metric", "parameters"]),
        ("grid", "none", GRID, ["metric"]),
    ],
)
def test_the_same_trials_in_any_order_and_after_a_kill(
    tmp_path: Path, sampler: str, pruner: str, space: dict[str, Any], objectives: list[str]
) -> None:
    spec = TuneSpec.model_validate(
        {"space": space, "sampler": sampler, "pruner": pruner, "objectives": objectives, "seed": 3}
    )
    count = 6 if sampler == "grid" else 12
    search(spec, tmp_path / "a.db", count, seed=1)
    search(spec, tmp_path / "b.db", count, seed=2, dies_at=count // 2)
    search(spec, tmp_path / "b.db", count, seed=3)
    expected = trials_of(tmp_path / "a.db")
    assert trials_of(tmp_path / "b.db") == expected
    assert len(expected) == count
    if pruner not in ("none",):
        assert {state for state, _, _ in expected} == {"COMPLETE", "PRUNED"}
    if sampler == "grid":
        assert len({str(settings) for _, settings, _ in expected}) == count
    for _, settings, _ in expected:
        assert ("train.momentum" in settings) == (settings.get("train.optimizer") == "sgd")


def test_a_second_process_on_the_same_study_is_refused(tmp_path: Path) -> None:
    record = StudyRecord(f"sqlite:///{tmp_path / 'a.db'}", NAME, ["maximize"])
    record.begin(0, {}, {}, {}, {})
    with pytest.raises(SearchError, match="another process tunes this study"):
        record.begin(0, {}, {}, {}, {})
    record.close()


@pytest.mark.slow
def test_a_trial_that_ends_early_keeps_its_last_figure(tmp_path: Path) -> None:
    record = StudyRecord(f"sqlite:///{tmp_path / 'a.db'}", NAME, ["maximize"])
    record.begin(0, {"train.learning_rate": 0.1}, {}, {}, {}, {"finishes": 7})
    assert record.trials()[0].user_attrs["finishes"] == 7  # with the trial itself, so that no kill comes between
    record.report(0, 1, 0.25)
    record.report(0, 2, 0.5)
    record.tell(0, Told("pruned", facts={"seconds": 2.0}))
    (trial,) = record.trials()
    assert (trial.state, trial.values, trial.user_attrs["seconds"]) == (TrialState.PRUNED, [0.5], 2.0)
    record.close()


def test_a_database_that_cannot_be_opened_is_an_error_without_its_password() -> None:
    with pytest.raises(SearchError) as caught:
        StudyRecord("postgresql+nodriver://me:secret@127.0.0.1:9/db", NAME, ["maximize"])
    assert "secret" not in "\n".join(caught.value.lines())
