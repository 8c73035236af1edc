"""After production has begun to follow another registry: what can be gone back to, and what the numbers there mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.core.errors import UsageError
from components.core.project import Project
from components.registry import versions
from components.registry.api import MissingError
from components.release import followed, history, production
from components.release import ledger as ledgers
from components.release.decision import Decision, ObservedState, decide
from components.release.ledger import Ledger
from components.release.production import PRODUCTION, Pin
from flows.platform import followed_registry
from flows.releases import observation, promotion, refusal, registry_change, rollback_command, telling

NAME, A, B = "digits", "the project's own files", "postgresql://db.example/mlflow"


def pin(version: str, letter: str) -> Pin:
    """Of one of two registries, which the letter names."""
    digest = f"{letter}{version}".ljust(64, "0")
    return Pin(version=version, package_digest=digest, bundle=f"{NAME}:{digest[:12]}", bundle_digest=None)


def serve(ledger: Ledger, *pins: Pin, ends: str = "served") -> None:
    for one in pins:
        now = production.decided(ledger.entries()).production
        facts = {PRODUCTION: now.with_champion(one).model_dump(mode="json")}
        release = f"r{len(ledger.entries())}"
        for event, more in (("asked", {}), ("switching", facts), ("switched", {}), (ends, {})):
            ledger.append(
                event,  # type: ignore[arg-type]
                release=release,
                role="champion",
                before=now.champion.side if now.champion else None,
                after=one.side,
                asked_by="ann",
                facts=more,
            )


def go_back(ledger: Ledger, to: Pin) -> None:
    """A rollback that the registry is not told of."""
    now = production.decided(ledger.entries()).production
    assert now.champion is not None
    for event in ("asked", "switched", "served"):
        ledger.append(
            event,  # type: ignore[arg-type]
            release="back",
            role="champion",
            before=now.champion.side,
            after=to.side,
            asked_by="ann",
            facts={PRODUCTION: now.with_champion(to).model_dump(mode="json")} if event == "asked" else {},
        )


class Registry:
    """The versions that a registry has, in place of `components.registry.versions`' requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *pins: Pin) -> None:
        self.digests = {one.version: one.package_digest for one in pins}
        self.alias: str | None = None
        self.tagged: list[str] = []
        monkeypatch.setattr(versions, "by_number", self._by_number)
        monkeypatch.setattr(versions, "aliases", lambda _: {NAME: {"champion": self.alias}} if self.alias else {})
        monkeypatch.setattr(versions, "set_alias", lambda _api, _name, _role, version, *_, **__: self._set(version))
        monkeypatch.setattr(versions, "delete_alias", lambda *_, **__: self._set(None))
        monkeypatch.setattr(versions, "tag_version", lambda _api, _name, version, _tags: self.tagged.append(version))

    def _by_number(self, _api: Any, _name: str, version: str) -> Any:
        if version not in self.digests:
            raise MissingError(f"no version {version}")
        return SimpleNamespace(version=version, package_digest=self.digests[version], description="")

    def _set(self, version: str | None) -> None:
        self.alias = version


API: Any = None


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pipelines").mkdir()
    return Project(tmp_path)


@pytest.fixture
def ledger(project: Project) -> Ledger:
    """In which 1, 2 and 3 of A served."""
    found = ledgers.of(project, NAME)
    serve(found, pin("1", "a"), pin("2", "a"), pin("3", "a"))
    return found


def follow(project: Project, registry: str = B, before: str = A) -> None:
    registry_change.record(project, API, registry, before, "ann")


def numbers(ledger: Ledger) -> list[str]:
    return [side.version for side in history.served_well(ledger.entries())]


def test_versions_of_the_registry_of_before_are_refused_by_name(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(monkeypatch, pin("1", "b"), pin("2", "b"))
    said = registry_change.changes(project, API)
    assert said[-1] == f"{NAME}: `modelyard rollback` cannot go to 2, 1: they are no versions there"
    follow(project)
    serve(ledger, pin("2", "b"))
    assert numbers(ledger) == ["2"]
    with pytest.raises(UsageError, match="nothing to go back to") as caught:
        history.rollback_target(ledger.entries(), NAME)
    assert str(caught.value.got).startswith(f"3, 2, 1 of {A}, until ")
    assert caught.value.expected == f"one of 2, of {B}"
    assert "--follow-registry" in str(caught.value.next_step)
    with pytest.raises(UsageError, match="version 3 of digits served in another registry"):
        history.rollback_target(ledger.entries(), NAME, "3")
    with pytest.raises(UsageError, match="version 9 of digits never served well"):
        history.rollback_target(ledger.entries(), NAME, "9")
    serve(ledger, pin("1", "b"))
    assert history.rollback_target(ledger.entries(), NAME) == pin("2", "b")
    with pytest.raises(UsageError, match="version 3 of digits served in another registry"):
        rollback_command.roll_back(project, NAME, "3", "modelyard rollback", lambda _: None)


def test_what_is_the_same_package_there_can_be_gone_back_to(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(monkeypatch, pin("1", "b"), pin("2", "a"), pin("3", "a"))  # a copy, with one version that is not
    follow(project)
    assert numbers(ledger) == ["2", "3"]
    assert history.rollback_target(ledger.entries(), NAME) == pin("2", "a")


def test_a_package_that_has_another_number_there_has_that_one(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(monkeypatch)
    follow(project)
    again = pin("3", "a").model_copy(update={"version": "1"})
    serve(ledger, again, pin("2", "b"))
    assert numbers(ledger) == ["1", "2"]
    assert history.rollback_target(ledger.entries(), NAME) == again


def test_the_registry_of_before_gives_its_versions_back(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(monkeypatch)
    follow(project)
    serve(ledger, pin("1", "b"))
    Registry(monkeypatch, pin("1", "a"), pin("2", "a"), pin("3", "a"))
    follow(project, A, B)
    follow(project, A, B)  # of another machine
    assert [entry.event for entry in ledger.entries()].count("followed") == 2
    assert numbers(ledger) == ["1", "2", "3"]
    assert history.rollback_target(ledger.entries(), NAME) == pin("3", "a")


def test_a_wrong_record_is_mended_by_another_comparison(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registry_change.compare_again(project, API, B, "ann") == [], "it was never another one"
    Registry(monkeypatch)  # that of an MLflow on another database
    follow(project)
    assert numbers(ledger) == []
    Registry(monkeypatch, pin("2", "a"), pin("3", "a"))
    assert registry_change.compare_again(project, API, A, "ann") == [], "it is not followed"
    said = registry_change.compare_again(project, API, B, "ann")
    assert said == [f"{NAME}: recorded anew; of what served, the registry has 2, 3"]
    assert history.rollback_target(ledger.entries(), NAME) == pin("2", "a")
    with pytest.raises(UsageError) as caught:
        history.rollback_target(ledger.entries(), NAME, "1")
    assert str(caught.value.got).startswith(f"1 of {A}, until "), "and not of itself"
    assert registry_change.compare_again(project, API, B, "ann") == []
    follow(project)
    assert [entry.event for entry in ledger.entries()].count("followed") == 2


def test_another_comparison_keeps_what_was_released_since(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(monkeypatch, pin("2", "a"), pin("3", "a"))
    follow(project)
    serve(ledger, pin("4", "b"))
    ledger.append("asked", release="open", role="champion", before=None, after=pin("5", "b").side, asked_by="ann")
    assert registry_change.compare_again(project, API, B, "ann") == [], "version 4 was deleted there since: no change"
    Registry(monkeypatch, pin("3", "a"))
    assert len(registry_change.compare_again(project, API, B, "ann")) == 1
    for event in ("switched", "served"):
        ledger.append(event, release="open", role="champion", before=None, after=pin("5", "b").side, asked_by="ann")  # type: ignore[arg-type]
    assert numbers(ledger) == ["3", "4", "5"]


def test_what_was_left_by_a_rollback_is_still_a_version_there(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(monkeypatch, pin("1", "a"), pin("2", "a"), pin("3", "a"))
    follow(project)
    go_back(ledger, pin("1", "a"))
    assert registry_change.compare_again(project, API, B, "ann") == []
    assert not followed.is_of_another(ledger.entries(), pin("3", "a").package_digest)


def test_an_alias_with_the_number_of_before_is_no_way_back(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = observation.Observer(project, NAME)
    monkeypatch.setattr(type(observer.service.bundle(pin("1", "a"))), "exists", lambda _: True)
    assert observer.situation({"champion": "1"}).going_back
    Registry(monkeypatch, pin("1", "b"), pin("3", "b"))
    follow(project)
    situation = observer.situation({"champion": "1"})
    assert (situation.going_back, situation.foreign) == (False, True)


def decided(ledger: Ledger, project: Project, aliases: dict[str, str], **changes: Any) -> Decision | None:
    situation = observation.Observer(project, NAME).situation(aliases, **changes)
    observed = ObservedState(champion="3")
    return decide(replace(situation, service="running", spec_is_pinned=True, settling=True, observed=observed))


def test_the_number_that_serves_is_another_model_there(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    Registry(monkeypatch, pin("3", "b"), pin("4", "b"))
    assert decided(ledger, project, {"champion": "3"}) is None
    follow(project)
    found = decided(ledger, project, {"champion": "3"})
    assert found is not None
    assert found.step == "wait"
    assert "another model than version 3" in found.reason
    found = decided(ledger, project, {}, champion_gone=True)  # and nothing is taken out of production
    assert found is not None
    assert found.step == "wait"
    assert decided(ledger, project, {"champion": "4"}).step == "release"  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="another model in this registry"):
        promotion.promote(project, API, NAME, "3", "champion", "modelyard promote", lambda _: None)
    serve(ledger, pin("4", "b"))
    assert decided(ledger, project, {"champion": "4"}) is None


def test_no_alias_is_set_back_to_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, said = Registry(monkeypatch, pin("3", "b")), list[str]()
    registry.alias = "4"
    refusal.set_to(API, NAME, "champion", pin("3", "a"), said.append, expected="4")
    assert registry.alias is None
    assert "no such version of the model" in said[0]
    refusal.set_to(API, NAME, "champion", pin("3", "b"), said.append, expected=None)
    assert registry.alias == "3"


def test_a_rollback_of_before_is_not_told_as_one_there(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_back(ledger, pin("2", "a"))
    registry = Registry(monkeypatch, pin("2", "b"), pin("3", "b"))
    registry.alias = "3"
    monkeypatch.setattr(versions, "aliases_of", lambda *_: {"champion": registry.alias})
    monkeypatch.setattr(refusal, "anchor", lambda *_: None)
    telling.tell_soon(API, project, NAME, "back", lambda _: None)
    assert registry.alias == "3"
    telling.tell(API, project, NAME, lambda _: None)  # as a defence, where nobody has said that it is another one
    assert (registry.alias, registry.tagged) == (None, [])
    told = ledger.entries()[-1]
    assert (told.event, told.facts["missing"]) == ("told", True)


def test_a_rollback_that_was_not_told_stays_untold_where_there_is_no_such_version(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_back(ledger, pin("2", "a"))
    assert history.untold(ledger.entries()) is not None
    Registry(monkeypatch, pin("2", "a"))
    follow(project, "a copy")
    assert history.untold(ledger.entries()) is not None
    Registry(monkeypatch, pin("2", "b"))
    follow(project)
    assert history.untold(ledger.entries()) is None


def test_while_another_registry_is_named_it_is_not_told(
    project: Project, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed_registry.follow(project)
    (project.root / "modelyard.toml").write_text(f'[servers]\nmlflow = "{B}"\n')
    last = ledger.entries()[-1]
    monkeypatch.setattr(rollback_command.rollback, "roll_back", lambda *_: last)
    monkeypatch.setattr(telling, "tell_soon", lambda *_: pytest.fail("it was told"))
    said: list[str] = []
    rollback_command.roll_back(project, NAME, None, "modelyard rollback", said.append)
    assert "another registry" in said[0]


def test_an_older_ledger_knows_one_registry(ledger: Ledger) -> None:
    assert followed.packages(ledger.entries()) is None
    assert not followed.is_of_another(ledger.entries(), "f" * 64)
    assert numbers(ledger) == ["1", "2", "3"]
