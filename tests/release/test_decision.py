"""What is due is a function of aliases and statements alone."""

from __future__ import annotations

import pytest

from components.contracts.serving_spec import (
    ChallengerLimits,
    RolloutPolicy,
    ServiceStatus,
    SlotStatus,
    WorkerStatus,
)
from components.release.decision import DesiredState, ObservedState, decide


def held(version: str | None, state: str = "ready") -> SlotStatus | None:
    if version is None:
        return None
    reason = None if state == "ready" else "NaN"
    return SlotStatus.model_validate(
        {"version": version, "package_digest": version * 64, "state": state, "reason": reason, "since": 0.0}
    )


def terms(percent: float) -> RolloutPolicy:
    limits = ChallengerLimits(max_error_rate=0.1, max_latency_ratio=5.0, min_requests=10)
    return RolloutPolicy(canary_percent=percent, limits=limits)


def service(
    *workers: tuple[str | None, str | None], removed: bool = False, percents: tuple[float, ...] = ()
) -> ServiceStatus:
    found = [
        WorkerStatus(
            worker=number,
            generation=1,
            code="c",
            champion=held(champion),
            challenger=held(challenger, "removed" if removed else "ready"),
            policy=terms(percents[number]) if percents else None,
        )
        for number, (champion, challenger) in enumerate(workers)
    ]
    return ServiceStatus(model="digits", expected=len(workers), workers=found)


@pytest.mark.parametrize(
    ("aliases", "statement", "role", "withdraws"),
    [
        ({}, None, None, False),
        ({"champion": "1"}, None, "champion", False),
        ({"champion": "1"}, service(("1", None)), None, False),
        ({"champion": "2"}, service(("1", None)), "champion", False),
        ({"champion": "1"}, service(("1", None), ("2", None)), "champion", False),  # the workers do not agree
        ({"champion": "1"}, service((None, None)), "champion", False),
        ({"champion": "1", "challenger": "2"}, service(("1", None)), "challenger", False),
        ({"champion": "1", "challenger": "2"}, service(("1", "2")), None, False),
        ({"champion": "1", "challenger": "3"}, service(("1", "2")), "challenger", False),
        ({"champion": "2", "challenger": "3"}, service(("1", None)), "champion", False),  # the champion comes first
        ({"champion": "1", "challenger": "1"}, service(("1", None)), None, False),  # no challenger to itself
        ({"champion": "2", "challenger": "2"}, service(("2", "2")), "challenger", False),
        ({"champion": "1"}, service(("1", "2")), "challenger", False),
        ({}, service(("1", None)), "champion", True),
        ({"challenger": "2"}, service(("1", "2")), "challenger", False),  # it goes at once, the champion with grace
        ({"challenger": "2"}, None, None, False),
    ],
)
def test_due(aliases: dict[str, str], statement: ServiceStatus | None, role: str | None, withdraws: bool) -> None:
    found = decide(DesiredState.of(aliases), ObservedState.of(statement))
    assert (found.role if found else None) == role
    assert (found.withdraws if found else False) == withdraws


def test_a_challenger_that_a_worker_took_out_is_due_to_go() -> None:
    found = decide(
        DesiredState.of({"champion": "1", "challenger": "2"}), ObservedState.of(service(("1", "2"), removed=True))
    )
    assert found is not None
    assert (found.role, found.broken) == ("challenger", "NaN")


@pytest.mark.parametrize(
    ("wanted", "found", "is_due"),
    [(10, (10, 10), False), (50, (10, 10), True), (50, (50, 10), True), (None, (10, 10), False)],
)
def test_other_terms_of_a_challenger_are_an_order(wanted: float | None, found: tuple[float, ...], is_due: bool) -> None:
    asked = DesiredState.of({"champion": "1", "challenger": "2"}, None if wanted is None else terms(wanted))
    todo = decide(asked, ObservedState.of(service(("1", "2"), ("1", "2"), percents=found)))
    assert (todo.role if todo else None) == ("challenger" if is_due else None)


@pytest.mark.parametrize("aliases", [{"champion": "2", "challenger": "2"}, {"challenger": "2"}])
def test_a_challenger_to_itself_or_to_nobody_is_not_wanted(aliases: dict[str, str]) -> None:
    """Whoever decides and whoever carries out ask the same: one that read the alias itself released it for ever."""
    assert DesiredState.of(aliases).of_role("challenger") is None
