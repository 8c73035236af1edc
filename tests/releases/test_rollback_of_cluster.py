"""`modelyard rollback` while the API server of a cluster does not answer: the decision is recorded, and waited for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.core.errors import StackError, UsageError
from components.core.project import Project
from components.release import ledger as ledgers
from components.release.ledger import Ledger
from components.release.production import PRODUCTION, Pin, Production
from flows.releases import rollback, rollback_command, telling
from flows.serving_targets.cluster_api import ClusterAbsentError

AWAY = ClusterAbsentError("the cluster does not answer", got="Remote end closed")


def pin(version: str) -> Pin:
    return Pin(version=version, package_digest=version * 64, bundle=f"far:{version * 12}", bundle_digest="b" * 64)


def add(ledger: Ledger, version: str, *events: str) -> None:
    for event in events:
        facts = {PRODUCTION: Production(champion=pin(version)).model_dump(mode="json")} if event == "switching" else {}
        ledger.append(
            event,  # type: ignore[arg-type]
            release=version, role="champion", before=None, after=pin(version).side, asked_by="me", facts=facts,
        )  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Of a project whose bundles are there."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    bundle = SimpleNamespace(exists=lambda: True)
    service = SimpleNamespace(bundle=lambda _pin: bundle, url="http://far")
    monkeypatch.setattr(rollback_command, "target_of", lambda *_: service)
    monkeypatch.setattr(rollback.signing, "require", lambda *_: None)
    monkeypatch.setattr(telling, "tell_soon", lambda *_: None)
    endpoints = SimpleNamespace(mlflow="http://127.0.0.1:9", credentials=None)
    monkeypatch.setattr(rollback_command.lifecycle, "configured", lambda _project: endpoints)
    monkeypatch.setattr(rollback, "AWAY_POLL_SECONDS", 0.0)
    return ledgers.of(Project(tmp_path), "far")


def test_a_hiccup_is_waited_for(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("1", "2"):
        add(ledger, version, "asked", "switching", "switched", "served")
    left = [AWAY] * 3

    def carry_out(_service: Any, found: Ledger, _release: Any, _log: Any, *, waits: bool) -> Any:
        if left:
            raise left.pop()
        return found.entries()[-1]

    monkeypatch.setattr(rollback, "carry_out", carry_out)
    said: list[str] = []
    outcome = rollback_command.roll_back(Project(tmp_path), "far", None, "modelyard rollback far", said.append)
    assert outcome.version == "1"
    assert said.count("waiting for the cluster: the cluster does not answer") == 1
    left.extend([AWAY] * 3)
    monkeypatch.setattr(rollback, "AWAY_SECONDS", -1.0)
    with pytest.raises(StackError) as away:
        rollback_command.roll_back(Project(tmp_path), "far", None, "modelyard rollback far", said.append)
    assert "recorded: the champion of far is version 1" in str(away.value.got)
    assert "the controller follows once the cluster answers" in str(away.value.next_step)


def test_there_is_no_way_back_from_the_first_release_while_it_goes_on(ledger: Ledger, tmp_path: Path) -> None:
    add(ledger, "1", "asked")
    with pytest.raises(UsageError, match="nothing to go back to") as nothing:
        rollback_command.roll_back(Project(tmp_path), "far", None, "modelyard rollback far", lambda _: None)
    assert "the release of version 1, before which nothing served, is going on" in str(nothing.value.next_step)
