"""The plan of gc as a pure function: nothing that a root reaches ever goes."""

from __future__ import annotations

import random
from typing import Any, get_args

import pytest

from components.contracts.settings import RetentionSettings
from components.retention import reachability
from components.retention.item import NEEDS_REGISTRY, Item, Kind
from components.retention.reachability import Needed, Roots

NOW = 1_800_000_000.0
SETTINGS = RetentionSettings()


def item(kind: Kind = "bundle", name: str = "digits:0", **facts: Any) -> Item:
    return Item(**{"kind": kind, "name": name, "path": "x", "bytes": 10, "changed": NOW - 90 * 86_400.0, **facts})


def why(roots: Roots, *items: Item, settings: RetentionSettings = SETTINGS) -> dict[str, str | None]:
    """By name: what keeps a thing; None: it goes."""
    verdicts = reachability.judge(items, roots, settings, NOW)
    return {one.item.name: None if one.removable else one.why for one in verdicts}


def test_a_version_keeps_its_very_bundle_and_its_package() -> None:
    things = [item(name=f"digits:{number}", package_digest="p") for number in (1, 2)]
    package = item("package", "p-folder", package_digest="p")
    other = item("package", "q-folder", package_digest="q")
    pinned = Needed("p", "digits:1", "digits serves it")
    assert why(Roots(versions=(pinned,)), *things, package, other) == {
        "digits:1": "digits serves it",
        "digits:2": None,
        "p-folder": "digits serves it",
        "q-folder": None,
    }


@pytest.mark.parametrize("bundle", [None, "digits:9"])
def test_where_the_very_bundle_is_not_known_or_not_here_all_of_the_package_stay(bundle: str | None) -> None:
    things = [item(name=f"digits:{number}", package_digest="p") for number in (1, 2)]
    found = why(Roots(versions=(Needed("p", bundle, "an alias"),)), *things)
    assert found == {"digits:1": "an alias", "digits:2": "an alias"}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_of_each_kind_what_is_needed_held_or_young_stays(kind: Kind) -> None:
    assert why(Roots(), item(kind, "a")) == {"a": None}
    assert why(Roots(names={(kind, "a"): "a root"}), item(kind, "a")) == {"a": "a root"}
    assert why(Roots(), item(kind, "a", held="a lock")) == {"a": "a lock"}
    assert why(Roots(), item(kind, "a", changed=NOW - 60))["a"] is not None
    assert why(Roots(), item(kind, "a", changed=NOW + 60))["a"] is not None  # a clock that was stepped
    away = why(Roots(judged=False, not_judged="away"), item(kind, "a"))["a"]
    assert away == ("not judged: away" if kind in NEEDS_REGISTRY else None)


def test_ages_are_those_of_the_settings() -> None:
    things = [item("log", "log", changed=NOW - 5 * 86_400), item("request", "request", changed=NOW - 86_400)]
    assert None not in why(Roots(), *things).values()
    settings = RetentionSettings(logs_days=4, requests_days=0.5)
    assert set(why(Roots(), *things, settings=settings).values()) == {None}


def test_things_of_an_unknown_pipeline_stay_while_any_run_is_open() -> None:
    roots = Roots(open_models={"digits": "a run of digits is open"})
    found = why(roots, item("run", "mine", model="digits"), item("run", "other", model="sst2"), item("run", "nobody"))
    assert found["mine"] == "a run of digits is open"
    assert found["other"] is None
    assert found["nobody"] is not None


def test_in_random_worlds_nothing_that_a_root_reaches_goes() -> None:
    dice = random.Random(0)  # noqa: S311  # no secret
    for _ in range(300):
        digests = [f"d{number}" for number in range(6)]
        bundles = [item(name=f"m:{number}", model="m", package_digest=dice.choice(digests)) for number in range(12)]
        packages = [item("package", f"f{digest}", model="m", package_digest=digest) for digest in digests]
        roots = Roots(
            versions=tuple(
                Needed(dice.choice(digests), dice.choice([None, *(one.name for one in bundles), "m:99"]), "root")
                for _ in range(dice.randrange(4))
            ),
            names={("bundle", f"m:{dice.randrange(12)}"): "root" for _ in range(dice.randrange(3))},
        )
        gone = {
            (one.item.kind, one.item.name)
            for one in reachability.judge([*bundles, *packages], roots, SETTINGS, NOW)
            if one.removable
        }
        for version in roots.versions:
            assert ("package", f"f{version.package_digest}") not in gone
            assert ("bundle", version.bundle) not in gone or not any(
                one.name == version.bundle and one.package_digest == version.package_digest for one in bundles
            )
            of_it = [("bundle", one.name) for one in bundles if one.package_digest == version.package_digest]
            assert not of_it or set(of_it) - gone
        assert not gone & roots.names.keys()
