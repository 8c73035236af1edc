"""Months by the code of production: what alarms lead to, what it costs, and that a seed says it all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from components.contracts.row_expectations import RowExpectation, RowSuite
from components.inference.row_judge import RowJudge
from components.monitoring import watch
from components.rehearsal import model_version, report
from components.rehearsal import pool as pools
from components.rehearsal.outcome import Rehearsed
from tests.rehearsal import cases
from tests.rehearsal.cases import policy, run

RETRAIN = {"drift": ["notify", "retrain"], "retrain": {"promote": "if_better"}, "cooldown_hours": 1000.0}


def kinds(found: Rehearsed) -> list[str]:
    return [event.kind for event in found.events]


@pytest.fixture(scope="module")
def retrained() -> Rehearsed:
    return run("sudden:drop=0.25,labels=1,label_hours=5", policy(actions=RETRAIN))


@pytest.mark.slow
def test_without_a_change_nothing_follows() -> None:
    found = run("none", policy(actions=RETRAIN, false_alarms_per_month=0.1), days=4)
    assert (found.alarms, found.orders, found.events, found.changed, found.found_after) == ([], [], [], None, None)
    assert found.cost.wrong == found.cost.wrong_without
    assert sum(day.answers for day in found.days) == found.cost.answers


@pytest.mark.slow
def test_a_change_is_found_and_a_better_challenger_is_promoted(retrained: Rehearsed) -> None:
    assert retrained.found_after is not None
    assert 1 <= retrained.found_after < 24
    assert retrained.alarms[0].is_true
    assert kinds(retrained) == ["challenger", "promoted"]
    promoted = retrained.events[1]
    assert promoted.accuracy is not None
    assert "better on live labels" in promoted.text
    cost = retrained.cost
    assert cost.wrong is not None
    assert cost.wrong_without is not None
    assert cost.wrong < 0.8 * cost.wrong_without
    assert (cost.retrainings, cost.retraining_seconds, cost.messages) == (1, 30.0, 1)
    assert retrained.answers_before is not None
    assert retrained.answers_before == pytest.approx(60 * (retrained.found_after + 1), rel=0.3)


def test_repetitions_are_held_back_by_the_cool_down(retrained: Rehearsed) -> None:
    later = [order for order in retrained.orders if order.mode == "hold_back"]
    assert len(retrained.alarms) > 1
    assert sum(retrained.held_back.values()) == len(later) > 0
    assert set(retrained.held_back) == {"cool-down"}


@pytest.mark.slow
def test_a_bad_retraining_is_not_promoted() -> None:
    scenario = "bad_retraining:drop=0.1,worse_by=0.3,labels=1,label_hours=5"
    found = run(scenario, policy(actions=RETRAIN))
    assert "promoted" not in kinds(found)
    assert kinds(found)[:2] == ["challenger", "taken_away"]
    assert found.cost.wrong == found.cost.wrong_without  # a shadow's answers are not returned


@pytest.mark.slow
def test_a_canary_costs_what_its_answers_cost() -> None:
    scenario = "bad_retraining:drop=0.1,worse_by=0.4,labels=1,label_hours=5"
    found = run(scenario, policy(actions=RETRAIN, canary_percent=20))
    assert "taken_away" in kinds(found)
    assert found.cost.wrong is not None
    assert found.cost.wrong_without is not None
    assert found.cost.wrong > found.cost.wrong_without


def test_live_accuracy_is_tested_and_wrong_truths_are_a_false_alarm() -> None:
    spec = policy(limits={"live_accuracy": 0.85}, actions={"live_quality": ["notify"]}, min_rows=10_000)
    found = run("label_noise:noise=0.4,labels=1,label_hours=2", spec, days=3)
    (alarm,) = found.alarms
    assert (alarm.trigger, alarm.is_true, found.found_after) == ("live_quality", False, None)
    truly = run("sudden:drop=0.3,labels=1,label_hours=2", spec, days=3)
    assert [(one.trigger, one.is_true) for one in truly.alarms] == [("live_quality", True)]


@pytest.mark.slow
def test_proposals_wait_for_a_person_and_a_stopped_service_does_not_answer() -> None:
    actions = {"drift": ["stop"], "propose_only": True, "cooldown_hours": 1000.0}
    found = run("sudden:drop=0.25,person_hours=10", policy(actions=actions), days=4)
    assert kinds(found)[:3] == ["approved", "stopped", "started"]
    assert len([order for order in found.orders if order.mode == "propose"]) > kinds(found).count("approved")
    approved, stopped, started = found.events[:3]
    assert approved.hour >= found.orders[0].hour + 10
    assert started.hour - stopped.hour == pytest.approx(10, abs=1)
    assert found.cost.unanswered > 60 * 8
    assert found.cost.answers + found.cost.unanswered == sum(day.requests for day in found.days)


@pytest.mark.slow
def test_a_roll_back_without_an_earlier_version_says_so() -> None:
    found = run("sudden:drop=0.25", policy(actions={"drift": ["roll_back"], "cooldown_hours": 1000.0}), days=3)
    assert found.orders[0].outcome == "not done: no earlier version has served"


@pytest.mark.slow
def test_a_retraining_from_the_log_needs_its_labels() -> None:
    actions = {**RETRAIN, "retrain": {"data": "log", "min_labels": 100}}
    found = run("sudden:drop=0.25,labels=0", policy(actions=actions), days=3)
    assert "0 labels were told" in next(order.outcome for order in found.orders if order.action == "retrain")
    assert found.cost.retrainings == 0


@pytest.mark.slow
def test_the_same_seed_has_the_same_result(retrained: Rehearsed) -> None:
    again = run("sudden:drop=0.25,labels=1,label_hours=5", policy(actions=RETRAIN))
    assert again.model_dump() == retrained.model_dump()


@pytest.mark.slow
def test_alarms_are_those_of_the_judgement_of_a_log() -> None:
    """The same windows through `watch.advance`, whose state is JSON, as the stage `monitoring` calls it."""
    found = run("sudden:drop=0.2,day=2", policy(), days=4)
    world, spec = cases.world("sudden:drop=0.2,day=2", days=4), policy().monitor
    rows = model_version.first(world.pool, world, spec, 0).reference.rows.drop(columns=["truth"])
    state, windows = None, []
    for hour in range(world.hours):
        places = world.draw(hour).places
        name = world.clock.window(hour, "hour")
        watched = watch.advance(rows, pools.take(world.pool, places, None), spec, state, name)
        state = watched.state
        windows += [(name, watched.alarm)] if watched.alarm else []
    assert windows
    assert [(one.window, one.text) for one in found.alarms] == windows


def test_days_are_judged_as_days() -> None:
    found = run("sudden:drop=0.2,day=4", policy(window="day"))
    assert found.alarms
    assert all(len(alarm.window) == len("2026-01-05") for alarm in found.alarms)
    assert found.found_after is not None
    assert found.found_after >= 24


def test_rows_of_one_line_are_the_heads() -> None:
    found = run("none", policy(), days=2)
    assert len(report.row(found)) == len(report.HEADS)


@pytest.mark.slow
def test_without_truths_there_are_no_costs() -> None:
    rows = pools.of_table(cases.table().drop(columns=["truth"]), None, None, 400)
    found = run("sudden:shift=1,day=2", policy(limits={"live_accuracy": 0.9}), days=4, rows=rows)
    assert found.alarms
    assert (found.cost.wrong, found.cost.wrong_without, found.wrong_before) == (None, None, None)
    assert "limits.live_accuracy does nothing" in found.notes[0]


def test_refused_requests_are_counted() -> None:
    rows = cases.pool()
    copies = cases.table().assign(**{"output.label": None, "output.confidence": None})
    broken = pools.damaged(rows, copies, None, None)
    assert not broken.answered[broken.clean :].any()
    found = run("broken_sensor:share=0.5,day=1", policy(), days=3, rows=broken)
    assert found.cost.refused == pytest.approx(60 * 48 * 0.5, rel=0.1)


def test_a_missing_column_of_texts_is_no_text() -> None:
    table = cases.table().assign(**{"raw.row.city": pd.Series(["Bonn", None] * 750, dtype="str")})
    values = pools.of_table(table, None, None, 400).rows["raw.row.city"]
    assert values.iloc[:2].tolist() == ["Bonn", None]


def suite() -> RowSuite:
    bounds = {"column": "raw.row.age", "min_value": 0.0, "max_value": 60.0}
    return RowSuite(expectations=(RowExpectation(type="expect_column_values_to_be_between", arguments=bounds),))


def test_the_limits_of_a_window_raise_their_alarms() -> None:
    rows = pools.of_table(cases.table(), None, suite(), 400)
    judged = RowJudge(suite()).judge({"raw.row.age": rows.rows["raw.row.age"].tolist()}, len(rows.rows))
    assert {one.sample for one in judged} == set(np.flatnonzero(rows.missed)) != set()
    spec = policy(limits={"missed": 0.1, "psi": 0.5, "quality_drop": 0.02}, window="day")
    found = run("sudden:shift=1.5,drop=0.4,day=2,column=raw.row.age", spec, days=4, rows=rows)
    assert {one.trigger for one in found.alarms} == {"drift", "expectations", "distance", "estimated_quality"}
    assert all(one.is_true for one in found.alarms)


def test_a_service_that_rejects_does_not_answer_what_misses_an_expectation() -> None:
    rows = pools.of_table(cases.table(), None, suite(), 400)
    found = run("none", policy(enforce="reject"), days=2, rows=rows)
    total = found.cost.answers + found.cost.refused
    assert found.cost.refused / total == pytest.approx(rows.missed.mean(), abs=0.01)
