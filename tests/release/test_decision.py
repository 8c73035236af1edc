"""The reconcile decision: one pure function of what is desired, pinned and observed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from components.contracts.serving_spec import (
    ChallengerLimits,
    RolloutPolicy,
    ServiceStatus,
    SlotStatus,
    WorkerStatus,
)
from components.release.decision import (
    MIXED,
    DesiredState,
    ObservedState,
    Situation,
    decide,
    is_superseded,
)
from components.release.history import Release
from components.release.ledger import Entry, Event, Role, VersionRef
from components.release.production import PRODUCTION, Pin, Production


def policy(percent: float = 10.0) -> RolloutPolicy:
    limits = ChallengerLimits(max_error_rate=0.1, max_latency_ratio=5.0, min_requests=10)
    return RolloutPolicy(canary_percent=percent, limits=limits)


def pin(version: str) -> Pin:
    return Pin(version=version, package_digest=version * 64, bundle=f"digits:{version * 12}", bundle_digest="b" * 64)


def pinned(champion: str | None = "1", challenger: str | None = None, previous: str | None = None) -> Production:
    return Production(
        champion=pin(champion) if champion else None,
        challenger=pin(challenger) if challenger else None,
        previous=pin(previous) if previous else None,
        policy=policy() if challenger else None,
    )


def slot(version: str | None, state: str = "ready") -> SlotStatus | None:
    if version is None:
        return None
    reason = None if state == "ready" else "NaN"
    return SlotStatus.model_validate(
        {"version": version, "package_digest": version * 64, "state": state, "reason": reason, "since": 0.0}
    )


def status(
    *workers: tuple[str | None, str | None], removed: bool = False, failed: str | None = None, expected: int = 0
) -> ServiceStatus:
    found = [
        WorkerStatus(
            worker=number,
            generation=1,
            code="c",
            champion=slot(champion),
            champion_failed=slot(failed, "failed"),
            challenger=slot(challenger, "removed" if removed else "ready"),
        )
        for number, (champion, challenger) in enumerate(workers)
    ]
    return ServiceStatus(model="digits", expected=expected or len(workers), workers=found)


def observed(*workers: tuple[str | None, str | None], **options: Any) -> ObservedState:
    return ObservedState.of(status(*workers, **options))


def release(role: Role, target: str | None, *events: Event, **facts: Any) -> Release:
    def entry(number: int, event: Event) -> Entry:
        return Entry(
            sequence=number, time="2026-01-01T00:00:00.000+00:00", release="r", event=event, role=role, before=None,
            after=VersionRef(version=target, package_digest=target * 64) if target else None, asked_by="a",
            facts=facts if number == 1 else {}, previous="", digest="",
        )  # fmt: skip

    return Release(tuple(entry(number, event) for number, event in enumerate(("asked", *events), 1)))


def situation(desired: dict[str, str] | None, production: Production, *workers: Any, **more: Any) -> Situation:
    """A running service whose spec is what is pinned."""
    facts: dict[str, Any] = {"service": "running", "observed": observed(*workers) if workers else None, **more}
    return Situation(production=production, desired=DesiredState.of(desired) if desired is not None else None, **facts)


@pytest.mark.parametrize(
    ("now", "step", "role"),
    [
        (situation({}, pinned(None), service="stopped"), None, None),
        (situation({"champion": "1"}, pinned(None), service="stopped"), "release", "champion"),
        (situation({"champion": "1"}, pinned(), ("1", None)), None, None),
        (situation({"champion": "2"}, pinned(), ("1", None)), "release", "champion"),
        (situation({"champion": "2"}, pinned(), ("1", None), going_back=True), "roll back", "champion"),
        (situation({"champion": "1", "challenger": "2"}, pinned(), ("1", None)), "release", "challenger"),
        (situation({"champion": "1", "challenger": "2"}, pinned("1", "2"), ("1", "2")), None, None),
        (situation({"champion": "1", "challenger": "3"}, pinned("1", "2"), ("1", "2")), "release", "challenger"),
        (situation({"champion": "2", "challenger": "3"}, pinned(), ("1", None)), "release", "champion"),
        (situation({"champion": "1"}, pinned("1", "2"), ("1", "2")), "release", "challenger"),
        (situation({"champion": "1", "challenger": "1"}, pinned(), ("1", None)), None, None),
        (situation({"challenger": "2"}, pinned(None), service="stopped"), None, None),
        (situation({}, pinned(), ("1", None)), "wait", "champion"),
        (situation({}, pinned(), ("1", None), champion_gone=True), "withdraw", "champion"),
        (situation({}, pinned(None), ("1", None)), "stop", "champion"),
        (situation({}, pinned(), ("1", None), champion_gone=True, unregistered=True), "wait", "champion"),
    ],
)
def test_production_follows_the_aliases(now: Situation, step: str | None, role: str | None) -> None:
    found = decide(now)
    assert (found.step if found else None, found.role if found else None) == (step, role)


@pytest.mark.parametrize("desired", [None, {"champion": "1"}, {"champion": "2"}])
def test_what_is_pinned_is_served_with_and_without_the_registry(desired: dict[str, str] | None) -> None:
    for more, step in (
        ({"spec_is_pinned": False}, "apply"),
        ({"staged": True}, "apply"),
        ({"service": "stopped"}, "start"),
    ):
        found = decide(situation(desired, pinned(), ("1", None), **more))
        assert found is not None
        assert found.step == step


def test_a_staged_version_of_an_open_release_stays() -> None:
    left = release("champion", "2", "verified", "staged")
    found = decide(situation({"champion": "2"}, pinned(), ("1", None), staged=True, open={"champion": left}))
    assert found is not None
    assert found.step == "release"


def test_without_the_registry_nothing_else_changes() -> None:
    assert decide(situation(None, pinned(), ("1", None))) is None
    left = release("champion", "2", "verified")
    found = decide(situation(None, pinned(), ("1", None), open={"champion": left}))
    assert found is not None
    assert found.step == "wait"
    found = decide(situation(None, pinned("1", "2"), ("1", "2"), policy=policy(50.0)))
    assert found is not None
    assert found.step == "set policy"


def test_a_direct_release_is_finished_before_everything_else() -> None:
    for role in ("champion", "challenger"):
        left = release(role, "1", **{PRODUCTION: pinned().model_dump()})  # type: ignore[arg-type]
        for desired in (None, {"champion": "2"}):
            found = decide(situation(desired, pinned(), ("2", None), open={role: left}, spec_is_pinned=False))
            assert found is not None
            assert (found.step, found.role) == ("roll back", role)


@pytest.mark.parametrize("last", ["refusing", "switching", "withdrawing"])
def test_a_release_that_was_decided_goes_on_to_its_end(last: Event) -> None:
    left = release("champion", "2", "verified", last)
    found = decide(situation({"champion": "3"}, pinned("2", previous="1"), ("2", None), open={"champion": left}))
    assert found is not None
    assert (found.step, found.role) == ("release", "champion")
    assert not is_superseded(left, "champion", DesiredState.of({"champion": "3"}))
    assert decide(situation(None, pinned(), ("1", None), open={"champion": left})).step == "wait"  # type: ignore[union-attr]


@pytest.mark.parametrize("role", ["champion", "challenger"])
def test_a_release_that_was_left_and_is_not_asked_for_any_more_is_closed_without_a_worker(role: Role) -> None:
    """A worker takes seconds to start on a busy machine: it was killed as if it carried that release out."""
    left = release(role, "2", "verified", "bundled")
    aliases = {"champion": "3"} if role == "champion" else {"champion": "1", "challenger": "3"}
    found = decide(situation(aliases, pinned(), ("1", None), open={role: left}))
    assert found is not None
    assert (found.step, found.role) == ("close", role)
    assert "asks for 3 by now" in found.reason
    still = {**aliases, role: "2"}
    assert decide(situation(still, pinned(), ("1", None), open={role: left})).step == "release"  # type: ignore[union-attr]


def test_which_release_is_superseded() -> None:
    left = release("champion", "2", "verified", "gated", "waiting")
    assert is_superseded(left, "champion", DesiredState.of({"champion": "3"}))
    assert is_superseded(left, "champion", DesiredState.of({}))
    assert not is_superseded(left, "champion", DesiredState.of({"champion": "2"}))
    assert not is_superseded(left, "champion", None)
    assert is_superseded(None, "champion", None)  # it was closed: by a rollback
    broken = release("challenger", None, broken="NaN")
    assert not is_superseded(broken, "challenger", DesiredState.of({"champion": "1", "challenger": "2"}))


def test_a_rollback_that_the_registry_does_not_know_is_told() -> None:
    left = release("champion", "1", "served", **{PRODUCTION: pinned().model_dump()})
    now = situation({"champion": "2"}, pinned(), ("1", None), untold=left, alias_is_stale=True)
    assert decide(now).step == "tell"  # type: ignore[union-attr]
    now = situation({"champion": "1"}, pinned(), ("1", None), untold=left)
    assert decide(now).step == "tell"  # type: ignore[union-attr]
    now = situation({"champion": "2"}, pinned(), ("1", None), untold=left)  # set after the rollback
    assert decide(now).step == "release"  # type: ignore[union-attr]
    assert decide(situation(None, pinned(), ("1", None), untold=left)).step == "wait"  # type: ignore[union-attr]


def test_a_challenger_that_a_worker_took_out_goes() -> None:
    found = decide(
        situation({"champion": "1", "challenger": "2"}, pinned("1", "2"), observed=observed(("1", "2"), removed=True))
    )
    assert found is not None
    assert (found.step, found.role, found.broken) == ("release", "challenger", "NaN")


def test_a_champion_that_no_worker_can_load_goes_back_to_the_previous_one() -> None:
    desired = {"champion": "2"}
    failed = observed(("1", None), ("1", None), failed="2")
    found = decide(situation(desired, pinned("2", previous="1"), observed=failed))
    assert found is not None
    assert (found.step, found.role, found.broken) == ("release", "champion", "NaN")
    assert decide(situation(desired, pinned("2", previous="1"), observed=failed, settling=True)) is None
    some = observed(("1", None), failed="2", expected=2)  # the other worker has not said anything yet
    assert decide(situation(desired, pinned("2", previous="1"), observed=some)).step == "apply"  # type: ignore[union-attr]
    alone = decide(situation(desired, pinned("2"), observed=failed))
    assert alone is not None
    assert (alone.step, alone.retries) == ("apply", True)


@pytest.mark.parametrize(
    ("state", "said"),
    [("starting", "and no worker of it answers, it is starting"), ("running", "and no worker of it answers")],
)
def test_a_champion_that_no_worker_answers_for_is_not_what_is_desired(state: str, said: str) -> None:
    now = situation({"champion": "1"}, pinned(), service=state, settling=state == "starting")
    found = decide(now)
    assert found is not None
    assert (found.step, found.reason) == ("wait", f"version 1 is champion, {said}")
    assert decide(situation(None, pinned(), service=state)) is None  # what is pinned goes on


def test_workers_that_hold_something_else_are_told_again_once_they_had_their_time() -> None:
    workers = (("1", None), ("2", None))
    assert observed(*workers).champion == MIXED
    settling = decide(situation({"champion": "2"}, pinned("2"), *workers, settling=True))
    assert settling is not None
    assert (settling.step, settling.reason) == ("wait", "version 2 is champion, and its workers hold several versions")
    found = decide(situation({"champion": "2"}, pinned("2"), *workers))
    assert found is not None
    assert (found.step, found.retries) == ("apply", True)


def test_a_policy_is_set_only_beside_a_challenger() -> None:
    desired = {"champion": "1", "challenger": "2"}
    assert decide(situation(desired, pinned("1", "2"), ("1", "2"), policy=policy())) is None
    assert decide(situation(desired, pinned("1", "2"), ("1", "2"), policy=None)) is None
    found = decide(situation(desired, pinned("1", "2"), ("1", "2"), policy=policy(50.0)))
    assert found is not None
    assert (found.step, found.role) == ("set policy", "challenger")
    assert decide(situation({"champion": "1"}, pinned(), ("1", None), policy=policy(50.0))) is None


def test_every_situation_has_a_decision_or_is_at_rest() -> None:
    """No combination raises, and what is at rest is what was asked for."""
    aliases = (None, {}, {"champion": "1"}, {"champion": "2"}, {"champion": "1", "challenger": "2"})
    productions = (pinned(None), pinned(), pinned("1", "2"), pinned("2", previous="1"))
    holds = (None, observed(("1", None)), observed(("2", None)), observed(("1", "2")), observed((None, None)))
    opens: tuple[dict[Role, Release], ...] = (
        {},
        {"champion": release("champion", "2", "verified")},
        {"challenger": release("challenger", "2", "switching")},
    )
    for desired, production, seen, left, running in itertools.product(
        aliases, productions, holds, opens, ("running", "starting", "stopped")
    ):
        now = situation(desired, production, observed=seen, open=left, service=running)
        found = decide(now)
        if found is None and desired is not None and not left:
            assert (production.champion.version if production.champion else None) == desired.get("champion")
            assert running != "stopped" or production.champion is None
