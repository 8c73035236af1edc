"""Scenarios: how they are written, and what they do to requests, rows and truths."""

from __future__ import annotations

import numpy as np
import pytest

from components.contracts.rehearsal_scenario import SCENARIOS, ScenarioSpec
from components.core.errors import UsageError
from components.rehearsal import pool as pools
from components.rehearsal.clock import BEGIN, Clock
from components.rehearsal.world import Hour, World
from tests.rehearsal import cases

WEEK = range(168)


def drawn(world: World, hours: range) -> Hour:
    found = [world.draw(hour) for hour in hours]
    return Hour(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def test_a_scenario_is_a_name_and_its_parameters() -> None:
    found = ScenarioSpec.parse("sudden:drop=0.2,day=3,column=raw.row.age,labels=1")
    assert (found.drop, found.day, found.column, found.labels) == (0.2, 3, "raw.row.age", 1)
    assert all(ScenarioSpec.parse(name).name == name for name in SCENARIOS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("earthquake", "no such scenario"),
        ("none:drop=0.1", "drop means nothing in the scenario none"),
        ("sudden:fault=stuck", "fault means nothing"),
        ("recorded:labels=0.5", "labels means nothing"),
        ("sudden:drop=2", "less than 1"),
        ("sudden:speed=1", "speed"),
        ("sudden:drop", "KEY=VALUE"),
    ],
)
def test_what_a_scenario_cannot_use_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        ScenarioSpec.parse(text)
    assert told in "\n".join(caught.value.lines())


def test_the_accuracy_falls_by_the_drop_and_the_column_moves() -> None:
    world = cases.world("sudden:drop=0.15,shift=0.7,day=7,requests_an_hour=300", days=14)
    right, ages = world.pool.right, world.pool.rows["raw.row.age"].to_numpy(float)
    before, after = drawn(world, WEEK).places, drawn(world, range(168, 336)).places
    assert world.column == "raw.row.age"
    accuracy = world.pool.accuracy
    assert accuracy is not None
    assert world.accuracy(right, 1.0) == pytest.approx(accuracy - 0.15)
    assert right[before].mean() == pytest.approx(accuracy, abs=0.01)
    assert right[after].mean() == pytest.approx(accuracy - 0.15, abs=0.01)
    assert ages[after].mean() - ages[before].mean() > 0.5 * ages.std()


def test_a_gradual_change_is_halfway_after_half_its_days() -> None:
    world = cases.world("gradual:day=2,ramp_days=4")
    assert [world.level(24 * day) for day in (1, 2, 4, 6, 9)] == [0, 0, 0.5, 1, 1]


def test_draws_are_the_same_whenever_they_are_asked_for_and_differ_by_seed() -> None:
    one, same, other = (cases.world("gradual", seed=seed) for seed in (1, 1, 2))
    one.draw(3)
    assert all((a == b).all() for a, b in zip(one.draw(200), same.draw(200), strict=True))
    assert (
        len(one.draw(200).places) != len(other.draw(200).places)
        or (one.draw(200).places != other.draw(200).places).any()
    )


def test_seasons_repeat_and_are_no_change() -> None:
    world = cases.world("seasonal")
    assert [world.level(hour) for hour in (0, 100)] == [0, 0]
    assert world.mix(12) == world.mix(12 + 168) != world.mix(0)
    noon = sum(len(world.draw(hour).places) for hour in range(12, 120, 24))
    night = sum(len(world.draw(hour).places) for hour in range(0, 120, 24))
    assert noon > 3 * night


def test_traffic_falls_to_nothing() -> None:
    world = cases.world("no_traffic:day=2")
    assert len(drawn(world, range(48)).places) > 2000
    assert len(drawn(world, range(48, 96)).places) == 0


def test_truths_come_late_and_some_never() -> None:
    world = cases.world("label_delay:labels=0.5,label_hours=5,day=4,late_hours=100,late_share=0.1,drop=0")
    before, after = drawn(world, range(96)).told, drawn(world, range(96, 192)).told
    assert (before >= 0).mean() == pytest.approx(0.5, abs=0.03)
    assert before[before >= 0].mean() == pytest.approx(4.5, abs=0.5)
    assert (after >= 0).mean() == pytest.approx(0.1, abs=0.02)
    assert after[after >= 0].mean() > 80


def test_label_noise_tells_wrong_truths_of_an_unchanged_model() -> None:
    world = cases.world("label_noise:noise=0.3,day=4")
    assert not drawn(world, range(96)).flipped.any()
    assert drawn(world, range(96, 192)).flipped.mean() == pytest.approx(0.3, abs=0.03)
    assert world.level(150) == 0


def test_a_label_becomes_more_frequent() -> None:
    world = cases.world("label_share:label=maybe,factor=5,day=4")
    truth = world.pool.truth
    shares = [(truth[drawn(world, part).places] == "maybe").mean() for part in (range(96), range(96, 192))]
    odds = [share / (1 - share) for share in shares]
    assert odds[1] / odds[0] == pytest.approx(5, rel=0.2)


def test_a_new_class_is_answered_wrongly() -> None:
    rows = pools.renamed(cases.pool())
    world = cases.world("new_class:share=0.25,day=4", rows=rows)
    places = drawn(world, range(96, 192)).places
    is_new = rows.truth[places] == pools.NEW_LABEL
    assert is_new.mean() == pytest.approx(0.25, abs=0.03)
    assert (rows.right[places[is_new]] == 0).all()
    hour = world.draw(191)  # truths that are no class of the model are counted apart
    assert (hour.told[rows.truth[hour.places] == pools.NEW_LABEL] == -1).all()
    assert (hour.told[rows.truth[hour.places] != pools.NEW_LABEL] >= 0).any()
    before, after = world.accuracy(rows.right, 0.0), world.accuracy(rows.right, 1.0)
    assert before is not None
    assert after == pytest.approx(0.75 * before)
    assert rows.right[places].mean() == pytest.approx(after, abs=0.02)


@pytest.mark.parametrize(
    ("scenario", "told"),
    [
        ("sudden:day=12", "after the end"),
        ("sudden:drop=0.95", "cannot fall"),
        ("sudden:column=raw.row.weight", "raw.row.age"),
        ("label_share:label=never", "no row has that label"),
    ],
)
def test_what_does_not_fit_the_rows_is_refused_before_the_simulation(scenario: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        cases.world(scenario)
    assert told in "\n".join(caught.value.lines())


def test_looks_come_when_the_schedule_says_and_all_hours_are_seen() -> None:
    clock = Clock(BEGIN, 50)
    hourly = list(clock.looks(cases.policy().monitor))
    assert [over for over, _ in hourly] == list(range(1, 51))
    assert clock.hour(hourly[0][1]) == pytest.approx(1 + 10 / 60)
    daily = list(clock.looks(cases.policy(schedule={"cron": "0 6 * * *"}).monitor))
    assert [over for over, _ in daily] == [5, 29, 50]
    assert clock.window(25, "hour") == "2026-01-06T01"
    assert clock.window(25, "day") == "2026-01-06"
