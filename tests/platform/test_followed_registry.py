"""Production stays as it is where the settings name another registry, until a person lets it follow."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.core.errors import StackError, UsageError
from components.core.project import Project
from components.registry import versions
from components.release import ledger as ledgers
from components.release.production import PRODUCTION, Pin, Production
from flows.platform import followed_registry
from flows.releases import registry_change
from flows.releases.controller import Controller

NAME = "digits"
PIN = Pin(version="2", package_digest="a" * 64, bundle="digits:a", bundle_digest=None)
OTHER = '[servers]\nmlflow = "postgresql://db.example/mlflow"\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pipelines").mkdir()
    return Project(tmp_path)


def release(project: Project) -> None:
    facts = {PRODUCTION: Production(champion=PIN).model_dump(mode="json")}
    ledgers.of(project, NAME).append(
        "served", release="0" * 12, role="champion", before=None, after=None, asked_by="ann", facts=facts
    )


def test_before_the_first_release_any_registry_is_followed(project: Project) -> None:
    followed_registry.follow(project)
    (project.root / "modelyard.toml").write_text(OTHER)
    assert followed_registry.another(project) is None
    followed_registry.follow(project)
    assert followed_registry.followed(project) == "postgresql://db.example/mlflow"


def test_a_change_of_registry_that_was_cut_off_is_ended_by_a_person(project: Project) -> None:
    followed_registry.follow(project)
    release(project)
    settings = project.root / "modelyard.toml"
    settings.write_text(OTHER)
    followed_registry.begin(project)  # killed after it: a ledger may name the other one
    assert followed_registry.before(project) == followed_registry.OWN_FILES, "the same again"
    settings.unlink()
    assert followed_registry.before(project) == "postgresql://db.example/mlflow", "back again"
    assert "was cut off" in str(followed_registry.another(project))
    assert followed_registry.begun(project) == "postgresql://db.example/mlflow"
    with pytest.raises(StackError, match="does not follow"):
        followed_registry.require(project)
    followed_registry.follow(project)
    assert followed_registry.another(project) is None


def test_another_registry_is_asked_for_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    registry: Any = SimpleNamespace(api=None, aliases=dict, error=lambda: "")
    controller = Controller(project, registry)
    monkeypatch.setattr(Controller, "_leads", lambda _: False)
    controller.idle = [SimpleNamespace(is_alive=lambda: True)]  # type: ignore[list-item]
    controller._look()
    assert followed_registry.followed(project) == followed_registry.OWN_FILES
    release(project)
    followed_registry.require(project)
    (project.root / "modelyard.toml").write_text(OTHER)
    said = list[object]()
    monkeypatch.setattr(Controller, "_reconcile", lambda _self, _name, _memory, aliases, *_: said.append(aliases))
    (project.pipelines / f"{NAME}.yaml").touch()
    controller._look()
    assert said == [None], "as if the registry did not answer: what is pinned goes on"
    assert controller.not_followed is not None
    with pytest.raises(StackError, match="does not follow this registry") as caught:
        followed_registry.require(project)
    assert "--follow-registry" in str(caught.value.next_step)
    followed_registry.follow(project)
    controller._look()
    assert said == [None, {}]
    (project.root / "modelyard.toml").write_text("[people]\nenabeld = true\n")
    controller._look()
    assert said == [None, {}], "a slip in the settings ends no controller, and switches nothing"
    assert "nobody knows" in str(controller.not_followed)


@pytest.mark.parametrize(
    ("champion", "digest", "line"),
    [
        (None, None, "digits: version 2 serves, no version is champion there: it serves on until one is"),
        ("3", None, "digits: version 2 serves, 3 is champion there: it is released"),
        ("2", "a" * 64, None),
    ],
)
def test_what_will_change_is_said(
    project: Project, monkeypatch: pytest.MonkeyPatch, champion: str | None, digest: str | None, line: str | None
) -> None:
    release(project)
    _registry(monkeypatch, champion, digest)
    api: Any = None
    assert [one for one in registry_change.changes(project, api) if "rollback" not in one] == ([line] if line else [])


def test_a_number_that_means_another_model_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    release(project)
    _registry(monkeypatch, "2", "b" * 64)
    api: Any = None
    with pytest.raises(UsageError, match="another model in this registry"):
        registry_change.changes(project, api)


def _registry(monkeypatch: pytest.MonkeyPatch, champion: str | None, digest: str | None) -> None:
    found = {NAME: {"champion": champion}} if champion else {}
    monkeypatch.setattr(versions, "aliases", lambda _: found)
    monkeypatch.setattr(versions, "by_number", lambda *_: SimpleNamespace(package_digest=digest))
