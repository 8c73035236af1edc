"""The simulated fleet: with all protections nothing is violated, and each one that is switched off is missed."""

from __future__ import annotations

import pytest

pytest.importorskip("simpy", reason="SimPy is a development requirement: `make install`")

from benchmarks.fleet.watch import NOT_IN_FORCE, STALE, Watch
from benchmarks.fleet.world import BREAKS, Settings, World

QUICK = ("no-fence", "no-prove")


def simulated(*broken: str, seed: int = 0, hours: float = 6.0, calls: float = 0.05, haste: float = 1.0) -> Watch:
    return World(Settings(20, 5, hours, seed, True, calls, haste, frozenset(broken))).run()


@pytest.mark.parametrize("haste", [1.0, 6.0])
def test_a_small_fleet_with_failures_holds_what_it_promises(haste: float) -> None:
    watch = simulated(haste=haste)
    assert watch.violations == []
    assert watch.requests[NOT_IN_FORCE] == 0
    assert watch.requests["in force"] > 1e7
    assert watch.ends["champion served"] > 10
    assert watch.preempted > 0


def test_with_leases_no_host_that_is_cut_off_answers_by_what_is_not_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cut_off(lease_seconds: float | None) -> Watch:
        settings = Settings(20, 5, 3.0, 0, haste=3.0, host_days=0.05, lease_seconds=lease_seconds)
        watch = World(settings).run()
        assert watch.violations == []
        return watch

    assert cut_off(None).requests[STALE] > 0
    with_leases = cut_off(200.0)
    assert with_leases.requests[STALE] == 0
    assert with_leases.ends["champion served"] > 5
    monkeypatch.setattr(Settings, "outlasted_seconds", 0.0)
    assert cut_off(200.0).requests[STALE] > 0, "whoever does not wait for leases is wrong"


def test_the_same_seed_gives_the_same_entries() -> None:
    def digests(seed: int) -> list[str]:
        chains = simulated(seed=seed, hours=1.0).world.database.chains
        return [chain.entries[-1].digest for chain in chains.values()]

    assert digests(1) == digests(1) != digests(2)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("no-fence", "carried out twice"),
        ("same-name", "carried out twice"),
        ("no-prove", NOT_IN_FORCE),
        ("no-order", NOT_IN_FORCE),
        ("no-look", "a promotion is lost"),
    ],
)
def test_without_a_protection_an_invariant_is_violated(name: str, kind: str) -> None:
    assert name in BREAKS
    watch = simulated(name, hours=12.0 if name in QUICK else 24.0, haste=6.0)
    assert watch.kinds[kind] > 0, dict(watch.kinds)


@pytest.mark.long
@pytest.mark.parametrize(("broken", "kinds"), [((), set()), (("no-condition",), {"a promotion is lost"})])
def test_a_promotion_between_the_look_at_an_alias_and_setting_it_back_is_kept_by_the_condition(
    broken: tuple[str, ...], kinds: set[str]
) -> None:
    assert set(simulated(*broken, seed=2, hours=24.0, calls=3.0, haste=6.0).kinds) == kinds


@pytest.mark.long
def test_a_promotion_does_not_wait_for_a_version_that_can_serve_no_more() -> None:
    """Of seed 0: production is to go back to a version whose bundle was damaged since."""
    watch = simulated(hours=24.0, calls=3.0, haste=6.0)
    entries = [entry for chain in watch.world.database.chains.values() for entry in chain.entries]
    assert [entry for entry in entries if entry.event == "returned" and entry.facts.get("stuck")]
    assert watch.violations == []
