"""What the ledger pins: decided last, and taken from events where an older Modelyard wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.serving_spec import ChallengerLimits, RolloutPolicy
from components.core.errors import CorruptArtifactError, UsageError
from components.core.project import Project
from components.release import history, production
from components.release import ledger as ledgers
from components.release.ledger import Event, Ledger, Role, VersionRef
from components.release.production import PRODUCTION, Pin, Production

LIMITS = ChallengerLimits(max_error_rate=0.1, max_latency_ratio=5.0, min_requests=10)
POLICY = RolloutPolicy(canary_percent=10.0, limits=LIMITS)


def pin(version: str) -> Pin:
    return Pin(version=version, package_digest=version * 64, bundle=f"digits:{version * 12}", bundle_digest="b" * 64)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    return ledgers.of(Project(tmp_path), "digits")


def write(ledger: Ledger, release: str, version: str, *events: Event, role: Role = "champion", **facts: object) -> None:
    for event in events:
        ledger.append(
            event,
            release=release,
            role=role,
            before=None,
            after=VersionRef(version=version, package_digest=version * 64),
            asked_by="a",
            facts=dict(facts),
        )


def test_a_champion_makes_the_one_before_it_the_previous() -> None:
    first = Production().with_champion(pin("1"))
    second = first.with_champion(pin("2"))
    assert (second.champion, second.previous) == (pin("2"), pin("1"))
    assert second.with_champion(pin("2")) == second
    back = second.with_champion(pin("1"))
    assert (back.champion, back.previous) == (pin("1"), pin("2"))
    beside = first.with_challenger(pin("2"), POLICY)
    promoted = beside.with_champion(pin("2"))
    assert (promoted.champion, promoted.challenger, promoted.policy) == (pin("2"), None, None)
    assert beside.with_champion(pin("3")).challenger == pin("2")
    assert beside.without_challenger() == first
    assert [found.version for found in beside.pins] == ["1", "2"]


def test_the_last_decision_counts(ledger: Ledger) -> None:
    assert production.decided(ledger.entries()).production == Production()
    one = Production().with_champion(pin("1"))
    write(ledger, "one", "1", "asked", "verified", "bundled", bundle="digits:111111111111")
    assert production.decided(ledger.entries()).production == Production()
    write(ledger, "one", "1", "switching", **{PRODUCTION: one.model_dump(mode="json")})
    write(ledger, "one", "1", "switched", "served")
    found = production.decided(ledger.entries())
    assert (found.sequence, found.production) == (4, one)
    two = one.with_champion(pin("2"))
    write(ledger, "two", "2", "asked")
    write(ledger, "two", "2", "switching", **{PRODUCTION: two.model_dump(mode="json")})
    write(ledger, "two", "2", "switched")
    write(ledger, "two", "2", "refusing", **{PRODUCTION: one.model_dump(mode="json")})
    write(ledger, "two", "2", "returned")  # the decision was recorded before: this one changes nothing
    assert production.decided(ledger.entries()).production == one
    assert set(production.pins(ledger.entries())) == {"1" * 64, "2" * 64}


def test_entries_of_an_older_modelyard(ledger: Ledger) -> None:
    for version in ("1", "2"):
        write(ledger, version, version, "asked", "verified")
        write(ledger, version, version, "bundled", bundle=f"digits:{version * 12}", digest="b" * 64)
        write(ledger, version, version, "switched", "served")
    found = production.decided(ledger.entries()).production
    assert found == Production(champion=pin("2"), previous=pin("1"))
    assert history.rollback_target(ledger.entries(), "digits") == pin("1")
    write(ledger, "c", "3", "asked", "verified", role="challenger")
    write(ledger, "c", "3", "bundled", role="challenger", bundle="digits:333333333333", digest="b" * 64)
    write(ledger, "c", "3", "switched", role="challenger")
    assert production.decided(ledger.entries()).production.challenger == pin("3")
    write(ledger, "d", "3", "asked", "removed", role="challenger")
    assert production.decided(ledger.entries()).production.challenger is None
    write(ledger, "e", "2", "returned")
    assert production.decided(ledger.entries()).production.champion == pin("1")
    write(ledger, "f", "1", "withdrawn")
    assert production.decided(ledger.entries()).production == Production()


def serve(ledger: Ledger, *versions: str) -> None:
    """Releases that switched and served well, on top of what is pinned."""
    for version in versions:
        now = production.decided(ledger.entries()).production.with_champion(pin(version))
        release = f"r{len(ledger.entries())}"
        write(ledger, release, version, "asked")
        write(ledger, release, version, "switching", **{PRODUCTION: now.model_dump(mode="json")})
        write(ledger, release, version, "switched", "served")


@pytest.mark.parametrize(
    ("versions", "back_to"),
    [
        (["1", "2"], "1"),
        (["1", "2", "3"], "2"),
        (["1", "2", "3", "2"], "1"),  # 3 was gone back from: no rollback goes to it
        (["1", "2", "3", "2", "1"], None),
        (["1", "3", "2", "3"], "1"),
        (["1", "2", "1", "2"], "1"),
    ],
)
def test_a_rollback_goes_to_what_served_well_last(ledger: Ledger, versions: list[str], back_to: str | None) -> None:
    serve(ledger, *versions)
    if back_to is None:
        with pytest.raises(UsageError, match="nothing to go back to"):
            history.rollback_target(ledger.entries(), "digits")
    else:
        assert history.rollback_target(ledger.entries(), "digits").version == back_to


def test_no_rollback_goes_to_what_was_refused_or_returned(ledger: Ledger) -> None:
    serve(ledger, "1", "3")
    three = production.decided(ledger.entries()).production
    four = three.with_champion(pin("4"))
    write(ledger, "four", "4", "asked")
    write(ledger, "four", "4", "switching", **{PRODUCTION: four.model_dump(mode="json")})
    write(ledger, "four", "4", "switched")
    # 4 serves although nobody has seen it serve well: a rollback goes to 3.
    assert history.rollback_target(ledger.entries(), "digits") == pin("3")
    write(ledger, "four", "4", "refusing", **{PRODUCTION: three.model_dump(mode="json")})
    write(ledger, "four", "4", "returned")
    assert history.rollback_target(ledger.entries(), "digits") == pin("1")
    with pytest.raises(UsageError, match="never served well"):
        history.rollback_target(ledger.entries(), "digits", "4")


def test_what_a_rollback_goes_to(ledger: Ledger) -> None:
    now = Production()
    with pytest.raises(UsageError, match="nothing to go back to"):
        history.rollback_target(ledger.entries(), "digits")
    for version in ("1", "2", "3"):
        now = now.with_champion(pin(version))
        write(ledger, version, version, "asked")
        write(ledger, version, version, "switching", **{PRODUCTION: now.model_dump(mode="json")})
        write(ledger, version, version, "switched", "served")
    assert history.rollback_target(ledger.entries(), "digits") == pin("2")
    assert history.rollback_target(ledger.entries(), "digits", "1") == pin("1")
    with pytest.raises(UsageError, match="never served well"):
        history.rollback_target(ledger.entries(), "digits", "9")
    back = now.with_champion(pin("1"))
    write(ledger, "back", "1", "asked", **{PRODUCTION: back.model_dump(mode="json")})
    assert history.unfinished(ledger.entries(), "champion").is_direct  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="nothing to go back to"):  # asked for twice at once: not to where it came from
        history.rollback_target(ledger.entries(), "digits")
    assert history.untold(ledger.entries()) is None
    write(ledger, "back", "1", "switched", "served")
    assert history.untold(ledger.entries()).id == "back"  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="nothing to go back to"):  # 2 and 3 were left: they did not serve well
        history.rollback_target(ledger.entries(), "digits")
    write(ledger, "back", "1", "told")
    assert history.untold(ledger.entries()) is None


def test_a_promotion_tells_of_the_rollback_before_it(ledger: Ledger) -> None:
    back = Production().with_champion(pin("1"))
    write(ledger, "back", "1", "asked", **{PRODUCTION: back.model_dump(mode="json")})
    write(ledger, "back", "1", "switched", "served")
    write(ledger, "two", "2", "asked", "refused")
    assert history.untold(ledger.entries()).id == "back"  # type: ignore[union-attr]
    write(ledger, "three", "3", "asked", "served")
    assert history.untold(ledger.entries()) is None


def test_a_production_that_cannot_be_read_is_an_error(ledger: Ledger) -> None:
    write(ledger, "one", "1", "switching", **{PRODUCTION: {"champion": "1"}})
    with pytest.raises(CorruptArtifactError, match="cannot be read"):
        production.decided(ledger.entries())
